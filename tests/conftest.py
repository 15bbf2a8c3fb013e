"""What holds for all tests."""

from hypothesis import settings

# How long one example takes is the machine's matter; pytest-timeout ends what hangs.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")
