"""Metrics: the status as Prometheus reads it."""

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from icey.server.metrics import metrics_text

BARE: dict[str, Any] = {
    "version": '0.1.0 "x"',
    "mode": "relay",
    "ready": True,
    "uptimeSec": 12.5,
    "sessions": {"active": 2, "total": 7},
    "engine": {},
    "turn": {"enabled": False, "port": 3478, "externalIp": ""},
    "relay": {"viewers": [{}, {}, {}]},
    "record": {"dir": "recordings"},
    "stream": {"source": "rtsp://host", "framesDropped": 4, "framesIncomplete": 5},
    "refused": {"sockets": 3},
    "intelligence": {"vision": {"enabled": False}, "speech": {"enabled": False}},
}
DETECTOR = {
    "seen": 60,
    "sampled": 10,
    "dropped": 1,
    "processed": 9,
    "failed": 0,
    "emitted": 2,
    "off": "",
}


def read(status):
    """All samples, by name and labels."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(metrics_text(status).decode())
        for sample in family.samples
    }


def test_what_there_is():
    """Numbers have their names; a list is counted; labels are escaped; the rest is absent."""
    samples = read(BARE)
    assert samples == {
        ("icey_build_info", ("mode", "relay"), ("version", '0.1.0 "x"')): 1,
        ("icey_ready",): 1,
        ("icey_uptime_seconds",): 12.5,
        ("icey_sessions_active",): 2,
        ("icey_sessions_total",): 7,
        ("icey_relay_viewers",): 3,
        ("icey_source_dropped_frames_total",): 4,
        ("icey_source_incomplete_frames_total",): 5,
        ("icey_refused_total", ("what", "sockets")): 3,
    }


def test_turn_counts_refusals_by_reason():
    """The TURN server's allocations and bytes are there, and each refusal under its reason."""
    turn = {
        "allocations": {"active": 1, "total": 4},
        "fromPeers": {"packets": 3, "bytes": 900},
        "refusals": {"expired": 2, "forged": 0},
    }
    samples = read(BARE | {"turn": turn})
    assert samples["icey_turn_allocations_active",] == 1
    assert samples["icey_turn_allocations_total",] == 4
    assert samples["icey_turn_from_peers_bytes_total",] == 900
    assert samples["icey_turn_refusals_total", ("reason", "expired")] == 2
    assert samples["icey_turn_refusals_total", ("reason", "forged")] == 0


@pytest.mark.parametrize("kind", ["vision", "speech"])
def test_detectors_are_labelled(kind):
    """Every counter of every detector has a label, for vision and for speech."""
    found = {"detectors": [{"name": "mine", **DETECTOR}, {"name": "other", **DETECTOR}]}
    samples = read(BARE | {"intelligence": BARE["intelligence"] | {kind: found}})
    labels = (("detector", "mine"), ("kind", kind))
    assert samples["icey_detector_dropped_total", *labels] == 1
    assert samples["icey_detector_emitted_total", *labels] == 2
    assert sum(name.startswith("icey_detector_") for name, *_ in samples) == 12
