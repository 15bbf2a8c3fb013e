"""SRT sources: GStreamer's sender on libsrt, and sockets that misbehave."""

import fcntl
import gc
import os
import socket
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from bench.ports import free_port

from icey import _core
from icey.errors import EngineError, SourceError
from icey.media import input as media_input
from icey.media.events import SourceLost, SourceRestored
from icey.media.probe import probe
from icey.media.source import parse_source
from integration.media.rtsp import SYSTEM_PYTHON
from integration.media.sinks import Player, decode_audio, decode_video, pitch, rate_of, steps

SCRIPT = Path(__file__).with_name("srt_sender.py")
PASSPHRASE = "hunter2hunter2"


class SrtSender:
    """One sender process; `stop` and `start` may alternate, the port stays the same."""

    def __init__(self, mode="listener", passphrase=""):
        self.port = free_port()
        self._mode = mode
        self._passphrase = passphrase
        self._process = None

    @property
    def url(self):
        return f"srt://127.0.0.1:{self.port}"

    def start(self):
        """Start it and wait until it plays."""
        command = [SYSTEM_PYTHON, str(SCRIPT), f"{self.url}?mode={self._mode}"]
        command += [self._passphrase] if self._passphrase else []
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        line = self._process.stdout.readline()
        assert line == "ready\n", "the SRT sender did not start: is tests/packages.sh done?"

    def stop(self):
        """Kill it, as an encoder that loses its power."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
            self._process = None


@pytest.fixture
def sending():
    """Start senders; each is stopped in the end."""
    senders = []

    def start(**options):
        senders.append(SrtSender(**options))
        senders[-1].start()
        return senders[-1]

    yield start
    for sender in senders:
        sender.stop()


def refusal(url):
    """The error that a pipeline gives instead of the source."""
    with pytest.raises(SourceError) as caught:
        Player(url).pipeline.prepare()
    assert "hunter2" not in f"{caught.value} {caught.value.source} {caught.value.detail}"
    return caught.value


def test_srt_plays(sending):
    """An SRT stream is sent in its size and rate, with its tone."""
    sender = sending()
    with Player(f"{sender.url}?mode=caller&latency=60000&streamid=#!::r=a") as player:
        units = player.video.wait_count(45)
        sound = player.audio.wait_count(70)
    assert rate_of(units) == pytest.approx(30, rel=0.1)
    luma = decode_video(units)[-1]
    assert luma.shape == (180, 320)
    assert len(np.unique(luma[60, ::20] // 16)) >= 5  # colour bars have many lights
    assert pitch(decode_audio(sound)[9600:, 0]) == pytest.approx(440, abs=5)
    assert player.events == []


def test_sender_restarts(sending, monkeypatch):
    """The sender dies and comes back: the same pipeline goes on, and so do its timestamps."""
    monkeypatch.setattr(media_input, "READ_TIMEOUT_S", 2.0)
    sender = sending()
    with Player(sender.url) as player:
        player.video.wait_count(30)
        sender.stop()
        lost = player.wait_event(SourceLost)
        assert "closed or lost" in lost.detail or "nothing came" in lost.detail
        sender.start()
        player.wait_event(SourceRestored, timeout=20)
        units = player.video.wait_count(len(player.video.units) + 30)
        assert sum(isinstance(event, SourceRestored) for event in player.events) == 1
    assert min(steps(units)) > 0


def test_sender_that_calls_is_received(sending):
    """A listening source takes the sender that calls."""
    sender = sending(mode="caller")
    with Player(f"{sender.url}?mode=listener") as player:
        units = player.video.wait_count(30)
    assert rate_of(units) == pytest.approx(30, rel=0.1)


def test_encrypted_stream_plays(sending):
    """With the passphrase an encrypted stream is probed and read."""
    sender = sending(passphrase=PASSPHRASE)
    info = probe(parse_source(f"{sender.url}?passphrase={PASSPHRASE}"), timeout_s=5)
    assert (info.video, info.width, info.height, info.audio) == ("h264", 640, 360, "aac")


@pytest.mark.parametrize(
    ("query", "words"),
    [("", "password required"), ("?passphrase=hunter2-is-wrong", "wrong password")],
)
def test_wrong_passphrase_is_refused_without_showing_it(sending, query, words):
    """A sender that wants another passphrase refuses, in words."""
    sender = sending(passphrase=PASSPHRASE)
    assert f"refused the connection: {words}" in refusal(f"{sender.url}{query}").detail


def test_encrypted_sender_that_calls_is_received(sending):
    """A listening source with the passphrase takes the sender that calls."""
    sender = sending(mode="caller", passphrase=PASSPHRASE)
    info = probe(parse_source(f"{sender.url}?mode=listener&passphrase={PASSPHRASE}"), timeout_s=5)
    assert info.video == "h264"


def test_nobody_there_is_said(monkeypatch):
    """No sender at that port, no such host, and a passphrase too short are three sentences."""
    monkeypatch.setattr(media_input, "READ_TIMEOUT_S", 0.5)
    port = free_port()
    assert refusal(f"srt://127.0.0.1:{port}").detail == "no answer in time"
    assert refusal(f"srt://127.0.0.1:{port}?mode=listener").detail == "no answer in time"
    assert "no address" in refusal(f"srt://no.such.host.invalid:{port}").detail
    assert "UTF-8" in refusal(f"srt://127.0.0.1:{port}?streamid=\udcff").detail
    assert "10 to 79" in refusal(f"srt://127.0.0.1:{port}?passphrase=hunter2").detail
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", port))
        assert "in use" in refusal(f"srt://127.0.0.1:{port}?mode=listener").detail


def test_nonsense_is_no_stream(monkeypatch):
    """Whatever a host answers instead of SRT, opening ends in time with an error."""
    monkeypatch.setattr(media_input, "READ_TIMEOUT_S", 1.0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(0.1)
        stopping = threading.Event()

        def answer():
            random = np.random.default_rng(1)
            while not stopping.is_set():
                try:
                    data, sender = server.recvfrom(2048)
                except TimeoutError:
                    continue
                noisy = bytearray(data)
                for place in random.integers(0, len(noisy), 8):
                    noisy[place] = random.integers(0, 256)
                for reply in (b"", b"\x80", data, bytes(noisy), random.bytes(64)):
                    server.sendto(reply, sender)

        thread = threading.Thread(target=answer)
        thread.start()
        started = time.monotonic()
        try:
            assert refusal(f"srt://127.0.0.1:{server.getsockname()[1]}").detail
        finally:
            stopping.set()
            thread.join()
    assert time.monotonic() - started < 4


def test_close_ends_a_read_that_waits(sending):
    """Closing the receiver gives EOF to whoever reads its pipe, and is no error."""
    sender = sending()
    receiver = _core.SrtReceiver(host="127.0.0.1", port=sender.port)
    ended = threading.Event()

    def read_all():
        while os.read(receiver.fileno(), 65536):
            pass
        ended.set()

    reader = threading.Thread(target=read_all)
    reader.start()
    receiver.close()
    receiver.close()
    assert ended.wait(5)
    reader.join()
    assert receiver.error() is None


def test_full_pipe_drops_and_counts(sending):
    """Nobody reads: the pipe fills to its bound, and then packets are dropped."""
    sender = sending()
    receiver = _core.SrtReceiver(host="127.0.0.1", port=sender.port)
    fcntl.fcntl(receiver.fileno(), fcntl.F_SETPIPE_SZ, 8192)  # its own bound takes 10 s
    deadline = time.monotonic() + 10
    while receiver.dropped == 0 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert receiver.dropped > 0
    assert receiver.error() is None
    receiver.close()


def test_receivers_leave_neither_threads_nor_descriptors(sending):
    """What succeeds and what fails, several times over, leaves nothing behind."""
    sender = sending()

    def held():
        gc.collect()
        return [len(list(Path("/proc/self", what).iterdir())) for what in ("fd", "task")]

    def once():
        opened = media_input.Input(parse_source(sender.url))
        opened.read()
        opened.close()
        with pytest.raises(EngineError, match="in time"):
            _core.SrtReceiver(host="127.0.0.1", port=free_port(), timeout_s=0.1)

    once()
    before = held()
    for _ in range(4):
        once()
    assert held() == before
