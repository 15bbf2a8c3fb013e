"""Calls of relay mode, with a packet engine that is played by the test."""

import pytest

from icey._core import (
    BitrateEstimated,
    MediaStarted,
    PeerCongested,
    PeerConnected,
    PeerDisconnected,
    PeerStats,
)
from icey.config.model import RelaySettings
from icey.sessions import relay
from icey.sessions.relay import RelayMode
from unit.sessions.played_engine import ALICE, BOB, INIT, Conversation

CAROL, DAVE = "carol|3", "dave|4"
SENDS = "v=0\r\nm=video 9 x 96\r\na=sendonly\r\n"
RECEIVES = "v=0\r\nm=video 9 x 96\r\na=recvonly\r\n"
BOTH = "v=0\r\nm=video 9 x 96\r\na=sendrecv\r\n"
RATES = [150_000, 500_000, 1_500_000]


class House(Conversation):
    """The calls of relay mode, which leave nothing open."""

    def __init__(self, **settings):
        made = RelaySettings.model_validate(settings)
        super().__init__(lambda engine, work: RelayMode(made, engine, work))

    async def join(self, who, offer, *, layers=(), secret="", network=""):
        """Call with this offer, and connect."""
        before = len(self.engine.peers)
        self.said = [(to, message) for to, message in self.said if to != who]
        self.calls.deliver(who, {**INIT, "data": {"session": secret}}, network)
        await self.until(lambda: self.heard(who, "call:accept"))
        message = {"type": "message", "subtype": "call:offer"}
        self.calls.deliver(who, {**message, "data": {"type": "offer", "sdp": offer}}, network)
        await self.until(lambda: self.heard(who, "call:answer") or self.heard(who, "call:reject"))
        if len(self.engine.peers) == before:
            return None
        peer = self.engine.peers[-1]
        peer.layers = layers
        self.engine.tell(PeerConnected(peer=peer.id))
        await self.until(lambda: not self.engine.waiting)
        return peer

    async def broadcast(self, who, *, layers=(), secret="", network=""):
        """Become the source."""
        peer = await self.send(who, layers=layers, secret=secret, network=network)
        await self.until(lambda: self.engine.routes)
        return peer

    async def send(self, who, *, layers=(), secret="", network=""):
        """Call to be the source, and send media."""
        peer = await self.join(who, SENDS, layers=layers, secret=secret, network=network)
        self.engine.tell(MediaStarted(peer=peer.id, kind="video", layer=""))
        await self.until(lambda: not self.engine.waiting)
        return peer

    @property
    def source(self):
        """The name of the source, None without one."""
        source = self.calls.status()["relay"]["source"]
        return source and source["peer"]

    def seen_by(self, peer):
        """The kinds of track that a viewer's peer is attached to, audio and the newest video."""
        return self.engine.newest[peer.id]

    @property
    def video(self):
        return [track for track in self.engine.tracks if track.kind == "video"]


def member_of(house, who):
    """What the mode knows of a caller."""
    return next(member for member in house.mode._members if member.call.caller == who)


async def test_a_viewer_waits_and_sees_the_source_that_comes():
    """A viewer is told to wait, and sees the source on the same call; it never is the source."""
    async with House() as house:
        viewer = await house.join(ALICE, RECEIVES)
        await house.until(lambda: house.heard(ALICE, "relay:waiting"))
        assert viewer.direction == "send"
        source = await house.broadcast(BOB)
        assert (source.direction, source.deliver) == ("receive", "packets")
        await house.until(lambda: house.heard(ALICE, "relay:live"))
        assert house.seen_by(viewer)["video"] == house.video[0].id
        assert house.engine.routes[house.video[0].id] == (source.id, "")
        assert "audio" in house.seen_by(viewer)
        assert not house.heard(ALICE, "call:hangup")
        status = house.calls.status()["relay"]
        assert status["source"]["peer"] == "bob"
        assert [v["peer"] for v in status["viewers"]] == ["alice"]


async def test_nobody_is_the_source_before_media_come():
    """An offer to send, even a connection, is not a source yet."""
    async with House() as house:
        await house.join(ALICE, SENDS)
        assert house.calls.status()["relay"]["source"] is None
        assert not house.engine.routes


