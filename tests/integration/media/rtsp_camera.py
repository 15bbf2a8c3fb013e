"""A camera over RTSP whose oddities a test chooses; on loopback, in a thread of its own.

    python -m integration.media.rtsp_camera PORT PICTURES_PER_SECOND

serves a stream whose pictures tell when they were sent, for the light clients of the benches.
"""

from __future__ import annotations

import asyncio
import base64
import re
import struct
import sys
import threading
import time
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Self

import av
import numpy as np
from bench.ports import free_port

from icey.media.h264 import IDR, PPS, SPS, nal_units

if TYPE_CHECKING:
    from collections.abc import Callable

SEI = 6
PACKET = 1200
TONE_HZ = 440
NTP_S = 3_973_000_000
"""What the camera's clock says when it begins to play, s since 1900."""


def h264_units(
    count: int,
    fps: int = 25,
    gop: int = 50,
    size: tuple[int, int] = (320, 180),
    bframes: int = 0,
    more: str = "",
) -> list[list[bytes]]:
    """Encode a moving bar: NAL units by access unit, parameter sets in front of keyframes.

    Args:
        count: of pictures.
        fps: pictures a second.
        gop: pictures from keyframe to keyframe.
        size: width and height.
        bframes: B-frames in a row.
        more: parameters of x264.
    """
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height = size
    encoder.pix_fmt = "yuv420p"
    encoder.framerate = Fraction(fps)
    encoder.time_base = Fraction(1, fps)
    groups = f"keyint={gop}:min-keyint={gop}:scenecut=0:bframes={bframes}{more and ':' + more}"
    encoder.options = {"preset": "veryfast", "x264-params": f"{groups}:repeat-headers=1"}
    packets = []
    for number in range(count):
        luma = np.full((size[1] * 3 // 2, size[0]), 128, np.uint8)
        luma[: size[1], number * 8 % size[0] :][:, :16] = 235
        frame = av.VideoFrame.from_ndarray(luma, "yuv420p")
        frame.pts = number
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    return [
        [unit for unit in nal_units(bytes(packet)) if unit[0] & 31 != SEI] for packet in packets
    ]


def opus_packets(count: int) -> list[bytes]:
    """Encode a tone of 440 Hz in packets of 20 ms."""
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.format, encoder.layout = 48_000, "s16", "stereo"
    packets: list[bytes] = []
    for number in range(count):
        at = (np.arange(960) + number * 960) / 48_000
        tone = (12_000 * np.sin(2 * np.pi * TONE_HZ * at)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(np.repeat(tone, 2)[None], "s16", "stereo")
        frame.sample_rate = 48_000
        packets += map(bytes, encoder.encode(frame))
    return packets


def mulaw(count: int) -> list[bytes]:
    """Encode the tone as G.711 µ-law in packets of 20 ms."""
    encoder = av.CodecContext.create("pcm_mulaw", "w")
    encoder.sample_rate, encoder.format, encoder.layout = 8_000, "s16", "mono"
    packets: list[bytes] = []
    for number in range(count):
        at = (np.arange(160) + number * 160) / 8_000
        tone = (12_000 * np.sin(2 * np.pi * TONE_HZ * at)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(tone[None], "s16", "mono")
        frame.sample_rate = 8_000
        packets += map(bytes, encoder.encode(frame))
    return packets


@dataclass
class Sound:
    """Packets of 20 ms that come round and round.

    Attributes:
        rtpmap: its name in the SDP.
        step: of the RTP time from packet to packet.
        packets: the payloads.
    """

    rtpmap: str
    step: int
    packets: list[bytes]


@dataclass
class Camera:
    """A camera; `start` and `stop` may alternate, the port stays the same.

    Attributes:
        units: NAL units by access unit, from a keyframe on, that come round and round.
        fps: access units a second.
        sound: what is heard.
        takes_tcp: whether it sends packets within the RTSP connection.
        own_port: whether UDP comes from the port that it tells.
        sprop: whether the SDP has the parameter sets.
        start_at: the access unit that each session begins with.
        stamps: whether pictures tell when they were sent (``rust/clients/src/delay.rs``).
        sections: more of the SDP.
        sound_late_s: how much later than pictures of the same moment sound is sent; only the
            sender reports tell.
        rtp_time: the RTP time of an access unit by its number.
        requests: the methods that clients have asked for, by order.
        silent: it sends nothing more, and stays there.
    """

    units: list[list[bytes]]
    fps: float = 25
    sound: Sound | None = None
    takes_tcp: bool = True
    own_port: bool = True
    sprop: bool = True
    start_at: int = 0
    stamps: bool = False
    sections: str = ""
    sound_late_s: float = 0
    rtp_time: Callable[[int], int] | None = None
    port: int = field(default_factory=free_port)
    requests: list[str] = field(default_factory=list)
    silent: bool = False

    @property
    def url(self) -> str:
        """Where it is."""
        return f"rtsp://127.0.0.1:{self.port}/live"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to listen."""
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,))
        self._thread.start()
        assert ready.wait(10)

    def stop(self) -> None:
        """Close all connections and the port."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def _run(self, ready: threading.Event) -> None:
        self._loop.run_until_complete(self._serve(ready))
        self._loop.close()

    async def _serve(self, ready: threading.Event) -> None:
        self._end = asyncio.Event()
        self._writers: list[asyncio.StreamWriter] = []
        server = await asyncio.start_server(self._client, "127.0.0.1", self.port)
        ready.set()
        await self._end.wait()
        server.close()
        for writer in self._writers:
            writer.transport.abort()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _sdp(self) -> str:
        parameters = ""
        if self.sprop:
            sets = [unit for unit in self.units[0] if unit[0] & 31 in {SPS, PPS}]
            coded = ",".join(base64.b64encode(unit).decode() for unit in sets)
            parameters = f";sprop-parameter-sets={coded}"
        text = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\na=control:*\r\n"
        if self.units:
            text += "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:trackID=0\r\n"
            text += f"a=fmtp:96 packetization-mode=1{parameters}\r\n"
        if self.sound is not None:
            text += f"m=audio 0 RTP/AVP 97\r\na=rtpmap:97 {self.sound.rtpmap}\r\n"
            text += "a=control:trackID=1\r\n"
        return text + self.sections

    def _answer(
        self, method: str, url: str, head: bytes, ways: dict[int, tuple[str, int]], port: int
    ) -> tuple[str, str]:
        """Answer a request: the status, and what comes behind CSeq."""
        if method == "OPTIONS":
            return "200 OK", "Public: DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER\r\n\r\n"
        if method == "DESCRIBE":
            body = self._sdp()
            kind = f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n\r\n"
            return "200 OK", kind + body
        session = "Session: 1;timeout=60\r\n"
        if method != "SETUP":
            return "200 OK", session + "\r\n"
        way = re.search(rb"(interleaved|client_port)=(\d+)", head)
        assert way is not None
        name, first = way[1].decode(), int(way[2])
        is_tcp = name == "interleaved"
        if is_tcp and not self.takes_tcp:
            return "461 Unsupported Transport", "\r\n"
        ways[1 if url.endswith("trackID=1") else 0] = name, first
        profile = "RTP/AVP/TCP" if is_tcp else "RTP/AVP"
        server = "" if is_tcp else f";server_port={port}-{port + 1}"
        transport = f"Transport: {profile};unicast;{name}={first}-{first + 1}{server}\r\n"
        return "200 OK", f"{session}{transport}\r\n"

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        ways: dict[int, tuple[str, int]] = {}
        udp, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
        )
        port = udp.get_extra_info("sockname")[1] if self.own_port else 40000
        playing: asyncio.Task[None] | None = None
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                while head.startswith(b"$"):  # a report of the receiver
                    head = head[4 + int.from_bytes(head[2:4], "big") :]
                method, url, *_ = head.decode().split(" ")
                self.requests.append(method)
                number = re.search(rb"(?i)cseq: *(\d+)", head)
                assert number is not None
                status, rest = self._answer(method, url, head, ways, port)
                line = f"RTSP/1.0 {status}\r\nCSeq: {number[1].decode()}\r\n"
                writer.write(f"{line}{rest}".encode())
                if method == "PLAY":
                    playing = asyncio.ensure_future(self._play(writer, ways, udp))
                if method == "TEARDOWN":
                    break
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the other side is gone, or the test is over
        finally:
            if playing is not None:
                playing.cancel()
            writer.close()
            udp.close()

    def _report(
        self,
        writer: asyncio.StreamWriter,
        ways: dict[int, tuple[str, int]],
        stream: int,
        media_s: float,
        timestamp: int,
    ) -> None:
        """Tell when a frame was captured, in the middle of each second."""
        kind, at = ways[stream]
        if kind == "interleaved" and self.sound_late_s and 0.5 <= media_s % 1 < 0.54:
            ntp = int((NTP_S + media_s) * 2**32)
            head = struct.pack(">BBHIQI", 0x80, 200, 6, stream + 17, ntp, timestamp)
            writer.write(struct.pack(">cBH", b"$", at + 1, 28) + head + bytes(8))

    async def _play(
        self,
        writer: asyncio.StreamWriter,
        ways: dict[int, tuple[str, int]],
        udp: asyncio.DatagramTransport,
    ) -> None:
        sequences = [7, 9]

        def packet(stream: int, timestamp: int, payload: bytes, *, marker: bool) -> bytes:
            kind = 96 + stream | (0x80 if marker else 0)
            number, sequences[stream] = sequences[stream], (sequences[stream] + 1) & 0xFFFF
            head = struct.pack(">BBHII", 0x80, kind, number, timestamp & 0xFFFFFFFF, stream + 17)
            return head + payload

        def send(stream: int, packets: list[bytes]) -> None:
            kind, at = ways[stream]
            if kind == "interleaved":
                framed = [struct.pack(">cBH", b"$", at, len(one)) + one for one in packets]
                writer.write(b"".join(framed))
            else:
                for one in packets:
                    udp.sendto(one, ("127.0.0.1", at))

        begun = time.monotonic()
        pictures = sounds = 0
        while True:
            picture_due = begun + pictures / self.fps if 0 in ways else float("inf")
            has_sound = self.sound is not None and 1 in ways
            sound_due = begun + self.sound_late_s + sounds / 50 if has_sound else float("inf")
            wait = min(picture_due, sound_due) - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            if self.silent:
                await asyncio.sleep(0.05)
                continue
            if sound_due < picture_due:
                assert self.sound is not None
                payload = self.sound.packets[sounds % len(self.sound.packets)]
                send(1, [packet(1, sounds * self.sound.step, payload, marker=False)])
                self._report(writer, ways, 1, sounds / 50, sounds * self.sound.step)
                sounds += 1
                continue
            units = self.units[(self.start_at + pictures) % len(self.units)]
            if self.stamps and units[-1][0] & 31 != IDR:
                stamp = f"{time.time_ns():016x}".encode()
                units = [b"\x06icey-clock" + stamp + b"\x80", *units]
            time_of = self.rtp_time or (lambda number: int(number * 90_000 / self.fps))
            pieces = [piece for unit in units for piece in _payloads(unit)]
            last = len(pieces) - 1
            timestamp = time_of(pictures)
            send(0, [packet(0, timestamp, p, marker=i == last) for i, p in enumerate(pieces)])
            self._report(writer, ways, 0, pictures / self.fps, timestamp)
            pictures += 1


def _payloads(unit: bytes) -> list[bytes]:
    """Cut a NAL unit into payloads (RFC 6184 §5.6, §5.8)."""
    if len(unit) <= PACKET:
        return [unit]
    body = [unit[i : i + PACKET] for i in range(1, len(unit), PACKET)]
    last = len(body) - 1
    return [
        bytes(
            [
                unit[0] & 0xE0 | 28,
                unit[0] & 31 | (0x80 if i == 0 else 0) | (0x40 if i == last else 0),
            ]
        )
        + part
        for i, part in enumerate(body)
    ]


if __name__ == "__main__":
    rate = int(sys.argv[2])
    sound = Sound("opus/48000/2", 960, opus_packets(100))
    units = h264_units(rate * 10, rate, rate * 2, (1280, 720))
    with Camera(units, rate, sound, stamps=True, port=int(sys.argv[1])):
        print("ready", flush=True)  # noqa: T201
        sys.stdin.read()
