"""Whole pictures out of interlaced ones: FFmpeg's bwdif, where it is needed.

Progressive film passes untouched. What is interlaced and does not say so is found by FFmpeg's idet,
which looks at `WINDOW` pictures now and then: some 0.03 ms a picture at 720p. idet takes moving
stripes for fields at times, so two looks must agree, and there must be combs to be seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import av
import av.error
import numpy as np
from av.filter import Graph

if TYPE_CHECKING:
    from collections.abc import Iterator

Deinterlace: TypeAlias = Literal["auto", "on", "off"]

PROGRESSIVE_AFTER = 50
"""Pictures in a row that are not interlaced after which the filter is taken out again."""

WINDOW = 24
"""Pictures in a row that are looked at."""

PAUSE = 250
"""Pictures from one look to the next."""

EARLY_LOOKS = 3
"""Looks at the beginning that follow one another, as films begin with something still."""

SHARE = 0.8
"""The share of the pictures looked at that must be interlaced in the same order of fields."""

COMBED = 0.006
"""The share of a picture's points that lie in combs at least: 0.01 to 0.1 in motion; FFmpeg's test
picture, progressive and full of thin lines, has 0.0047."""


class Deinterlacer:
    """Filters decoded pictures in their order; holds one back while it works.

    Args:
        mode: ``auto``: where pictures say that they are interlaced or are found to be; ``on``: all;
            ``off``: none.
    """

    def __init__(self, mode: Deinterlace) -> None:
        self._mode = mode
        self._graph: Graph | None = None
        self._key: tuple[object, ...] = ()
        self._plain = 0  # pictures since the last interlaced one
        self._look = _Look()
        self._found = ""  # the order of fields, "tff" or "bff", of a film that does not say it

    def filter(self, picture: av.VideoFrame) -> Iterator[av.VideoFrame]:
        """Give the pictures that are ready: this one, or the one before, or none."""
        if self._mode == "off":
            yield picture
            return
        if self._mode == "auto" and not self._found and not picture.interlaced_frame:
            self._found = self._look.at(picture)
        wanted = self._mode == "on" or bool(self._found) or picture.interlaced_frame
        self._plain = 0 if wanted else self._plain + 1
        if self._graph is None and not wanted:
            yield picture
            return
        key = (picture.width, picture.height, picture.format.name, picture.time_base, self._found)
        if self._graph is not None and (key != self._key or self._plain > PROGRESSIVE_AFTER):
            yield from self.flush()
        if not wanted and self._graph is None:
            yield picture
            return
        if self._graph is None:
            self._graph, self._key = self._build(picture), key
        self._graph.vpush(picture)
        yield from _pulled(self._graph)

    def flush(self) -> Iterator[av.VideoFrame]:
        """Give what is held back: the film ends or goes somewhere else."""
        graph, self._graph = self._graph, None
        self._look.interrupt()
        if graph is not None:
            graph.vpush(None)
            yield from _pulled(graph)

    def drop(self) -> None:
        """Forget what is held back."""
        self._graph = None
        self._look.interrupt()

    def _build(self, picture: av.VideoFrame) -> Graph:
        which = "all" if self._mode == "on" or self._found else "interlaced"
        parity = self._found or "auto"
        return _graph(picture, ("bwdif", f"mode=send_frame:parity={parity}:deint={which}"))


class _Look:
    """Finds out whether pictures are combed that do not say so."""

    def __init__(self) -> None:
        self._graph: Graph | None = None
        self._kinds: list[str] = []
        self._wait = 0
        self._looks = 0
        self._suspected = ""

    def at(self, picture: av.VideoFrame) -> str:
        """Look at a picture, if it is time; returns the order of fields once it is found."""
        if self._wait:
            self._wait -= 1
            return ""
        if picture.height % 2 or picture.height < 64:
            return ""
        if self._graph is None:
            self._graph = _graph(picture, ("idet", ""))
            self._size = picture.width, picture.height, picture.format.name
        if self._size != (picture.width, picture.height, picture.format.name):
            self.interrupt()
            return ""
        self._graph.vpush(picture)
        for seen in _pulled(self._graph):
            self._kinds.append(seen.metadata.get("lavfi.idet.single.current_frame", ""))
        return self._judge(picture) if len(self._kinds) >= WINDOW else ""

    def interrupt(self) -> None:
        """Forget a look that is not over."""
        self._graph = None
        self._kinds = []

    def _judge(self, picture: av.VideoFrame) -> str:
        kinds, suspected = self._kinds, self._suspected
        self.interrupt()
        self._looks += 1
        found = next((k for k in ("tff", "bff") if kinds.count(k) >= SHARE * len(kinds)), "")
        if found and _combed(picture) < COMBED:
            found = ""
        self._wait = 0 if found or self._looks < EARLY_LOOKS else PAUSE
        self._suspected = found
        return found if found == suspected else ""


def _combed(picture: av.VideoFrame) -> float:
    """Return the share of points that differ from those above and below, which are alike."""
    luma = picture.reformat(format="gray").to_ndarray()[:, ::4].astype(np.int32)
    above, here, below = luma[:-2], luma[1:-1], luma[2:]
    return float(np.mean(((here - above) * (here - below) > 15**2) & (abs(above - below) < 10)))


def _graph(picture: av.VideoFrame, *filters: tuple[str, str]) -> Graph:
    graph = Graph()
    graph.threads = 1
    source = graph.add(
        "buffer",
        f"video_size={picture.width}x{picture.height}:pix_fmt={picture.format.name}"
        f":time_base={picture.time_base or '1/90000'}"
        f":colorspace={picture.colorspace}:range={picture.color_range}",
    )
    nodes = [graph.add(name, arguments or None) for name, arguments in filters]
    graph.link_nodes(source, *nodes, graph.add("buffersink")).configure()
    return graph


def _pulled(graph: Graph) -> Iterator[av.VideoFrame]:
    while True:
        try:
            yield graph.vpull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
