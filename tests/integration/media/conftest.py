"""A real RTSP server for these tests."""

import pytest

from integration.media.rtsp import RtspServer


@pytest.fixture
def rtsp_server():
    """A running RTSP server; the test may stop and start it."""
    server = RtspServer()
    server.start()
    yield server
    server.stop()
