"""icey-server: live video into a browser, out of one, and on to others."""
