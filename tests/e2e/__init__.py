"""Tests against the whole: the installed server, real browsers, independent clients."""
