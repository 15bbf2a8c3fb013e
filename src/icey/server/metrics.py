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

CONTENT_TYPE = CONTENT_TYPE_LATEST

_SINGLES = {
    "": {
        "ready": ("ready", "Whether no check of the newest preflight report failed."),
        "uptimeSec": ("uptime_seconds", "Time since the start."),
    },
    "sessions": {
        "active": ("sessions_active", "Calls now."),
        "total": ("sessions_total", "Calls since the start."),
    },
    "http": {
        "connections": ("http_connections", "Connections of HTTP and WebSockets now."),
        "idle": ("http_idle_connections", "Those of them that may be cut for a newcomer."),
        "idleCut": ("http_idle_cut_total", "Idle connections cut for a newcomer."),
    },
    "signalling": {
        "sockets": ("signalling_sockets", "Open WebSockets."),
        "peers": ("signalling_peers", "Those of them that have authenticated."),
        "received": ("signalling_received_total", "Messages of peers."),
        "delivered": ("signalling_delivered_total", "Messages sent, each receiver counted."),
        "unroutable": ("signalling_unroutable_total", "Messages without a receiver in reach."),
        "broken": ("signalling_broken_total", "Received frames that are no message."),
        "overRate": ("signalling_over_rate_total", "Frames ignored: too many at a time."),
        "overBudget": ("signalling_over_budget_total", "Messages ignored: too many bytes."),
        "presencesMerged": ("signalling_merged_presences_total", "Replaced by newer ones."),
        "probesAnswered": ("signalling_answered_probes_total", "Presences sent for their peers."),
        "refused": ("signalling_refused_total", "Sockets that were refused: too many."),
        "slowReaders": ("signalling_slow_readers_total", "Sockets cut off: they did not read."),
        "droppedBroadcasts": (
            "signalling_dropped_broadcasts_total",
            "Messages to rooms for which a receiver's queue had no room.",
        ),
        "droppedDirect": (
            "signalling_dropped_direct_total",
            "Direct messages of peers for which a receiver's queue had no room.",
        ),
        "candidatesDropped": ("signalling_dropped_candidates_total", "Too many before the offer."),
    },
    "load": {
        "unconnectedCalls": ("calls_unconnected", "Calls whose media path is not up yet."),
        "encoders": ("encoders", "Pipelines with an encoder that run now."),
        "encodersMost": ("encoders_most", "How many may run; 0 is no bound."),
        "viewersSharing": ("viewers_sharing", "Viewers of a pipeline that others watch too."),
        "sourcesWaiting": ("sources_waiting", "Sources that wait for their turn to open."),
        "pipelinesBehind": ("pipelines_behind", "Pipelines many of whose pictures come late."),
        "latePictures": ("late_pictures_total", "Pictures that the encoders were late for."),
    },
    "stream": {
        "framesDropped": ("source_dropped_frames_total", "Frames of RTSP without room here."),
        "framesIncomplete": (
            "source_incomplete_frames_total",
            "Pictures of RTSP that lean on one that is missing.",
        ),
    },
    "engine": {
        "peers": ("engine_peers", "Browsers with a media path now."),
        "packetsSent": ("engine_sent_packets_total", "Datagrams sent."),
        "bytesSent": ("engine_sent_bytes_total", "Bytes sent."),
        "packetsReceived": ("engine_received_packets_total", "Datagrams received."),
        "bytesReceived": ("engine_received_bytes_total", "Bytes received."),
        "packetsUnknown": ("engine_unknown_packets_total", "Datagrams received of no peer."),
        "packetsDropped": (
            "engine_dropped_packets_total",
            "Outgoing packets for which the socket's queue had no room.",
        ),
        "framesDropped": (
            "engine_dropped_frames_total",
            "Access units that a viewer or a queue could not take.",
        ),
        "checksRefused": (
            "engine_refused_checks_total",
            "ICE checks not sent: too many to addresses that never answered.",
        ),
        "eventsMerged": ("engine_merged_events_total", "Bitrate estimates merged into newer ones."),
        "panics": ("engine_panics_total", "Peers closed by a caught panic: a bug."),
    },
    "turn.allocations": {
        "active": ("turn_allocations_active", "TURN allocations now."),
        "total": ("turn_allocations_total", "TURN allocations made."),
    },
    "turn.connections": {
        "active": ("turn_connections_active", "Open TCP and TLS connections."),
        "total": ("turn_connections_total", "Accepted ones."),
        "refused": ("turn_connections_refused_total", "Too many."),
        "dropped": (
            "turn_connections_dropped_total",
            "Ended by the server: broken framing, idle, too slow.",
        ),
    },
    "turn.toPeers": {
        "packets": ("turn_to_peers_packets_total", "From clients to peers."),
        "bytes": ("turn_to_peers_bytes_total", "Their payloads."),
    },
    "turn.fromPeers": {
        "packets": ("turn_from_peers_packets_total", "From peers to clients."),
        "bytes": ("turn_from_peers_bytes_total", "Their payloads."),
    },
    "turn": {
        "packetsShortCut": (
            "turn_short_cut_packets_total",
            "To and from the engine, inside.",
        ),
        "packetsDropped": ("turn_dropped_packets_total", "A queue was full."),
        "panics": ("turn_panics_total", "Times that a caught panic ended all allocations: a bug."),
    },
    "relay": {
        "viewers": ("relay_viewers", "Who watches the relay."),
    },
    "record": {
        "finished": ("record_finished_total", "Recordings finished."),
        "failed": ("record_failed_total", "Recordings that broke off."),
    },
    "intelligence.vision": {
        "snapshots": ("snapshots_total", "Snapshots kept."),
        "snapshotsFailed": ("snapshots_failed_total", "Snapshots that could not be written."),
        "clips": ("clips_total", "Clips finished."),
        "clipsFailed": ("clips_failed_total", "Clips not written or cut short."),
        "clipUnitsDropped": ("clips_dropped_units_total", "Units dropped: the disk was slow."),
        "clipGroupsDropped": ("clips_dropped_groups_total", "Groups too large for the pre-roll."),
        "undecoded": ("undecoded_units_total", "Access units not decoded for detectors."),
    },
    "intelligence": {
        "eventsDropped": ("events_dropped_total", "Events that the loop took too late."),
    },
    "intelligence.events": {
        "published": ("events_published_total", "Detections given to /api/events and the webhook."),
        "readers": ("events_readers", "Readers of /api/events now."),
        "slowReaders": ("events_slow_readers_total", "Readers of /api/events that were cut off."),
    },
    "intelligence.webhook": {
        "delivered": ("webhook_delivered_total", "Events that the webhook took."),
        "retries": ("webhook_retries_total", "Further tries."),
        "failed": ("webhook_failed_total", "Events that were given up."),
        "dropped": ("webhook_dropped_total", "Events thrown away because too many waited."),
        "waiting": ("webhook_waiting", "Events that wait."),
    },
}
"""The single numbers of the status by their place in it, each with its name and its help.

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
    for section, numbers in _SINGLES.items():
        there = _at(status, section) or {}
        for key, (name, text) in numbers.items():
            value = there.get(key)
            if value is not None:
                value = len(value) if isinstance(value, list) else value
                yield _family(f"icey_{name}", text, {(): value}, [])
    refusals = _at(status, "turn.refusals")
    if refusals is not None:
        by_reason: dict[tuple[str, ...], float] = {
            (reason,): count for reason, count in refusals.items()
        }
        text = "Requests and datagrams that the TURN server refused."
        yield _family("icey_turn_refusals_total", text, by_reason, ["reason"])
    refused: dict[tuple[str, ...], float] = {
        (what,): count for what, count in status["refused"].items()
    }
    if refused:
        text = "What was refused to strangers, by the name of the bound."
        yield _family("icey_refused_total", text, refused, ["what"])
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
    for key in path.split(".") if path else ():
        found = found.get(key) if isinstance(found, dict) else None
    return found
