"""``/metrics``: the numbers of ``/api/status`` as Prometheus reads them. Pure.

What is counted is decided where it is counted; here it only gets a name. Names follow
https://prometheus.io/docs/practices/naming/: base units, ``_total`` for what only grows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prometheus_client.core import Metric

__all__ = ["CONTENT_TYPE", "metrics_text"]

CONTENT_TYPE = CONTENT_TYPE_LATEST

_SINGLES = {
    "ready": ("icey_ready", "Whether no check of the newest preflight report failed."),
    "uptimeSec": ("icey_uptime_seconds", "Time since the start."),
    "sessions.active": ("icey_sessions_active", "Calls now."),
    "sessions.total": ("icey_sessions_total", "Calls since the start."),
    "signalling.sockets": ("icey_signalling_sockets", "Open WebSockets."),
    "signalling.peers": ("icey_signalling_peers", "Those of them that have authenticated."),
    "signalling.received": ("icey_signalling_received_total", "Messages of peers."),
    "signalling.delivered": (
        "icey_signalling_delivered_total",
        "Messages sent, each receiver counted.",
    ),
    "signalling.unroutable": (
        "icey_signalling_unroutable_total",
        "Messages whose receiver is not there or not in reach.",
    ),
    "signalling.broken": ("icey_signalling_broken_total", "Received frames that are no message."),
    "signalling.overRate": (
        "icey_signalling_over_rate_total",
        "Received frames that were ignored: too many in a short time.",
    ),
    "signalling.refused": ("icey_signalling_refused_total", "Sockets that were refused: too many."),
    "signalling.slowReaders": (
        "icey_signalling_slow_readers_total",
        "Sockets that were cut off: they did not read.",
    ),
    "engine.peers": ("icey_engine_peers", "Browsers with a media path now."),
    "engine.packetsSent": ("icey_engine_sent_packets_total", "Datagrams sent."),
    "engine.bytesSent": ("icey_engine_sent_bytes_total", "Bytes sent."),
    "engine.packetsReceived": ("icey_engine_received_packets_total", "Datagrams received."),
    "engine.bytesReceived": ("icey_engine_received_bytes_total", "Bytes received."),
    "engine.packetsUnknown": (
        "icey_engine_unknown_packets_total",
        "Datagrams received that belong to no peer.",
    ),
    "engine.packetsDropped": (
        "icey_engine_dropped_packets_total",
        "Outgoing packets for which the socket's queue had no room.",
    ),
    "engine.framesDropped": (
        "icey_engine_dropped_frames_total",
        "Access units that a viewer or a queue could not take.",
    ),
    "engine.panics": ("icey_engine_panics_total", "Peers closed by a caught panic: a bug."),
    "turn.allocations.active": ("icey_turn_allocations_active", "TURN allocations now."),
    "turn.allocations.total": ("icey_turn_allocations_total", "TURN allocations made."),
    "turn.connections.active": ("icey_turn_connections_active", "Open TCP and TLS connections."),
    "turn.connections.total": ("icey_turn_connections_total", "Accepted ones."),
    "turn.connections.refused": ("icey_turn_connections_refused_total", "Too many."),
    "turn.connections.dropped": (
        "icey_turn_connections_dropped_total",
        "Ended by the server: broken framing, idle, too slow.",
    ),
    "turn.toPeers.packets": ("icey_turn_to_peers_packets_total", "From clients to peers."),
    "turn.toPeers.bytes": ("icey_turn_to_peers_bytes_total", "Their payloads."),
    "turn.fromPeers.packets": ("icey_turn_from_peers_packets_total", "From peers to clients."),
    "turn.fromPeers.bytes": ("icey_turn_from_peers_bytes_total", "Their payloads."),
    "turn.packetsShortCut": (
        "icey_turn_short_cut_packets_total",
        "Passed to and from the engine inside the process.",
    ),
    "turn.packetsDropped": ("icey_turn_dropped_packets_total", "A queue was full."),
    "turn.panics": (
        "icey_turn_panics_total",
        "Times that a caught panic ended all allocations: a bug.",
    ),
    "relay.viewers": ("icey_relay_viewers", "Who watches the relay."),
    "record.finished": ("icey_record_finished_total", "Recordings finished."),
    "record.failed": ("icey_record_failed_total", "Recordings that broke off."),
    "intelligence.vision.snapshots": ("icey_snapshots_total", "Snapshots kept."),
    "intelligence.vision.snapshotsFailed": (
        "icey_snapshots_failed_total",
        "Snapshots that could not be written.",
    ),
    "intelligence.vision.clips": ("icey_clips_total", "Clips finished."),
    "intelligence.vision.clipsFailed": (
        "icey_clips_failed_total",
        "Clips that could not be written, or were cut short.",
    ),
    "intelligence.vision.clipUnitsDropped": (
        "icey_clips_dropped_units_total",
        "Access units and packets thrown away because the disk was slow.",
    ),
    "intelligence.vision.clipGroupsDropped": (
        "icey_clips_dropped_groups_total",
        "Groups of pictures that were too large for the pre-roll.",
    ),
    "intelligence.vision.undecoded": (
        "icey_undecoded_units_total",
        "Access units that the decoder of the detectors left out.",
    ),
    "intelligence.eventsDropped": (
        "icey_events_dropped_total",
        "Events that the event loop did not take in time.",
    ),
    "intelligence.events.published": (
        "icey_events_published_total",
        "Detections given to /api/events and the webhook.",
    ),
    "intelligence.events.readers": ("icey_events_readers", "Readers of /api/events now."),
    "intelligence.events.slowReaders": (
        "icey_events_slow_readers_total",
        "Readers of /api/events that were cut off.",
    ),
    "intelligence.webhook.delivered": (
        "icey_webhook_delivered_total",
        "Events that the webhook took.",
    ),
    "intelligence.webhook.retries": ("icey_webhook_retries_total", "Further tries."),
    "intelligence.webhook.failed": ("icey_webhook_failed_total", "Events that were given up."),
    "intelligence.webhook.dropped": (
        "icey_webhook_dropped_total",
        "Events thrown away because too many waited.",
    ),
    "intelligence.webhook.waiting": ("icey_webhook_waiting", "Events that wait."),
}
"""Single numbers of the status: the place of each, its name and its help.

A name that ends in ``_total`` is a counter.
"""

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
    """A Prometheus collector of metric families that exist already."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families


def _families(status: Mapping[str, Any]) -> Iterator[Metric]:
    build = GaugeMetricFamily("icey_build_info", "The version.", labels=["version", "mode"])
    build.add_metric([status["version"], status["mode"]], 1)
    yield build
    for path, (name, text) in _SINGLES.items():
        value = _at(status, path)
        if isinstance(value, list):
            value = len(value)
        if value is not None:
            yield _family(name, text, {(): value}, [])
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
