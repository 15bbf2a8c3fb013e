"""Posting events to a webhook that is slow, away, wrong, or in order."""

import base64
import json
import logging
import socket
import ssl
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from bench.ports import free_port
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from icey.server import webhook
from icey.server.webhook import TRIES, Webhook


def until(condition, within_s=10.0):
    """Wait until a condition holds; fail where it does not in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.005)


class Receiver:
    """An HTTP server that writes down what it gets, and answers as it is told."""

    def __init__(self):
        self.requests = []
        self.connections = 0
        self.answers = []  # the next ones; then 204
        self.after_answer = None
        self.gate = threading.Event()
        self.gate.set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                outer.connections += 1
                super().setup()

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.requests.append((self.path, dict(self.headers), body))
                outer.gate.wait(10)
                status, headers, body = outer.answers.pop(0) if outer.answers else (204, {}, b"")
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)
                if outer.after_answer == "close":
                    self.close_connection = True

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def events(self):
        return [json.loads(body) for _, _, body in self.requests]

    def close(self):
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def make_certificate(folder):
    """A key and a certificate for localhost that nobody trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(pem))
    return folder / "key.pem", folder / "certificate.pem"


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def hook():
    """Return what makes a webhook that waits a thousandth of the usual time between tries."""
    made = []

    def make(url, **options):
        made.append(Webhook(url, **{"wait_s": lambda seconds: seconds / 1000, **options}))
        return made[-1]

    yield make
    for one in made:
        assert one.close_blocking(15)


def post(hook, *numbers):
    for number in numbers:
        hook.post(number, json.dumps({"id": number}).encode())


def test_events_arrive_in_order(receiver, hook):
    """Each event is one POST of JSON with its number, over one connection that stays open."""
    sent = hook(f"http://127.0.0.1:{receiver.port}/hook?key=k")
    post(sent, *range(20))
    until(lambda: sent.status()["delivered"] == 20)
    assert [event["id"] for event in receiver.events] == list(range(20))
    path, headers, _ = receiver.requests[3]
    assert path == "/hook?key=k"
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Icey-Event"] == "3"
    assert "Authorization" not in headers
    assert receiver.connections == 1


def test_user_and_password(receiver, hook):
    """User and password of the URL go into a header (RFC 7617), decoded, and not into the path."""
    sent = hook(f"http://ali%40ce:won%3Ader@127.0.0.1:{receiver.port}")
    post(sent, 1)
    until(lambda: sent.status()["delivered"] == 1)
    path, headers, _ = receiver.requests[0]
    assert path == "/"
    kind, _, encoded = headers["Authorization"].partition(" ")
    assert (kind, base64.b64decode(encoded)) == ("Basic", b"ali@ce:won:der")


@pytest.mark.parametrize("status", [500, 503, 429, 408])
def test_trouble_that_passes(receiver, hook, status):
    """An event that meets trouble is tried again, and later ones wait, so that the order stays."""
    receiver.answers = [(status, {}, b"later")] * 2
    sent = hook(f"http://127.0.0.1:{receiver.port}/")
    post(sent, 1, 2)
    until(lambda: sent.status()["delivered"] == 2)
    assert [event["id"] for event in receiver.events] == [1, 1, 1, 2]
    assert sent.status() == {
        "delivered": 2, "retries": 2, "failed": 0, "dropped": 0, "waiting": 0, "error": "",
    }  # fmt: skip


@pytest.mark.parametrize("status", [400, 401, 404, 410, 301, 307])
def test_refusal(receiver, hook, status):
    """A refused event is not tried again, nor sent to a redirection; the next one is posted."""
    receiver.answers = [(status, {"Location": f"http://127.0.0.1:{receiver.port}/else"}, b"no")]
    sent = hook(f"http://127.0.0.1:{receiver.port}/")
    post(sent, 1)
    until(lambda: sent.status()["failed"] == 1)
    assert f"answered {status}" in sent.status()["error"]
    post(sent, 2)
    until(lambda: sent.status()["delivered"] == 1)
    assert [event["id"] for event in receiver.events] == [1, 2]
    assert {path for path, _, _ in receiver.requests} == {"/"}
    assert sent.status()["error"] == ""


def test_nobody_is_there(hook, caplog):
    """Where nobody listens, an event is given up after its tries; the log says so once."""
    port = free_port()
    waits = []
    sent = hook(
        f"http://alice:wonder@127.0.0.1:{port}/secret-path?key=k",
        wait_s=lambda seconds: waits.append(seconds) or 0.001,
    )
    with caplog.at_level(logging.DEBUG):
        post(sent, 1, 2)
        until(lambda: sent.status()["failed"] == 2)
    assert waits[: TRIES - 1] == [1, 2, 4, 8]
    assert sent.status()["retries"] == 2 * (TRIES - 1)
    assert len([r for r in caplog.records if "does not take events" in r.message]) == 1
    for secret in ("alice", "wonder", "secret-path", "key=k", str(port)):
        assert secret not in caplog.text
        assert secret not in json.dumps(sent.status())


