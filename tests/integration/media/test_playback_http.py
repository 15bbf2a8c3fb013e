"""Films and live streams from a web server."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from icey.errors import SourceError
from icey.media.events import SourceEnded, SourceLost, SourceRestored
from integration.media.material import Film, make
from integration.media.sinks import Player, settings, steps

FAST = {"preset": "ultrafast", "g": "15"}


class WebServer:
    """Serves one body under any path; no ranges, as cheap servers have none."""

    def __init__(self, body: bytes) -> None:
        self.status = 200
        self.requests = 0

        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.requests += 1
                self.send_response(outer.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                try:
                    self.wfile.write(body)
                except (BrokenPipeError, ConnectionResetError):
                    return  # the client has what it wanted

            def log_message(self, *args):
                """Stay silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def test_film_from_a_server_without_ranges_loops(tmp_path):
    """A film that cannot be sought is opened anew for each round, and still has no seam."""
    film = Film(frames=30, noise=70, options={**FAST, "crf": "12"})
    path = make(tmp_path / "a.mkv", film)  # larger than FFmpeg's buffers
    with WebServer(path.read_bytes()) as web, Player(f"{web.url}/a.mkv") as player:
        units = player.video.wait_count(80)
        sound = list(player.audio.units)
        assert web.requests >= 2
    assert max(steps(units)) <= 6000
    assert set(steps(sound)) == {960}


def test_film_from_a_server_ends(tmp_path):
    """Without loop it ends like a local file."""
    path = make(tmp_path / "a.mkv", Film(frames=20, options=FAST))
    with (
        WebServer(path.read_bytes()) as web,
        Player(f"{web.url}/a.mkv", settings(loop=False)) as player,
    ):
        player.wait_event(SourceEnded)
        assert len(player.video.units) == 20


def test_refusal_of_the_server():
    """What the server says is passed on, without the user's name."""
    with WebServer(b"") as web:
        web.status = 404
        player = Player(f"{web.url}/a.mp4".replace("://", "://user:hunter2@"))
        with pytest.raises(SourceError, match="404") as caught:
            player.pipeline.prepare()
    assert "hunter2" not in str(caught.value)


def test_live_stream_that_ends_is_opened_again(tmp_path):
    """A live stream over HTTP is paced, and its end is a loss: it is opened again, time goes on."""
    path = make(tmp_path / "a.ts", Film(frames=30, options=FAST))
    with WebServer(path.read_bytes()) as web, Player(f"{web.url}/live") as player:
        player.wait_event(SourceLost)
        player.wait_event(SourceRestored)
        after = len(player.video.units)
        units = player.video.wait_count(after + 20)
        sound = list(player.audio.units)
    assert min(steps(units)) > 0
    assert set(steps(sound)) == {960}
    origins = [u.captured_ns - u.timestamp * 1e9 / 90_000 for u in units]
    assert max(origins) - min(origins) < 1e6
