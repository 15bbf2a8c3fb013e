"""The state of the server as Prometheus reads it. Pure: `/api/status` in another form.

What is counted is decided where it is counted; here it only gets a name. Names follow
https://prometheus.io/docs/practices/naming/: base units, ``_total`` for what only grows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prometheus_client.core import Metric

__all__ = ["CONTENT_TYPE", "metrics_text"]

CONTENT_TYPE = CONTENT_TYPE_LATEST


class _Single(NamedTuple):
    """One number of the status: its name, its help, and where it stands.

    A name that ends in ``_total`` is a counter.
    """

    name: str
    text: str
    path: str


_SINGLES = (
    _Single("icey_ready", "Whether no check of the newest preflight report failed.", "ready"),
    _Single("icey_uptime_seconds", "Time since the start.", "uptimeSec"),
    _Single("icey_sessions_active", "Calls now.", "sessions.active"),
    _Single("icey_sessions_total", "Calls since the start.", "sessions.total"),
    _Single("icey_engine_peers", "Browsers with a media path now.", "engine.peers"),
    _Single("icey_engine_sent_packets_total", "Datagrams sent.", "engine.packetsSent"),
    _Single("icey_engine_sent_bytes_total", "Bytes sent.", "engine.bytesSent"),
    _Single("icey_engine_received_packets_total", "Datagrams received.", "engine.packetsReceived"),
    _Single("icey_engine_received_bytes_total", "Bytes received.", "engine.bytesReceived"),
    _Single(
        "icey_engine_dropped_packets_total",
        "Outgoing packets for which the socket's queue had no room.",
        "engine.packetsDropped",
    ),
    _Single(
        "icey_engine_dropped_frames_total",
        "Access units that a viewer or a queue could not take.",
        "engine.framesDropped",
    ),
    _Single("icey_turn_allocations_active", "TURN allocations now.", "turn.allocations.active"),
    _Single("icey_turn_allocations_total", "TURN allocations made.", "turn.allocations.total"),
    _Single(
        "icey_turn_connections_active", "Open TCP and TLS connections.", "turn.connections.active"
    ),
    _Single("icey_turn_connections_total", "Accepted ones.", "turn.connections.total"),
    _Single("icey_turn_connections_refused_total", "Too many.", "turn.connections.refused"),
    _Single(
        "icey_turn_connections_dropped_total",
        "Ended by the server: broken framing, idle, too slow.",
        "turn.connections.dropped",
    ),
    _Single("icey_turn_to_peers_packets_total", "From clients to peers.", "turn.toPeers.packets"),
    _Single("icey_turn_to_peers_bytes_total", "Their payloads.", "turn.toPeers.bytes"),
    _Single(
        "icey_turn_from_peers_packets_total", "From peers to clients.", "turn.fromPeers.packets"
    ),
    _Single("icey_turn_from_peers_bytes_total", "Their payloads.", "turn.fromPeers.bytes"),
    _Single("icey_turn_dropped_packets_total", "A queue was full.", "turn.packetsDropped"),
    _Single("icey_relay_viewers", "Who watches the relay.", "relay.viewers"),
    _Single("icey_record_finished_total", "Recordings finished.", "record.finished"),
    _Single("icey_record_failed_total", "Recordings that broke off.", "record.failed"),
    _Single(
        "icey_events_published_total",
        "Detections given to /api/events and the webhook.",
        "intelligence.events.published",
    ),
    _Single("icey_events_readers", "Readers of /api/events now.", "intelligence.events.readers"),
)

_DETECTOR_COUNTERS = {
    "seen": "Frames offered to a detector.",
    "sampled": "Frames chosen for it.",
    "dropped": "Chosen ones thrown away because it was slow.",
    "processed": "Chosen ones it looked at.",
    "failed": "Times it raised.",
    "emitted": "Events it gave.",
}


def metrics_text(status: Mapping[str, Any]) -> bytes:
    """Return the text that Prometheus scrapes (exposition format 1.0.0).

    Args:
        status: what ``/api/status`` answers. What is not in it, because the mode has no such
            thing or the feature is off, is not in the text either.
    """
    registry = CollectorRegistry()
    registry.register(_Given(list(_families(status))))
    return generate_latest(registry)


class _Given:
    """A collector of what was collected already."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families


def _families(status: Mapping[str, Any]) -> Iterator[Metric]:
    build = GaugeMetricFamily("icey_build_info", "The version.", labels=["version", "mode"])
    build.add_metric([status["version"], status["mode"]], 1)
    yield build
    for single in _SINGLES:
        value = _at(status, single.path)
        if isinstance(value, list):
            value = len(value)
        if value is not None:
            yield _family(single.name, single.text, {(): value}, [])
    refusals = _at(status, "turn.refusals")
    if refusals is not None:
        by_reason: dict[tuple[str, ...], float] = {
            (reason,): count for reason, count in refusals.items()
        }
        text = "Requests and datagrams that the TURN server refused."
        yield _family("icey_turn_refusals_total", text, by_reason, ["reason"])
    yield from _detectors(status["intelligence"])


def _detectors(intelligence: Mapping[str, Any]) -> Iterator[Metric]:
    found = [
        ((kind, detector["name"]), detector)
        for kind in ("vision", "speech")
        for detector in intelligence[kind].get("detectors", ())
    ]
    for counter, text in _DETECTOR_COUNTERS.items():
        values: dict[tuple[str, ...], float] = {
            labels: detector[counter] for labels, detector in found
        }
        if values:
            yield _family(f"icey_detector_{counter}_total", text, values, ["kind", "detector"])


def _family(
    name: str, text: str, values: Mapping[tuple[str, ...], float], labels: list[str]
) -> Metric:
    kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
    family = kind(name, text, labels=labels)
    for label, value in values.items():
        family.add_metric(list(label), float(value))
    return family


def _at(status: Mapping[str, Any], path: str) -> Any:  # noqa: ANN401 - it is JSON
    found: Any = status
    for key in path.split("."):
        found = found.get(key) if isinstance(found, dict) else None
    return found
