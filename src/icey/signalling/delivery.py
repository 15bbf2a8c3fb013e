"""What goes to peers: counted, and charged to the peer that sends it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icey.signalling.actions import Deliver, Rank, Refused, Show
from icey.signalling.budget import Budgets
from icey.signalling.messages import error_frame

if TYPE_CHECKING:
    from icey.signalling.actions import Change, HubAction
    from icey.signalling.budget import Allowance
    from icey.signalling.counters import Counters
    from icey.signalling.limits import Limits
    from icey.signalling.messages import Frame
    from icey.signalling.session import Session


class Delivery:
    """Makes the actions by which frames reach peers.

    Args:
        limits: the bounds on what peers may cost.
        counters: where it counts.
    """

    def __init__(self, limits: Limits, counters: Counters) -> None:
        self._limits = limits
        self._counters = counters
        self._budgets = Budgets(limits)
        # Of their own, so that a network whose messages have cost too much can still enter.
        self._meetings = Budgets(limits)

    def allowance(self, now: float) -> Allowance:
        """Make the allowance of a new socket."""
        return self._budgets.of_sender(now)

    def say(self, to: str, frame: Frame) -> Deliver:
        """Send a session a message of the server."""
        self._counters.delivered += 1
        return Deliver((to,), frame)

    def show(
        self, to: tuple[str, ...], shown: tuple[tuple[str, Frame], ...], change: Change
    ) -> Show:
        """Tell sessions how peers are now."""
        self._counters.delivered += len(to) * len(shown)
        return Show(to, shown, change)

    def pass_on(
        self,
        sender: Session,
        to: tuple[str, ...],
        frame: Frame,
        rank: Rank,
        now: float,
        *,
        free: bool = False,
    ) -> list[HubAction]:
        """Send a peer's message, where it is free or its budget allows; refuse it otherwise."""
        if not free:
            whose = self._budgets.exceeded(sender.allowance, sender.network, now)
            if whose is not None:
                return self._over_budget(sender, whose, now)
            self.charge(sender, to, frame, now)
        self._counters.delivered += len(to)
        return [Deliver(to, frame, rank, sender.id)]

    def has_budget(self, sender: Session, now: float) -> bool:
        """Return whether a peer may cost others anything now."""
        return self._budgets.exceeded(sender.allowance, sender.network, now) is None

    def charge(self, sender: Session, to: tuple[str, ...], frame: Frame, now: float) -> None:
        """Charge a frame to the peer that sends it."""
        cost = len(to) * max(len(frame.text), self._limits.delivery_bytes)
        self._budgets.spend(sender.allowance, sender.network, cost, now)

    def charge_meeting(self, comer: Session, met: int, now: float) -> None:
        """Charge an entry to the peer that enters; it and those it meets are shown each other."""
        cost = 2 * met * self._limits.meeting_bytes
        self._meetings.spend(comer.allowance, comer.network, cost, now)

    def may_meet(self, comer: Session, now: float) -> bool:
        """Return whether a peer has a budget for entering rooms."""
        return self._meetings.exceeded(comer.allowance, comer.network, now) is None

    def refuse_unpaid(self, comer: Session, now: float) -> list[HubAction]:
        """Refuse an entry for which there is no budget; return nothing where there is."""
        whose = self._meetings.exceeded(comer.allowance, comer.network, now)
        return [] if whose is None else self._over_budget(comer, whose, now)

    def over_rate(self, sender: Session, now: float) -> list[HubAction]:
        """Refuse a message that came too fast."""
        self._counters.over_rate += 1
        message = f"more than {self._limits.messages} messages in {self._limits.window_s:g} s"
        return self._too_much(sender, message, now)

    def refused_room(self, network: str) -> Refused:
        """Count a refusal of a place in a room."""
        most = self._limits.room_peers
        return Refused("roomPeers", network, f"a room of {most} peers (limits.roomPeers)")

    def _over_budget(self, sender: Session, whose: str, now: float) -> list[HubAction]:
        self._counters.over_budget += 1
        most, what, at = self._limits.sender_bytes, "senderBytes", "all receivers"
        if whose == "network":
            most *= self._limits.network_senders
            what, at = "senderBytesPerAddress", "all receivers, from one address"
        reason = f"more than {most} bytes a second to {at} together"
        refused = Refused(what, sender.network, f"messages: {reason} (limits.senderBytes)")
        return [refused, *self._too_much(sender, reason, now)]

    def _too_much(self, sender: Session, reason: str, now: float) -> list[HubAction]:
        if now - sender.warned_at < self._limits.error_interval_s:
            return []
        sender.warned_at = now
        return [Deliver((sender.id,), error_frame(429, reason))]
