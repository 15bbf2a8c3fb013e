"""All detectors of one stream: a `icey.media.tap.Tap` with a branch for each.

::

    pipeline ─┬ picture ─┬▶ branch motion ─┐
              │          └▶ branch plug-in ├▶ evidence (snapshot, clip) ─▶ on_event
              ├ sound ───┬▶ branch speech ─┤
              │          └▶ branch plug-in ┘
              └ unit ────▶ branch decoder ─▶ picture …

A passed-through source is decoded here, beside its way to the viewers. `on_event` is called from
the threads of the branches.
"""

from __future__ import annotations

import logging
import time
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

import numpy as np

from icey.intelligence.branch import Branch
from icey.intelligence.decoding import UnitDecoder
from icey.intelligence.detector import FrameContext, SoundContext
from icey.intelligence.events import heard_event, motion_data, speech_event, vision_event
from icey.intelligence.motion import MotionDetector
from icey.intelligence.pixels import Normalizer, is_full_range, luma_of, rgb_of
from icey.intelligence.sample import Moment, PictureSample, SoundSample, UnitSample
from icey.intelligence.sampler import Sampler
from icey.intelligence.speech import SpeechDetector
from icey.intelligence.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import av
    from numpy.typing import NDArray

    from icey.config.intelligence import IntelligenceSettings
    from icey.intelligence.detector import Detection, Detector, SoundDetector
    from icey.intelligence.events import Event
    from icey.intelligence.plugins import Plugin
    from icey.media.passthrough import AccessUnit

    Seen: TypeAlias = tuple[Sequence[Detection], Mapping[str, Any]]

log = logging.getLogger(__name__)

UNITS = 60
"""Access units of a passed-through source that may wait for the decoder: 2 s at 30 fps."""

JOIN_S = 0.5
"""How long a detector that is at work is waited for; one that sleeps ends when it wakes up, s."""


class Evidence(Protocol):
    """Keeps evidence of an event: a snapshot, a clip."""

    def keep(self, event: Event) -> Mapping[str, Any]:
        """Keep evidence of an event, in the thread of the branch; return what its ``data`` gets."""


def is_wanted(settings: IntelligenceSettings, plugins: Sequence[Plugin]) -> bool:
    """Return whether any detector is to run."""
    return bool(settings.vision.enabled or settings.speech.enabled or plugins)


