"""The largest picture of a recording, whose size the header of the file tells.

Browsers begin small and grow, so the first picture's size is not the file's. But parameter sets
are bytes of a stranger: a size counts once a keyframe was decoded that has it.
"""

from __future__ import annotations

import logging

from icey.media.h264 import ParameterSets, decodes, parameter_sets

log = logging.getLogger(__name__)

MAX_FAILURES = 8
"""Keyframes of a larger size that did not decode, after which none is tried any more: each try
costs what decoding a picture costs, and the sender chooses how many there are."""


class LargestPicture:
    """Looks at the keyframes of one recording.

    Args:
        first: its first keyframe, None where there is none yet.

    Attributes:
        declared: the parameter sets of the first keyframe.
        sets: those of the largest picture, None before the first.
    """

    def __init__(self, first: bytes | None = None) -> None:
        self.declared = None if first is None else parameter_sets(first, None)
        self.sets: ParameterSets | None = self.declared
        self._newest = self.declared
        self._failures = 0

    def add(self, keyframe: bytes) -> None:
        """Look at a keyframe (Annex B, with its parameter sets)."""
        sets = parameter_sets(keyframe, self._newest)
        if sets is None or sets is self._newest:
            return
        self._newest = sets
        if self.sets is None:
            self.declared = self.sets = sets
        elif sets.area > self.sets.area and self._failures < MAX_FAILURES:
            if decodes(keyframe, sets):
                self.sets = sets
            else:
                self._failures += 1
                log.debug("a picture of %dx%d does not decode", sets.width, sets.height)
