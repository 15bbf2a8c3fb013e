"""Settings: what there is to set, where it is read from, and what is refused."""
