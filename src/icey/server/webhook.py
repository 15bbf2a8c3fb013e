"""The webhook: posts each event to a URL of the user's (``media.intelligence.webhook``).

::

    loop: post ─▶ queue (the oldest gives way) ─▶ thread: POST, again after 1, 2, 4 … 30 s

Contract: `Webhook.post` never blocks. Events arrive in order, one at a time; one that five tries
could not deliver is given up and counted. The URL is a secret: no message here holds any of it.
"""

from __future__ import annotations

import base64
import http.client
import logging
import ssl
import threading
from collections import deque
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from icey.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

QUEUE_EVENTS = 256
"""Events that may wait; some minutes of them, while the other side is away."""

TRIES = 5
"""How often an event is tried."""

TIMEOUT_S = 10.0
"""For the connection and for each wait in it, s."""

MAX_ANSWER = 64 * 1024
"""Bytes read of an answer, whose body nobody wants; more closes the connection."""

AGAIN = frozenset({408, 425, 429})
"""Answers below 500 after which a second try is worth it (RFC 9110 §15.5.9, RFC 8470, RFC 6585)."""


class _RefusedError(Exception):
    """The receiver refuses this event; another try would be refused too."""


class Webhook:
    """Posts events from a thread of its own.

    Args:
        url: http or https, with user and password where the other side wants them.
        wait_s: given how many seconds `Backoff` says, how many to wait; for tests.
    """

    def __init__(self, url: str, *, wait_s: Callable[[float], float] = lambda s: s) -> None:
        self._url = urlsplit(url)
        self._wait_s = wait_s
        self._queue: deque[tuple[int, bytes]] = deque()
        self._changed = threading.Condition()  # guards the queue and the two below
        self._closing = False
        self._abandoned = False
        self._connection: http.client.HTTPConnection | None = None
        self._delivered = self._failed = self._dropped = self._retries = 0
        self._trouble = ""
        self._thread = threading.Thread(target=self._run, name="icey-webhook", daemon=True)
        self._thread.start()

    def post(self, number: int, body: bytes) -> None:
        """Queue an event. Returns at once.

        Args:
            number: of the event; the other side can see by it what it got twice.
            body: JSON.
        """
        with self._changed:
            if self._closing:
                return
            if len(self._queue) >= QUEUE_EVENTS:
                self._queue.popleft()
                self._dropped += 1
            self._queue.append((number, body))
            self._changed.notify()

    def status(self) -> dict[str, Any]:
        """Count the events by their outcome; ``error`` is why the newest try failed, or empty."""
        return {
            "delivered": self._delivered,
            "retries": self._retries,
            "failed": self._failed,
            "dropped": self._dropped,
            "waiting": len(self._queue),
            "error": self._trouble,
        }

    def close_blocking(self, timeout_s: float) -> bool:
        """Post what waits, for so many seconds at most; return whether the thread ended."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout_s)
        with self._changed:
            self._abandoned = True
            self._changed.notify()
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (event := self._next()) is not None:
            self._deliver(*event)
        self._disconnect()

    def _next(self) -> tuple[int, bytes] | None:
        with self._changed:
            while not self._queue and not self._closing:
                self._changed.wait()
            return self._queue.popleft() if self._queue and not self._abandoned else None

    def _deliver(self, number: int, body: bytes) -> None:
        backoff = Backoff()
        for remaining in reversed(range(TRIES)):
            try:
                self._try(number, body)
            except _RefusedError as error:
                self._complain(str(error))
                break
            except (OSError, http.client.HTTPException, ValueError) as error:
                self._disconnect()
                if not _may_pass(error):
                    self._complain("its URL cannot be used")
                    break
                self._complain(_reason(error))
                if remaining == 0 or not self._pause(backoff.failed()):
                    break
                self._retries += 1
            else:
                self._delivered += 1
                if self._trouble:
                    log.info("the webhook takes events again")
                    self._trouble = ""
                return
        self._failed += 1

    def _try(self, number: int, body: bytes) -> None:
        """Post an event once.

        Raises:
            OSError, HTTPException: the network, or an answer that promises more for later.
            _RefusedError: another answer.
        """
        fresh = self._connection is None
        connection = self._connect()
        try:
            status = self._exchange(connection, number, body)
        except (ConnectionError, http.client.RemoteDisconnected, http.client.CannotSendRequest):
            if fresh:
                raise
            # It was kept open from the last event, and the other side closed it meanwhile.
            self._disconnect()
            status = self._exchange(self._connect(), number, body)
        if status >= 500 or status in AGAIN:
            raise http.client.HTTPException(f"it answered {status}")
        if not 200 <= status < 300:
            hint = "; redirections are not followed" if 300 <= status < 400 else ""
            raise _RefusedError(f"it answered {status}{hint}")

    def _exchange(self, connection: http.client.HTTPConnection, number: int, body: bytes) -> int:
        path = self._url.path or "/"
        target = f"{path}?{self._url.query}" if self._url.query else path
        connection.request("POST", target, body, self._headers(number))
        with connection.getresponse() as answer:
            rest = answer.read(MAX_ANSWER + 1)
        if len(rest) > MAX_ANSWER or answer.will_close:
            self._disconnect()
        return answer.status

    def _headers(self, number: int) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "icey-server",
            "X-Icey-Event": str(number),
        }
        if self._url.username is not None:
            pair = f"{unquote(self._url.username)}:{unquote(self._url.password or '')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        return headers

    def _connect(self) -> http.client.HTTPConnection:
        if self._connection is None:
            tls = self._url.scheme == "https"
            kind = http.client.HTTPSConnection if tls else http.client.HTTPConnection
            self._connection = kind(self._url.hostname or "", self._url.port, timeout=TIMEOUT_S)
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _pause(self, seconds: float) -> bool:
        """Wait before the next try; return False where the server stops meanwhile."""
        with self._changed:
            self._changed.wait_for(lambda: self._abandoned, self._wait_s(seconds))
            return not self._abandoned

    def _complain(self, reason: str) -> None:
        """Log a reason once, not for each event."""
        if reason != self._trouble:
            log.warning("the webhook (media.intelligence.webhook) does not take events: %s", reason)
        self._trouble = reason


def _may_pass(error: Exception) -> bool:
    """Return whether a second try may succeed."""
    # A wrong certificate is a ValueError.
    return isinstance(error, OSError | http.client.HTTPException) and not isinstance(
        error, http.client.InvalidURL
    )


def _reason(error: BaseException) -> str:
    """Return why a try failed, without a host or an address."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message})"
    if isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT_S:.0f} s"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