async def test_of_two_senders_the_first_with_media_wins():
    """The other candidate is hung up with the reason; a later sender is refused at once."""
    async with House() as house:
        await house.join(ALICE, SENDS)
        bob = await house.join(BOB, SENDS)
        house.engine.tell(MediaStarted(peer=bob.id, kind="audio", layer=""))
        await house.until(lambda: house.heard(ALICE, "call:hangup"))
        assert house.heard(ALICE, "call:hangup") == [{"reason": "relay already has a source"}]
        assert await house.join(CAROL, SENDS) is None
        assert house.heard(CAROL, "call:reject") == [{"reason": "relay already has a source"}]
        assert house.calls.status()["relay"]["source"]["peer"] == "bob"


async def test_a_second_sender_that_can_receive_watches():
    """A second sender whose offer can receive becomes a viewer."""
    async with House() as house:
        await house.broadcast(ALICE)
        bob = await house.join(BOB, BOTH)
        assert bob.direction == "send"
        assert not house.heard(BOB, "call:reject")


@pytest.mark.parametrize("end", ["socket", "path"])
async def test_viewers_stay_for_the_next_source(end):
    """When the source leaves, viewers are told, keep calls and tracks, and see the next source."""
    async with House(returnSeconds=0) as house:
        first = await house.broadcast(ALICE)
        viewer = await house.join(BOB, RECEIVES)
        if end == "socket":
            house.calls.caller_left(ALICE)
        else:
            house.engine.tell(PeerDisconnected(peer=first.id, reason="connection lost"))
        await house.until(lambda: house.heard(BOB, "relay:ended"))
        assert not viewer.closed
        assert house.calls.status()["relay"]["source"] is None
        house.engine.routes.clear()
        second = await house.broadcast(CAROL)
        await house.until(lambda: house.heard(BOB, "relay:live"))
        assert house.engine.routes[house.video[0].id] == (second.id, "")
        assert house.seen_by(viewer)["video"] == house.video[0].id
        assert not house.heard(BOB, "call:hangup")


async def test_the_place_of_a_source_that_reloads_is_kept():
    """For ten seconds only the one that left is elected, by its secret; others are told to wait."""
    async with House() as house:
        await house.broadcast(ALICE, secret="a", network="1")
        await house.join(CAROL, RECEIVES)
        house.calls.caller_left(ALICE)
        await house.send(BOB, secret="b", network="1")
        assert house.heard(BOB, "relay:held") == [{"seconds": 10}]
        await house.send("alice|9", secret="guessed", network="1")
        assert house.source is None
        assert not house.heard(CAROL, "relay:live")
        await house.send("alice|10", secret="a", network="2")
        await house.until(lambda: house.source == "alice")
        assert house.heard(CAROL, "relay:live")
        assert house.heard(BOB, "call:hangup") == [{"reason": "relay already has a source"}]
        assert house.heard("alice|10", "relay:elected")


async def test_the_place_is_free_when_nobody_comes_back(monkeypatch):
    """When its time is over the first candidate whose media came is the source."""
    async with House() as house:
        await house.broadcast(ALICE, secret="a")
        house.calls.caller_left(ALICE)
        await house.join(DAVE, SENDS)
        await house.send(BOB)
        assert house.calls.status()["relay"]["heldSeconds"] == 10
        assert house.calls.status()["relay"]["candidates"] == 2
        now = house.mode.now()
        monkeypatch.setattr(house.mode, "now", lambda: now + 9.5)
        house.mode.tick()
        assert house.source is None
        monkeypatch.setattr(house.mode, "now", lambda: now + 10.5)
        await house.until(lambda: house.source == "bob")
        assert house.heard(BOB, "relay:elected")


async def test_a_client_without_a_secret_is_known_by_user_and_network():
    """A stock client comes back by its name and network; the name alone does not do."""
    async with House() as house:
        await house.broadcast(ALICE, network="1")
        house.calls.caller_left(ALICE)
        await house.send("alice|8", network="2")
        assert house.source is None
        await house.send("alice|9", network="1")
        await house.until(lambda: house.source == "alice")


