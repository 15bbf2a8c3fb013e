"""Calls of record mode, with a packet engine and a recorder that are played by the test."""

import asyncio
from pathlib import Path

import pytest

from icey._core import PeerConnected, PeerDisconnected
from icey.config.limits import LimitsSettings
from icey.config.model import MediaSettings, RecordSettings
from icey.errors import RecordingError
from icey.recording.events import (
    RecordingBounded,
    RecordingDelayed,
    RecordingEnded,
    RecordingFailed,
    RecordingFinished,
    RecordingLost,
    RecordingStarted,
    RecordingTroubled,
)
from icey.sessions import record
from icey.sessions.record import RecordMode
from icey.storage.owners import owner_of
from unit.sessions.played_engine import ALICE, BOB, INIT, OFFER, Conversation


class PlayedRecorder:
    """A recorder that tells what the test lets it."""

    all: list["PlayedRecorder"] = []

    def __init__(self, source, *, peer_name, folder, media, codecs, on_event, limits, take_slot):
        if "vp8" in codecs and take_slot() is None:
            raise RecordingError("vp8 is encoded again, and all encoders run")
        self.source, self.peer_name, self.codecs, self.tell = source, peer_name, codecs, on_event
        self.started = self.stopped = False
        self.source_was_closed = None
        self.all.append(self)

    def status(self):
        return {"file": f"{self.peer_name}.mp4", "state": "recording"}

    def start(self):
        self.started = True
        self.tell(RecordingStarted(f"{self.peer_name}.mp4"))

    def stop(self):
        self.stopped, self.source_was_closed = True, self.source.closed
        self.tell(RecordingFinished(f"{self.peer_name}.mp4", 1.23456))
        self.tell(RecordingEnded())


class PlayedKeeper:
    """A folder in whatever state the test wants."""

    refusal: Exception | None = None
    repaired: tuple[str, ...] = ()
    kept = 0

    def __init__(self, folder, settings, *, owners):
        self.folder = folder

    def check_blocking(self):
        if self.refusal:
            raise self.refusal

    def repair_blocking(self):
        return list(self.repaired)

    def keep_blocking(self):
        type(self).kept += 1
        return []


@pytest.fixture(autouse=True)
def played(monkeypatch):
    """Put the played parts in the places of the real ones."""
    monkeypatch.setattr(record, "Recorder", PlayedRecorder)
    monkeypatch.setattr(record, "Keeper", PlayedKeeper)
    monkeypatch.setattr(record, "DRAIN_SECONDS", 0.01)
    monkeypatch.setattr(PlayedRecorder, "all", [])
    monkeypatch.setattr(PlayedKeeper, "refusal", None)
    monkeypatch.setattr(PlayedKeeper, "kept", 0)


class House(Conversation):
    """The calls of record mode, which leave nothing open."""

    def __init__(self, folder=Path("recordings"), *, media=None, **limits):
        made = LimitsSettings.model_validate(limits)
        settings = MediaSettings(record_dir=folder, **(media or {}))
        super().__init__(lambda engine, work: RecordMode(settings, engine, work, limits=made))

    async def __aexit__(self, *_):
        await super().__aexit__()
        assert all(recorder.stopped for recorder in PlayedRecorder.all)
        assert self.calls.status()["record"]["active"] == []

    async def publish(self, who, *, network="", codecs=("h264", "opus")):
        """Call, offer and connect."""
        peer = await self.call(who, network=network)
        peer.codecs = codecs
        await self.until(lambda: self.heard(who, "call:answer"))
        self.engine.tell(PeerConnected(peer=peer.id))
        await self.until(lambda: any(r.source is peer for r in PlayedRecorder.all))
        return peer


