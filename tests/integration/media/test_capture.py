"""Live sources: a real RTSP server, and sockets that misbehave."""

import os
import signal
import socket
import threading
import time

import av
import numpy as np
import pytest
from bench.ports import free_port

from icey.errors import SourceError
from icey.media import input as media_input
from icey.media.buffer import MediaBuffer
from icey.media.capture import LiveReader
from icey.media.events import SourceLost, SourceRestored
from icey.media.passthrough import AnnexB
from icey.media.source import parse_source
from integration.media.material import Film, make
from integration.media.sinks import (
    Player,
    decode_audio,
    decode_video,
    pitch,
    rate_of,
    settings,
    steps,
)


def test_rtsp_plays(rtsp_server):
    """An RTSP stream is sent in its size and rate, with its tone, seconds after it is opened."""
    with Player(rtsp_server.url) as player:
        units = player.video.wait_count(45)
        sound = player.audio.wait_count(70)
    assert rate_of(units) == pytest.approx(30, rel=0.1)
    luma = decode_video(units)[-1]
    assert luma.shape == (180, 320)
    assert len(np.unique(luma[60, ::20] // 16)) >= 5  # colour bars have many lights
    assert pitch(decode_audio(sound)[9600:, 0]) == pytest.approx(440, abs=5)
    assert player.events == []


def test_rtsp_server_restarts(rtsp_server):
    """The server dies and comes back: same pipeline, note meanwhile, timestamps go on."""
    with Player(rtsp_server.url) as player:
        player.video.wait_count(30)
        rtsp_server.stop()
        lost = player.wait_event(SourceLost)
        assert lost.retry_in_s == 1
        assert "secret" not in lost.detail
        before = len(player.video.units)
        sounded = len(player.audio.units)
        player.video.wait_count(before + 4)
        player.audio.wait_count(sounded + 30)
        noted = player.video.units[-1]
        rtsp_server.start()
        player.wait_event(SourceRestored, timeout=20)
        after = len(player.video.units)
        units = player.video.wait_count(after + 30)
        sound = list(player.audio.units)
        assert sum(isinstance(event, SourceRestored) for event in player.events) == 1
    lumas = decode_video(units)
    at_note = lumas[units.index(noted)]
    assert at_note[150:].max() > 180  # words
    assert np.median(at_note[150:]) < 40  # on their dark band
    assert min(steps(units)) > 0
    assert max(steps(units)) < 90_000
    assert set(steps(sound)) == {960}
    origins = [u.captured_ns - u.timestamp * 1e9 / 90_000 for u in units]
    assert max(origins) - min(origins) < 1e6


def test_stalled_server_is_noticed(rtsp_server, monkeypatch):
    """A server that is there but sends nothing more counts as lost after the read timeout."""
    monkeypatch.setattr(media_input, "READ_TIMEOUT_S", 1.0)
    with Player(rtsp_server.url) as player:
        player.video.wait_count(10)
        os.kill(rtsp_server.process_id, signal.SIGSTOP)
        try:
            assert player.wait_event(SourceLost, timeout=8).detail
        finally:
            os.kill(rtsp_server.process_id, signal.SIGCONT)


def test_wrong_password_is_refused_without_showing_it(rtsp_server):
    """A refusal of the server is passed on in its words, the password is not."""
    player = Player(rtsp_server.url.replace("secret", "hunter2"))
    with pytest.raises(SourceError, match="401") as caught:
        player.pipeline.prepare()
    assert "hunter2" not in str(caught.value)


def test_nobody_listens():
    """A closed port is refused at once."""
    player = Player(f"rtsp://127.0.0.1:{free_port()}/x")
    with pytest.raises(SourceError, match="Connection refused"):
        player.pipeline.prepare()


def test_silent_server_does_not_block_for_ever(monkeypatch):
    """A host that accepts and says nothing is given up after the open timeout."""
    monkeypatch.setattr(media_input, "OPEN_TIMEOUT_S", 0.5)
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        player = Player(f"rtsp://127.0.0.1:{mute.getsockname()[1]}/x")
        start = time.monotonic()
        with pytest.raises(SourceError, match="no answer in time"):
            player.pipeline.prepare()
        assert time.monotonic() - start < 4


def test_missing_camera_is_refused():
    """A device that is not there is refused by its name."""
    player = Player("/dev/video99")
    with pytest.raises(SourceError, match="v4l2:video99: No such file"):
        player.pipeline.prepare()


def last_half_second_is_440_hz(units):
    """Whether half a second of the tone has come in one piece; looked at each fifth of a second."""
    if len(units) < 30 or len(units) % 10:
        return False
    return pitch(decode_audio(units)[-24_000:, 0]) == pytest.approx(440, abs=5)


def test_udp_transport_stream(tmp_path):
    """MPEG-TS over UDP plays, and a sender that stops is noticed."""
    path = make(tmp_path / "send.ts", Film(frames=240, options={"preset": "ultrafast", "g": "15"}))
    port = free_port()
    data, stop = path.read_bytes(), threading.Event()

    def send():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            pieces = [data[i : i + 1316] for i in range(0, len(data), 1316)]
            for piece in pieces:
                out.sendto(piece, ("127.0.0.1", port))
                if stop.wait(8 / len(pieces)):
                    return

    sender = threading.Thread(target=send)
    sender.start()
    try:
        with Player(f"udp://127.0.0.1:{port}", settings()) as player:
            units = player.video.wait_count(30)
            # A busy machine loses datagrams at first, and silence stands in for their sound.
            player.audio.wait(last_half_second_is_440_hz)
    finally:
        stop.set()
        sender.join()
    assert rate_of(units) > 15


def test_passed_through_units_keep_their_own_times(tmp_path, monkeypatch):
    """The network's jitter does not reach the times of a live source's access units."""
    chosen = settings(passthrough_video=True)
    buffer = MediaBuffer(48_000, 2)
    reader = LiveReader(parse_source("udp://127.0.0.1:1"), chosen, buffer)
    with av.open(str(make(tmp_path / "film.mp4", Film(options={"preset": "ultrafast"})))) as film:
        stream = film.streams.video[0]
        annexb, step = AnnexB(stream), 1e9 / float(stream.average_rate)
        for number, packet in zip(range(10), film.demux(stream), strict=False):
            late = number * 7 % 5 * 3_000_000
            monkeypatch.setattr(buffer, "now_ns", lambda n=number, d=late: int(n * step) + d)
            reader._pass_through(annexb, packet)
    times = [shown.times[0] for shown in buffer.pictures]
    assert np.diff(times) == pytest.approx([step] * 9, abs=1000)