async def test_a_source_takes_over_from_its_own_old_call():
    """A source that is back before its old call is lost takes its place, by its secret only."""
    async with House() as house:
        await house.broadcast(ALICE, secret="a", network="1")
        assert await house.join("alice|8", SENDS, secret="b", network="1") is None
        assert house.refusals.counts == {"relaySource": 1}
        second = await house.send("alice|9", secret="a")
        await house.until(lambda: house.heard(ALICE, "call:hangup"))
        assert house.engine.routes[house.video[0].id] == (second.id, "")
        assert house.source == "alice"


async def test_who_neither_sends_nor_receives_is_refused():
    """An offer that neither sends nor receives is refused."""
    async with House() as house:
        await house.join(ALICE, "v=0\r\nm=video 9 x 96\r\na=inactive\r\n")
        [reject] = house.heard(ALICE, "call:reject")
        assert "neither" in reject["reason"]


async def test_the_limit_of_viewers():
    """One more than allowed is refused with the setting's name; a source is no viewer."""
    async with House(maxViewers=1) as house:
        await house.broadcast(ALICE)
        await house.join(BOB, RECEIVES)
        await house.join(CAROL, RECEIVES)
        [reject] = house.heard(CAROL, "call:reject")
        assert "media.relay.maxViewers" in reject["reason"]
        house.calls.caller_left(BOB)
        assert await house.join(DAVE, RECEIVES)


async def test_layers_follow_the_path(monkeypatch):
    """A viewer climbs slowly where its path carries more, and falls at once where it does not."""
    async with House() as house:
        now = 1000.0
        monkeypatch.setattr(house.mode, "now", lambda: now)
        viewer = await house.join(BOB, RECEIVES)
        source = await house.broadcast(ALICE, layers=("q", "h", "f"))
        for track, rate in zip(house.video, RATES, strict=True):
            track.bitrate = rate
        assert [house.engine.routes[t.id] for t in house.video] == [
            (source.id, "q"),
            (source.id, "h"),
            (source.id, "f"),
        ]
        for _ in range(60):
            now += 0.25
            member_of(house, BOB).handle_event(BitrateEstimated(peer=viewer.id, bitrate=3_000_000))
        assert house.seen_by(viewer)["video"] == house.video[2].id
        house.engine.tell(BitrateEstimated(peer=viewer.id, bitrate=200_000))
        await house.until(lambda: house.seen_by(viewer)["video"] == house.video[0].id)
        assert house.calls.status()["relay"]["viewers"][0]["layer"] == 0


async def test_a_congested_viewer_is_told_and_falls_a_layer():
    """A congested viewer alone is told, and falls a layer."""
    async with House() as house:
        viewer = await house.join(BOB, RECEIVES)
        await house.join(CAROL, RECEIVES)
        await house.broadcast(ALICE, layers=("q", "h", "f"))
        for track, rate in zip(house.video, RATES, strict=True):
            track.bitrate = rate
        member = member_of(house, BOB)
        member.choice.layer = member.attached = 2
        house.engine.tell(PeerCongested(peer=viewer.id, congested=True))
        await house.until(lambda: house.heard(BOB, "relay:congested"))
        assert house.heard(BOB, "relay:congested") == [{"congested": True}]
        assert not house.heard(CAROL, "relay:congested")
        assert house.seen_by(viewer)["video"] == house.video[1].id


async def test_paths_are_measured_for_the_status(monkeypatch):
    """The status has rate, loss and round trip of each viewer, measured in a thread."""
    monkeypatch.setattr(relay, "MEASURE_SECONDS", 0.1)
    async with House() as house:
        viewer = await house.join(BOB, RECEIVES)
        viewer.counted = PeerStats(bytes_sent=50_000, loss=0.01, rtt_ms=12.5)
        status = house.calls.status
        await house.until(lambda: status()["relay"]["viewers"][0]["bitrate"])
        [shown] = status()["relay"]["viewers"]
        assert (shown["loss"], shown["rttMs"]) == (0.01, 12.5)