async def test_each_caller_is_recorded_by_itself():
    """Two callers have two receiving peers and two recorders, named after them."""
    async with House() as house:
        await house.publish(ALICE)
        await house.publish(BOB)
        assert [peer.direction for peer in house.engine.peers] == ["receive", "receive"]
        assert [recorder.peer_name for recorder in PlayedRecorder.all] == ["alice", "bob"]
        await house.until(lambda: house.heard(BOB, "record:started"))
        assert house.heard(ALICE, "record:started") == [{"file": "alice.mp4"}]
        assert house.calls.status()["record"]["active"] == [
            {"file": "alice.mp4", "state": "recording"},
            {"file": "bob.mp4", "state": "recording"},
        ]


async def test_nothing_is_recorded_before_the_caller_is_connected():
    """An answer alone makes no file; a caller that leaves then leaves none."""
    async with House() as house:
        peer = await house.call(ALICE)
        await house.until(lambda: house.heard(ALICE, "call:answer"))
        house.calls.caller_left(ALICE)
        await house.until(lambda: peer.closed)
        assert PlayedRecorder.all == []


@pytest.mark.parametrize("end", ["hang-up", "socket", "path"])
async def test_every_end_of_a_call_finishes_its_file(end):
    """The peer is closed, so that all that came is there, before the recorder takes the rest."""
    async with House() as house:
        peer = await house.publish(ALICE)
        if end == "hang-up":
            house.calls.deliver(ALICE, {"type": "message", "subtype": "call:hangup", "data": {}})
        elif end == "socket":
            house.calls.caller_left(ALICE)
        else:
            house.engine.tell(PeerDisconnected(peer=peer.id, reason="connection lost"))
        await house.until(lambda: house.heard(ALICE, "record:finished"))
        assert PlayedRecorder.all[0].source_was_closed
        assert house.heard(ALICE, "record:finished") == [{"file": "alice.mp4", "seconds": 1.235}]
        assert house.calls.status()["record"]["finished"] == 1
        assert house.calls.status()["sessions"]["active"] == 0


async def test_a_failed_recording_ends_its_call_and_no_other():
    """A failed recording hangs up its caller with the reason; the other one goes on."""
    async with House() as house:
        await house.publish(ALICE)
        bob = await house.publish(BOB)
        PlayedRecorder.all[0].tell(RecordingFailed("the disk is full"))
        await house.until(lambda: house.heard(ALICE, "call:hangup"))
        assert house.heard(ALICE, "call:hangup") == [
            {"reason": "recording ended: the disk is full"}
        ]
        assert not bob.closed
        assert not PlayedRecorder.all[1].stopped
        assert house.calls.status()["record"]["failed"] == 1


async def test_a_caller_is_refused_while_nothing_can_be_written(monkeypatch):
    """While no file can be written, callers are rejected with the reason, and no peer is made."""
    monkeypatch.setattr(PlayedKeeper, "refusal", RecordingError("the disk has no room"))
    async with House() as house:
        house.calls.deliver(ALICE, INIT)
        await house.until(lambda: house.heard(ALICE, "call:reject"))
        assert house.heard(ALICE, "call:reject") == [
            {"reason": "recording unavailable: the disk has no room"}
        ]
        assert house.engine.peers == []


async def test_the_end_of_the_server_waits_for_the_files():
    """Closing finishes every recording first."""
    async with House() as house:
        await house.publish(ALICE)
        await house.publish(BOB)
        await house.calls.close("server stopped")
        assert all(recorder.stopped for recorder in PlayedRecorder.all)
        assert house.heard(ALICE, "call:hangup") == [{"reason": "server stopped"}]
        assert house.calls.status()["record"]["finished"] == 2


async def test_the_folder_is_repaired_and_kept_from_the_start(monkeypatch, caplog):
    """What a crash left is repaired, said in the log, and old recordings are looked for."""
    monkeypatch.setattr(PlayedKeeper, "repaired", ("alice.recovered.mp4: 12.0 s kept",))
    async with House() as house:
        await house.until(lambda: PlayedKeeper.kept)
        assert "alice.recovered.mp4: 12.0 s kept" in caplog.text
    await asyncio.sleep(0)


