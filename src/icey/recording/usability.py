"""Notices a caller whose pictures are all of no use. Pure: `now` is passed in."""

from __future__ import annotations

from typing import Literal, TypeAlias

TOLD_AFTER_S = 5.0
"""After so long without a picture that can be recorded, while pictures come, its sender is told."""

HOPELESS_AFTER_S = 15.0
"""After so long, a caller of whom none ever could be recorded is hung up."""

PATIENCE_S = 60.0
"""And after so long one of whom some could: a bad network may mend."""

SILENCE_S = 3.0
"""Who sends no pictures for so long has turned the camera off, and nothing is wrong with that."""

Verdict: TypeAlias = Literal["fine", "tell", "hopeless"]


class Usability:
    """The pictures of one caller: how many came, and how many of them were written."""

    def __init__(self) -> None:
        self._came = self._used = 0
        self._came_at = 0.0
        self._useless_since: float | None = None
        self._told = False

    def judge(self, came: int, used: int, now: float) -> Verdict:
        """Judge by what has come and what was written since the start. For once a second.

        Returns:
            ``tell`` once for each time that nothing could be used for `TOLD_AFTER_S`; ``hopeless``
            when it is to be hung up.
        """
        if used > self._used:
            self._used = used
            self._useless_since, self._told = None, False
        elif came > self._came:
            if self._useless_since is None:
                self._useless_since = now
            self._came_at = now
        elif self._useless_since is not None and now - self._came_at >= SILENCE_S:
            self._useless_since, self._told = None, False
        self._came = came
        if self._useless_since is None:
            return "fine"
        useless = now - self._useless_since
        if useless >= (PATIENCE_S if self._used else HOPELESS_AFTER_S):
            return "hopeless"
        if useless >= TOLD_AFTER_S and not self._told:
            self._told = True
            return "tell"
        return "fine"
