"""A feed on a real engine and a real film frees what it used."""

from __future__ import annotations

import gc
import time
import weakref

import av
import numpy as np
import pytest

from icey._core import Engine
from icey.config.intelligence import ClipSettings
from icey.config.model import Settings
from icey.intelligence.clip import Clips
from icey.media.lane import Lane
from icey.media.source import parse_source
from icey.sessions.feed import Feed


@pytest.fixture
def clip(tmp_path):
    """Half a second of grey."""
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for _ in range(15):
            picture = np.full((180, 320, 3), 90, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def no_collector():
    """Nothing is freed by the collector of cycles, which may come by late or never."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("filmed", [False, True])
def test_memory_goes_with_the_feed(clip, no_collector, filmed):
    """Once a feed is stopped and joined its encoder is freed, and with the feed its pipeline."""
    engine = Engine(host="127.0.0.1")
    try:
        media = Settings().media
        feed = Feed(
            engine,
            parse_source(str(clip)),
            media,
            shared=False,
            on_event=lambda *_: None,
            clips=Clips(ClipSettings(), None, on_finished=lambda _: None) if filmed else None,
        )
        feed.prepare_blocking()
        peer = engine.create_peer()
        feed.add(peer)
        feed.start(peer.id)
        pipeline = weakref.ref(feed._pipeline)
        deadline = time.monotonic() + 10
        while pipeline()._last_ns < 100_000_000 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert pipeline()._last_ns >= 100_000_000
        lanes = [weakref.ref(o) for o in gc.get_objects() if isinstance(o, Lane)]
        assert len(lanes) == 1

        feed.stop()
        assert feed.join_blocking(10)
        assert [lane() for lane in lanes] == [None]
        del feed
        assert pipeline() is None
    finally:
        engine.close()