async def test_recordings_are_bounded_by_network():
    """One more recording of a network is rejected with the setting's name; its end makes room."""
    async with House(recordingsPerAddress=1) as house:
        await house.publish(ALICE, network="192.0.2.1")
        house.calls.deliver(BOB, INIT, "192.0.2.1")
        await house.until(lambda: house.heard(BOB, "call:accept"))
        house.calls.deliver(BOB, OFFER, "192.0.2.1")
        await house.until(lambda: house.heard(BOB, "call:reject"))
        assert "limits.recordingsPerAddress" in house.heard(BOB, "call:reject")[0]["reason"]
        assert house.refusals.counts == {"recordingsPerAddress": 1}
        await house.publish("carol|3", network="192.0.2.2")
        house.calls.caller_left(ALICE)
        await house.until(lambda: house.heard(ALICE, "record:finished"))
        await house.until(lambda: house.mode.places.taken == 1)
        await house.publish(BOB, network="192.0.2.1")


async def test_callers_hear_what_becomes_of_their_files():
    """A file that is delayed, one that is lost, and pictures of no use are told to their caller."""
    async with House() as house:
        await house.publish(ALICE)
        tell = PlayedRecorder.all[0].tell
        tell(RecordingDelayed("a.mp4", "the disk is full"))
        tell(RecordingLost("a.mp4", "the disk is full"))
        tell(RecordingTroubled("no keyframe"))
        await house.until(lambda: house.heard(ALICE, "record:troubled"))
        told = {"file": "a.mp4", "reason": "the disk is full"}
        assert house.heard(ALICE, "record:delayed") == [told]
        assert house.heard(ALICE, "record:failed") == [told]
        assert house.heard(ALICE, "record:troubled") == [{"reason": "no keyframe"}]
        assert house.calls.status()["record"]["failed"] == 1
        assert not house.heard(ALICE, "call:hangup")


async def test_a_call_at_its_bound_is_hung_up_and_counted():
    """The caller hears which setting it was, and the refusal is counted, not a failure."""
    async with House() as house:
        await house.publish(ALICE)
        PlayedRecorder.all[0].tell(RecordingBounded("recordingBytes", "64 MiB are recorded"))
        await house.until(lambda: house.heard(ALICE, "call:hangup"))
        reason = "recording ended: 64 MiB are recorded"
        assert house.heard(ALICE, "call:hangup") == [{"reason": reason}]
        assert house.refusals.counts == {"recordingBytes": 1}
        assert house.calls.status()["record"]["failed"] == 0


async def test_what_is_encoded_again_needs_an_encoder():
    """A caller whose pictures must be encoded again is refused where all encoders run."""
    async with House(media={"max_encoders": 1}) as house:
        house.mode.encoders.insist("")
        await house.call(BOB)
        house.engine.peers[0].codecs = ("vp8", "opus")
        house.engine.tell(PeerConnected(peer=house.engine.peers[0].id))
        await house.until(lambda: house.heard(BOB, "call:hangup"))
        assert "all encoders run" in house.heard(BOB, "call:hangup")[0]["reason"]
        assert house.refusals.counts == {"encoders": 1}
        assert PlayedRecorder.all == []


@pytest.mark.parametrize("most", [0, 1 << 30])
async def test_whose_a_recording_is_stands_beside_it(tmp_path, most):
    """Where files go for room each is noted as its network's; elsewhere nothing is kept."""
    record = RecordSettings(max_total_bytes=most)
    async with House(tmp_path, media={"record": record}) as house:
        await house.publish(ALICE, network="192.0.2.1")
        await house.until(lambda: house.heard(ALICE, "record:started"))
        if most:
            await house.until((tmp_path / ".icey-owners").exists)
            assert house.mode.owners.read_blocking() == {"alice": owner_of("192.0.2.1")}
    assert (tmp_path / ".icey-owners").exists() == bool(most)
