"""Who is told of whom, and how often.

A peer's presence is told once a second at most, the newest one. Probes are passed on as far as
peers can be asked without harm; where they were asked enough the server answers in their place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from icey.signalling.actions import Rank
from icey.signalling.messages import Frame

if TYPE_CHECKING:
    from icey.signalling.actions import Change, HubAction, Show
    from icey.signalling.agenda import Agenda
    from icey.signalling.counters import Counters
    from icey.signalling.delivery import Delivery
    from icey.signalling.limits import Limits
    from icey.signalling.peers import Peer
    from icey.signalling.roster import Roster
    from icey.signalling.session import Session


class Presence:
    """The presence of all peers.

    Args:
        limits: the bounds.
        roster: who is there.
        delivery: makes the actions.
        agenda: takes what is put off.
        counters: where it counts.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        roster: Roster,
        delivery: Delivery,
        agenda: Agenda,
        counters: Counters,
    ) -> None:
        self._limits = limits
        self._roster = roster
        self._delivery = delivery
        self._agenda = agenda
        self._counters = counters
        server = roster.server
        self._of_server = {
            "type": "presence",
            "from": server.address,
            "data": server.presence_data(),
        }
        self._server_frame = Frame(self._of_server)

    def introduce(self, peer: Peer, present: dict[str, None]) -> list[HubAction]:
        """Send a peer's presence to those present, and theirs to the peer."""
        actions: list[HubAction] = []
        if self._roster.server.id in present:
            actions.append(self._delivery.say(peer.id, self._server_frame))
        others = self._but_server(present)
        if others:
            actions.append(self._show_all(peer, others, "new"))
            actions.append(self._delivery.show(others, ((peer.id, peer.presence()),), "new"))
        return actions

    def part(self, peer: Peer, from_whom: dict[str, None], *, stays: bool) -> list[HubAction]:
        """Tell peers that they see each other no more; one that does not stay is told nothing."""
        others = self._but_server(from_whom)
        if not others:
            return []
        farewell = self._delivery.show(others, ((peer.id, peer.farewell()),), "gone")
        return [farewell, self._show_all(peer, others, "gone")] if stays else [farewell]

    def tell(
        self, sender: Session, peer: Peer, message: dict[str, Any], now: float
    ) -> list[HubAction]:
        """Tell everybody in sight a peer's presence: once a second, and as its budget allows."""
        if sender.untold is not None:
            self._counters.presences_merged += 1
            sender.untold = message
            return []
        interval = self._limits.presence_interval_s
        due = sender.told_at + interval
        if due <= now and not self._delivery.has_budget(sender, now):
            due = now + interval
        if due > now:
            sender.untold = message
            self._agenda.put_off(due, "tell", sender.id)
            return []
        to = self._but_server(self._roster.in_sight(peer))
        if not to:
            self._counters.unroutable += 1
            return []
        frame = Frame(message)
        sender.told_at = now
        self._delivery.charge(sender, to, frame, now)
        return [self._delivery.show(to, ((peer.id, frame),), "changed")]

    def tell_now(self, sender: Session, peer: Peer, now: float) -> list[HubAction]:
        """Tell what was put off."""
        message, sender.untold = sender.untold, None
        return [] if message is None else self.tell(sender, peer, message, now)

    def probe(
        self, asker: Session, peer: Peer, message: dict[str, Any], now: float
    ) -> list[HubAction]:
        """Ask others for their presence; where they were asked enough, answer in their place.

        Raises:
            SignallingError: 400, ``to`` of the message cannot be used.
        """
        members, rank = self._roster.recipients(peer, message.get("to"))
        actions: list[HubAction] = []
        if self._roster.server.id in members:
            answer = {**self._of_server, "to": peer.address}
            actions.append(self._delivery.say(peer.id, Frame(answer)))
        elif not members:
            self._counters.unroutable += 1
        others = self._but_server(members)
        if not others:
            return actions
        if rank is Rank.ROOM:
            due = asker.probed_at + self._limits.probe_interval_s
            if due > now:
                return [*actions, *self._merge(asker, peer, message, due, now)]
            asker.probed_at = now
        # Who has no budget asks nobody, and is answered all the same.
        asked = others if self._delivery.has_budget(asker, now) else ()
        passed = tuple(session for session in asked if self._may_ask(session, now))
        if passed:
            actions += self._delivery.pass_on(asker, passed, Frame(message), rank, now)
        unasked = set(others) - set(passed)
        return [*actions, *self._answer(peer, tuple(s for s in others if s in unasked))]

    def answer_now(self, asker: Session, peer: Peer, now: float) -> list[HubAction]:
        """Answer the probes that were put off, in place of everybody in sight."""
        asker.asks_again, asker.probed_at = False, now
        return self._answer(peer, self._but_server(self._roster.in_sight(peer)))

    def answers_probe(self, sender: Session, message: dict[str, Any]) -> bool:
        """Return whether a message answers a probe; each probe excuses one."""
        if not sender.owed or sender.peer is None or message.get("type") != "presence":
            return False
        if message.get("probe") is True or not isinstance(message.get("to"), str):
            return False
        sender.owed -= 1
        return True

    def _merge(
        self, asker: Session, peer: Peer, message: dict[str, Any], due: float, now: float
    ) -> list[HubAction]:
        """Put a probe off that comes soon after another; its presence is told as ever."""
        if not asker.asks_again:
            asker.asks_again = True
            self._agenda.put_off(due, "answer", asker.id)
        if message.get("to") is not None:
            return []
        told = {key: value for key, value in message.items() if key != "probe"}
        return self.tell(asker, peer, told, now)

    def _may_ask(self, session: str, now: float) -> bool:
        """Take a probe from what a peer may be asked, and let it answer free of charge."""
        asked = self._roster.sessions[session]
        if not asked.probes.take(now):
            return False
        asked.owed = min(asked.owed + 1, self._limits.probes)
        return True

    def _answer(self, peer: Peer, others: tuple[str, ...]) -> list[HubAction]:
        """Send an asker the presence of others as the server knows it."""
        if not others:
            return []
        self._counters.probes_answered += len(others)
        return [self._show_all(peer, others, "changed")]

    def _show_all(self, peer: Peer, others: tuple[str, ...], change: Change) -> Show:
        peers = [self._roster.peer(other) for other in others]
        gone = change == "gone"
        shown = tuple((p.id, p.farewell() if gone else p.presence()) for p in peers)
        return self._delivery.show((peer.id,), shown, change)

    def _but_server(self, members: dict[str, None]) -> tuple[str, ...]:
        return tuple(session for session in members if session != self._roster.server.id)
