"""Sessions: what the server does with a call, one module a mode."""