def test_connection_closed_between_events(receiver, hook):
    """A connection that the other side closed meanwhile is no trouble: a new one is made."""
    sent = hook(f"http://127.0.0.1:{receiver.port}/")
    receiver.after_answer = "close"
    for number in range(3):
        post(sent, number)
        until(lambda: sent.status()["delivered"] == number + 1)  # noqa: B023 - it is awaited here
    assert sent.status()["retries"] == 0
    assert receiver.connections == 3


def test_posting_never_waits(receiver, hook, monkeypatch):
    """Posting never waits: events queue, and the oldest is dropped."""
    monkeypatch.setattr(webhook, "QUEUE_EVENTS", 5)
    receiver.gate.clear()
    sent = hook(f"http://127.0.0.1:{receiver.port}/")
    post(sent, 0)
    until(lambda: len(receiver.requests) == 1)
    began = time.monotonic()
    post(sent, *range(1, 101))
    assert time.monotonic() - began < 1
    assert sent.status()["waiting"] == 5
    assert sent.status()["dropped"] == 95
    receiver.gate.set()
    until(lambda: sent.status()["delivered"] == 6)
    assert [event["id"] for event in receiver.events] == [0, 96, 97, 98, 99, 100]


def test_no_answer(receiver, hook, monkeypatch):
    """A server that never answers costs an event its tries, and no more time."""
    monkeypatch.setattr(webhook, "TIMEOUT_S", 0.05)
    monkeypatch.setattr(webhook, "TRIES", 2)
    receiver.gate.clear()
    sent = hook(f"http://127.0.0.1:{receiver.port}/")
    post(sent, 1)
    until(lambda: sent.status()["failed"] == 1)
    assert "no answer" in sent.status()["error"]


def test_endless_answer(receiver, hook):
    """An answer without end is read up to a bound."""
    receiver.answers = [(200, {}, b"x" * 300_000)]
    sent = hook(f"http://127.0.0.1:{receiver.port}/")
    post(sent, 1, 2)
    until(lambda: sent.status()["delivered"] == 2)
    assert receiver.connections == 2


def test_what_is_no_http(hook):
    """A server that speaks no HTTP is trouble like any other."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            for _ in range(TRIES):
                connection, _ = server.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(b"220 mail.example.org ESMTP\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        sent = hook(f"http://127.0.0.1:{server.getsockname()[1]}/")
        post(sent, 1)
        until(lambda: sent.status()["failed"] == 1)
        thread.join(10)
    assert sent.status()["error"]


def test_https(receiver, hook, tmp_path, monkeypatch):
    """The certificate is checked, with the names and roots that the system trusts."""
    key, certificate = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    plain = receiver._server.socket
    receiver._server.socket = context.wrap_socket(
        plain, server_side=True, do_handshake_on_connect=False
    )
    receiver._server.handle_error = lambda *_: None
    url = f"https://localhost:{receiver.port}/"
    wary = hook(url)
    post(wary, 1)
    until(lambda: wary.status()["failed"] == 1)
    assert "its certificate is not trusted" in wary.status()["error"]
    assert wary.status()["retries"] == TRIES - 1
    assert receiver.requests == []
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    trusting = hook(url)
    post(trusting, 2)
    until(lambda: trusting.status()["delivered"] == 1)


def test_url_that_cannot_be_used(hook):
    """A URL that is none, which the configuration would refuse, fails each event and no thread."""
    sent = hook("http://127.0.0.1/a b\x00é")
    post(sent, 1, 2)
    until(lambda: sent.status()["failed"] == 2)
    assert sent.status()["error"] == "its URL cannot be used"


def test_end_delivers_what_waits(receiver):
    """At the end of the server what waits is delivered, if there is time."""
    receiver.gate.clear()
    sent = Webhook(f"http://127.0.0.1:{receiver.port}/")
    post(sent, 1, 2, 3)
    receiver.gate.set()
    assert sent.close_blocking(10)
    assert [event["id"] for event in receiver.events] == [1, 2, 3]
    post(sent, 4)
    assert sent.status()["waiting"] == 0


def test_end_while_nobody_answers():
    """At the end of the server nobody waits for a webhook that is away."""
    port = free_port()
    sent = Webhook(f"http://127.0.0.1:{port}/")
    post(sent, 1, 2)
    until(lambda: sent.status()["retries"] == 0 and sent.status()["error"] != "")
    began = time.monotonic()
    sent.close_blocking(0.05)
    assert time.monotonic() - began < 0.9
    until(lambda: not sent._thread.is_alive())
