"""The page alone, against a scripted server."""