class Analysis:
    """The branches of one stream.

    Args:
        settings: ``media.intelligence``.
        plugins: the user's own detectors; each is made in the thread of its branch.
        source: the source as anyone may see it.
        stream_id: whose stream it is, as events say it.
        on_event: takes what was found, from several threads; must not block.
        evidence: keep what events were seen on.
    """

    def __init__(
        self,
        settings: IntelligenceSettings,
        plugins: Sequence[Plugin],
        *,
        source: str,
        stream_id: str,
        on_event: Callable[[Event], None],
        evidence: Sequence[Evidence] = (),
    ) -> None:
        self._settings = settings
        self._source = source
        self._vision_event = partial(vision_event, source=source, stream_id=stream_id)
        self._speech_event = partial(speech_event, source=source, stream_id=stream_id)
        self._heard_event = partial(heard_event, source=source, stream_id=stream_id)
        self._on_event = on_event
        self._evidence = tuple(evidence)
        self._tally = Tally()
        self._pictures = self._runs = self._units = 0
        self._picture_branches: list[Branch[PictureSample, Event]] = []
        self._sound_branches: list[Branch[SoundSample, Event]] = []
        if settings.vision.enabled:
            self._picture_branches.append(self._motion_branch())
        if settings.speech.enabled:
            self._sound_branches.append(self._speech_branch())
        for plugin in plugins:
            if plugin.takes == "pictures":
                self._picture_branches.append(self._picture_plugin(plugin))
            else:
                self._sound_branches.append(self._sound_plugin(plugin))
        self._decoder: Branch[UnitSample, PictureSample] | None = None

    # -- what the pipeline tells: its thread, so nothing here waits --------------------------

    def picture(self, picture: av.VideoFrame, media_ns: int, due_ns: int) -> None:
        """Take a picture. See `icey.media.tap.Tap`."""
        if self._picture_branches:
            self._offer_picture(PictureSample(picture, _moment(self._pictures, media_ns, due_ns)))
            self._pictures += 1

    def sound(self, samples: NDArray[np.int16], rate: int, media_ns: int, due_ns: int) -> None:
        """Take a run of sound. See `icey.media.tap.Tap`."""
        if self._sound_branches:
            sample = SoundSample(samples, rate, _moment(self._runs, media_ns, due_ns))
            self._runs += 1
            for branch in self._sound_branches:
                branch.offer(sample, sample.moment.media_usec)

    def unit(self, unit: AccessUnit, media_ns: int, due_ns: int) -> None:
        """Take an access unit; a thread of this stream decodes it. See `icey.media.tap.Tap`."""
        if not self._picture_branches:
            return
        if self._decoder is None:
            self._decoder = Branch(
                "decoder", UnitDecoder().decode, self._offer_picture, depth=UNITS
            )
        sample = UnitSample(unit, _moment(self._units, media_ns, due_ns))
        self._units += 1
        self._decoder.offer(sample, sample.moment.media_usec)

    def _offer_picture(self, sample: PictureSample) -> None:
        for branch in self._picture_branches:
            branch.offer(sample, sample.moment.media_usec)

    # -- its end and its state ---------------------------------------------------------------

    def stop(self) -> None:
        """Stop every branch. Returns at once."""
        for branch in self._branches():
            branch.stop()

    def join(self) -> None:
        """Wait for the branches after `stop`; for a detector that is at work only briefly."""
        deadline = time.monotonic() + JOIN_S
        for branch in self._branches():
            if not branch.join(max(0.0, deadline - time.monotonic())):
                name = branch.status.name
                log.info("detector %s is still at work; it ends when it is done", name)
        # The counters stay; the detectors, which may be large models, go now and not whenever the
        # collector of cycles comes by.
        self._tally = self.tally
        self._picture_branches, self._sound_branches, self._decoder = [], [], None

    @property
    def tally(self) -> Tally:
        """The counters now: of vision, of speech and of each detector."""
        tally = self._tally.copy()
        for looking in self._picture_branches:
            tally.vision.add(looking.status)
        for listening in self._sound_branches:
            tally.speech.add(listening.status)
        if self._decoder is not None:
            tally.undecoded += self._decoder.status.dropped
        return tally

    def _branches(self) -> Iterable[Branch[Any, Any]]:
        yield from self._picture_branches
        yield from self._sound_branches
        if self._decoder is not None:
            yield self._decoder

    # -- the branches ------------------------------------------------------------------------

    def _motion_branch(self) -> Branch[PictureSample, Event]:
        vision = self._settings.vision
        detector = MotionDetector(vision.motion)

        def look(picture: av.VideoFrame, moment: Moment) -> Seen | None:
            motion = detector.process(
                luma_of(picture), moment.media_usec, full_range=is_full_range(picture)
            )
            self._tally.vision.last_score = detector.score
            return None if motion is None else (motion.detections, motion_data(motion))

        sampler = Sampler(vision.every_nth_frame, vision.min_interval_usec)
        return self._picture_branch("motion", look, sampler)

    def _picture_plugin(self, plugin: Plugin) -> Branch[PictureSample, Event]:
        vision = self._settings.vision
        make = cache(plugin.make)

        def look(picture: av.VideoFrame, moment: Moment) -> Seen | None:
            context = FrameContext(
                self._source,
                moment.number,
                moment.media_usec,
                moment.wall_usec,
                picture.width,
                picture.height,
                plugin.options,
            )
            detections = cast("Detector", make()).process(rgb_of(picture), context)
            return (detections, {}) if detections else None

        sampler = Sampler(
            _or(plugin.every_nth_frame, vision.every_nth_frame),
            _or(plugin.min_interval_usec, vision.min_interval_usec),
        )
        return self._picture_branch(plugin.name, look, sampler)

    def _picture_branch(
        self, name: str, look: Callable[[av.VideoFrame, Moment], Seen | None], sampler: Sampler
    ) -> Branch[PictureSample, Event]:
        vision = self._settings.vision
        normalizer = Normalizer(vision.normalize)

        def handle(sample: PictureSample) -> Iterable[Event]:
            picture = normalizer.normalize(sample.picture)
            seen = look(picture, sample.moment)
            if seen is not None:
                detections, data = seen
                yield self._vision_event(
                    sample, detector=name, picture=picture, detections=detections, data=data
                )

        return Branch(name, handle, self._emit, depth=vision.queue_depth, sampler=sampler)

    def _speech_branch(self) -> Branch[SoundSample, Event]:
        settings = self._settings.speech
        detector = SpeechDetector(settings)
        thresholds = settings.start_threshold, settings.stop_threshold

        def handle(sample: SoundSample) -> Iterable[Event]:
            duration = len(sample.samples) * 1_000_000 // sample.rate
            activity = detector.process(sample.samples, sample.moment.media_usec, duration)
            self._tally.speech.last_score = detector.level
            if activity is not None:
                yield self._speech_event(sample, activity=activity, thresholds=thresholds)

        return Branch("energy", handle, self._emit, depth=settings.queue_depth)

    def _sound_plugin(self, plugin: Plugin) -> Branch[SoundSample, Event]:
        make = cache(plugin.make)

        def handle(sample: SoundSample) -> Iterable[Event]:
            moment = sample.moment
            context = SoundContext(
                self._source,
                moment.number,
                moment.media_usec,
                moment.wall_usec,
                sample.rate,
                sample.samples.shape[1],
                plugin.options,
            )
            samples = sample.samples.astype(np.float32) / np.float32(32768)
            detections = cast("SoundDetector", make()).process(samples, context)
            if detections:
                yield self._heard_event(sample, detector=plugin.name, detections=detections)

        depth = self._settings.speech.queue_depth
        sampler = Sampler(plugin.every_nth_frame or 1, plugin.min_interval_usec or 0)
        return Branch(plugin.name, handle, self._emit, depth=depth, sampler=sampler)

    def _emit(self, event: Event) -> None:
        group = self._tally.vision if event.kind == "icey:vision" else self._tally.speech
        if event.kind == "icey:vision":
            for keeper in self._evidence:
                try:
                    event.data["data"].update(keeper.keep(event))
                except Exception:  # a full disk is not the detector's failure
                    log.exception("what %s saw could not be kept", event.detector)
        group.last_latency_usec = max(0, time.monotonic_ns() - event.due_ns) // 1000
        self._on_event(event)


def _moment(number: int, media_ns: int, due_ns: int) -> Moment:
    wall_ns = time.time_ns() - (time.monotonic_ns() - due_ns)
    return Moment(number, max(0, media_ns) // 1000, due_ns, wall_ns // 1000)


def _or(value: int | None, default: int) -> int:
    return default if value is None else value
