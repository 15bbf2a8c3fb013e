"""Settings: the model, where values are read from, and what is refused."""
