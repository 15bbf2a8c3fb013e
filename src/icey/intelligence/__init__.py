"""Detectors on decoded media: motion, speech and the user's own, never in the stream's way."""
