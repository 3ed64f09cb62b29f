"""The loop over the stages: detect, track, choose, synthesize, compose. The one way through dp2 for every caller."""

from __future__ import annotations

import math
import os
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from dp2 import pictures
from dp2.config.face_detectors import use_face_detector
from dp2.detect.display_shape import detect_as_shown
from dp2.errors import DetectionError, Dp2Error, UsageError
from dp2.failures import said
from dp2.paint.paint import Outcome, Painted, paint
from dp2.prefetch import Prefetch, batched
from dp2.result import Result
from dp2.stages import Chooser, Detector, StreamChooser, StreamTracker, Synthesizer, Tracker
from dp2.types import Choice, Detections, Frame, Image, Region, regions

if TYPE_CHECKING:
    from omegaconf import DictConfig

Picture = TypeVar("Picture")
FrameDetections = tuple[Detections, ...]
Alpha = NDArray[np.uint8]
_Closable = Generator[tuple[Frame, FrameDetections], None, None] | Prefetch[tuple[Frame, FrameDetections]]
Detect = Callable[[Sequence[Frame]], list[FrameDetections]]


@dataclass(frozen=True, kw_only=True)
class Anonymizer:
    """A detector and what replaces what it finds.

    Attributes:
        detector: finds the regions.
        synthesizers: makes new pixels, by kind of region.
        fallback: classic redaction for kinds and regions that no synthesizer serves.
        tracker: how detections of a stream are tied to tracks and gaps are filled; None = each frame by itself.
        chooser: who is left as he is, and which places are always changed; None = everything found is changed.
        seed: of every random choice.
        batch_size: frames of a stream that are detected and synthesized together.
    """

    detector: Detector
    synthesizers: Mapping[str, Synthesizer]
    fallback: Synthesizer
    tracker: Tracker | None = None
    chooser: Chooser | None = None
    seed: int = 0
    batch_size: int = field(default=4)

    def __call__(self, image: Picture) -> Picture:
        """Anonymize one picture.

        Args:
            image: numpy (H, W, 3) or (H, W) uint8, a PIL image of any mode, or torch (3, H, W), uint8 or float
                in [0, 1].

        Returns:
            the same kind, size, mode, dtype and device.

        Raises:
            UsageError: not such a picture.
            DetectionError, SynthesisError: it could not be made safe.
        """
        rgb, back = pictures.unwrap(image)
        alpha = pictures.alpha_of(image)
        result, safe_alpha = self.anonymize_picture(rgb, alpha)
        # What comes out is the caller's to change, so it is never the array that went in.
        restored: Picture = back(result.image.copy() if result.image is rgb else result.image)
        return restored if safe_alpha is None or safe_alpha is alpha else pictures.with_alpha(restored, safe_alpha)

    def anonymize(self, image: Any) -> Result:
        """As calling, but with the detections and counts; shows itself before/after in a notebook."""
        rgb, _ = pictures.unwrap(image)
        return self.anonymize_picture(rgb, pictures.alpha_of(image))[0]

    def anonymize_picture(
        self,
        image: Image,
        alpha: Alpha | None,
        *,
        detect: Detect | None = None,
        search_alpha: bool = True,
        synthesize: bool = True,
    ) -> tuple[Result, Alpha | None]:
        """Anonymize a still picture and its transparency.

        Args:
            image: (H, W, 3) uint8 RGB.
            alpha: (H, W) uint8, or None.
            detect, synthesize: as of `process`.
            search_alpha: look for faces that only transparency shows; `detect` gets those views as further frames.

        Returns:
            what became of the colours, and the alpha channel: the same array if nothing was changed.
        """
        from dp2.transparency import covered, merged, views

        frames = [Frame(view, index) for index, view in enumerate(views(image, alpha if search_alpha else None))]
        found = merged([(detect or self.detect_frames)([frame])[0] for frame in frames])
        result = next(self.process(frames[:1], track=False, detect=lambda _: [found], synthesize=synthesize))
        if alpha is None or not result.changed:
            return result, alpha
        return result, covered(alpha, result.altered)

    def detect(self, image: Any) -> FrameDetections:
        """What would be acted on in one picture, one `Detections` a kind."""
        from dp2.transparency import merged, views

        rgb, _ = pictures.unwrap(image)
        seen = views(rgb, pictures.alpha_of(image))
        return _confirmed(merged([self.detect_frames([Frame(view, index)])[0] for index, view in enumerate(seen)]))

    def stream(self, frames: Iterable[Picture], fps: float) -> Iterator[Picture]:
        """Anonymize consecutive pictures of a video at a constant rate, with tracking.

        Args:
            frames: pictures as for calling; at most a few more than the look-ahead are held. They are copied, so
                that a frame may be read into the memory of the one before.
            fps: frames per second, above 0.

        Yields:
            one picture for each, in order, of the same kind. Alpha channels are covered where faces are, but not
            searched.

        Raises:
            UsageError: no such rate, or no such picture.
            DetectionError, SynthesisError: a frame could not be made safe.
        """
        from dp2.transparency import covered

        step = _step(fps)
        backs: deque[tuple[Callable[[Image], Picture], Alpha | None]] = deque()

        def unwrapped() -> Iterator[Frame]:
            for index, picture in enumerate(frames):
                own = pictures.copied(picture)
                rgb, back = pictures.unwrap(own)
                backs.append((back, pictures.alpha_of(own)))
                yield Frame(rgb, index, index * step, step)

        for result in self.process(unwrapped()):
            back, alpha = backs.popleft()
            safe = back(result.image)
            if alpha is not None and result.changed:
                safe = pictures.with_alpha(safe, covered(alpha, result.altered))
            yield safe

    def process(
        self,
        frames: Iterable[Frame],
        *,
        track: bool = True,
        live: bool = False,
        detect: Detect | None = None,
        synthesize: bool = True,
        choose: StreamChooser | None = None,
    ) -> Generator[Result, None, None]:
        """Anonymize a stream of frames; detection runs ahead in a thread.

        Args:
            frames: in order of time.
            track: use `tracker`, if the anonymizer has it.
            live: no look-ahead: each result comes out before the next frame is needed.
            detect: takes the detector's place, e.g. detections from a file.
            synthesize: False leaves the pixels as they are (to show detections only).
            choose: takes the place of `chooser`, e.g. one that has seen the whole stream.

        Yields:
            one `Result` a frame, in order.
        """
        if choose is None and self.chooser is not None:
            choose = self.chooser.start(live=live)
        with closing(self.follow(frames, track=track, live=live, detect=detect)) as found:
            for batch in batched(_chosen(found, choose), 1 if live else self.batch_size):
                yield from self._painted(batch, synthesize)

    def follow(
        self, frames: Iterable[Frame], *, track: bool = True, live: bool = False, detect: Detect | None = None
    ) -> Generator[tuple[Frame, FrameDetections], None, None]:
        """Detect and track only; arguments as of `process`.

        Yields:
            each frame with its finished detections, in order.
        """
        tracker = self.tracker.start(live=live) if track and self.tracker is not None else None
        size = 1 if live else self.batch_size
        found = self._detected(frames, detect or self.detect_frames, size)
        ahead: _Closable = found if live else Prefetch(found, size=2 * size)
        with closing(ahead):
            yield from _tracked(ahead, tracker)

    def detect_frames(self, frames: Sequence[Frame]) -> list[FrameDetections]:
        """The detector's answers, weak ones included where a tracker can use them.

        Raises:
            DetectionError: on these frames the detector failed; they must not be written out.
        """
        relax = 1.0 if self.tracker is None else self.tracker.relax
        try:
            found = detect_as_shown(self.detector, frames, relax=relax)
        except (Dp2Error, KeyboardInterrupt):
            raise
        except BaseException as error:  # SystemExit of a plugin too: nobody has looked at these frames
            where = f"frame {frames[0].index}" if len(frames) == 1 else f"frames {frames[0].index}-{frames[-1].index}"
            raise DetectionError(f"the detector failed on {where}: {said(error)}") from error
        if len(found) != len(frames):
            raise DetectionError(f"the detector answered for {len(found)} of {len(frames)} frames.")
        return found

    def _detected(
        self, frames: Iterable[Frame], detect: Detect, size: int
    ) -> Generator[tuple[Frame, FrameDetections], None, None]:
        for batch in batched(frames, size):
            yield from zip(batch, detect(batch), strict=True)

    def _painted(self, batch: Sequence[tuple[Frame, FrameDetections, Choice]], synthesize: bool) -> Iterator[Result]:
        if synthesize:
            painted = paint(
                [frame.image for frame, _, _ in batch],
                [choice.change for _, _, choice in batch],
                self.synthesizers,
                self.fallback,
                seed=self.seed,
            )
        else:
            painted = [Painted(frame.image, ()) for frame, _, _ in batch]
        for (frame, found, choice), result in zip(batch, painted, strict=True):
            yield _result(frame, found, choice.keep, result)


def load_anonymizer(
    config: str | os.PathLike[str],
    *overrides: str,
    detector: str | None = None,
    download: bool = False,
    **settings: Any,
) -> Anonymizer:
    """Build an anonymizer from a config given by path or name.

    Args:
        config: e.g. "face_blur" or "my/config.py".
        overrides: e.g. "detector.score_threshold=0.5".
        detector: another face detector than the config's, e.g. "dsfd"; see `dp2.config.face_detectors`.
        download: fetch missing checkpoints that have a known checksum; without it the network is never used.
        settings: top-level keys of the config, e.g. `seed=1`, `device="cuda"`; and who is left as he is, e.g.
            `keep=["family/"]`: see `dp2.config.choice.ChoiceOptions`.

    Raises:
        MissingExtra: it needs a package that is not installed.
        ConfigError: no such config or key, or it builds no anonymizer.
        MissingWeights: a checkpoint that it needs is not here, or may not be fetched.
        DownloadError, ChecksumMismatch: it cannot be fetched.
    """
    from dp2.config import apply_override, load_config, set_key
    from dp2.config.choice import ChoiceOptions, choose_in
    from dp2.weights.needs import check_extras

    tree = load_config(config)
    if detector is not None:
        use_face_detector(tree, detector)
    choices = [name for name in ChoiceOptions.names() if name in settings and name not in tree]
    choose_in(tree, ChoiceOptions(**{name: settings.pop(name) for name in choices}))
    for override in overrides:
        apply_override(tree, override)
    for key, value in settings.items():
        set_key(tree, key, value)
    check_extras(tree, str(config))
    if download:
        from dp2.weights.obtain import fetch_needed
        from dp2.weights.store import Store

        fetch_needed(tree, Store())
    return build_anonymizer(tree, str(config))


def build_anonymizer(tree: DictConfig, name: str, *, detections_given: bool = False) -> Anonymizer:
    """Build the anonymizer of a loaded config.

    Args:
        tree: what `dp2.config.load_config` gave.
        name: of the config, for messages.
        detections_given: the detector will not be asked, so that its checkpoints may be missing.

    Raises:
        MissingExtra: it needs a package that is not installed.
        ConfigError: it builds no anonymizer.
        MissingWeights: a checkpoint that it needs is not here.
    """
    from dp2.config import build
    from dp2.errors import ConfigError
    from dp2.weights.needs import check_extras

    if "anonymizer" not in tree:
        raise ConfigError(f"{name} defines no `anonymizer`.")
    named = tree.anonymizer.get("detector")
    if isinstance(named, str):
        raise ConfigError(f"detector={named}: a detector is a call, not a name; for faces: --detector {named}")
    check_extras(tree, name, detector=not detections_given)
    if detections_given:
        _do_without_detector(tree)
    anonymizer = build(tree.anonymizer)
    if not isinstance(anonymizer, Anonymizer):
        raise ConfigError(f"`anonymizer` in {name} is a {type(anonymizer).__name__}, not an Anonymizer.")
    return anonymizer


def _do_without_detector(tree: DictConfig) -> None:
    """Put another in the place of a detector whose checkpoints or packages are not here."""
    from dp2.config import build
    from dp2.errors import MissingExtra, MissingWeights

    try:
        build(tree.anonymizer.get("detector"))
    except (MissingExtra, MissingWeights):
        tree.anonymizer.detector = {"_target_": "dp2.detect.given.GivenDetections"}


def _step(fps: float) -> Fraction:
    """Seconds from frame to frame."""
    rate = Fraction(fps).limit_denominator(1_000_000) if math.isfinite(fps) else Fraction(0)
    if rate <= 0:
        raise UsageError(f"fps={fps}: must be a rate above 0.")
    return 1 / rate


def _confirmed(found: FrameDetections) -> FrameDetections:
    return tuple(detections.confirmed for detections in found)


def _tracked(
    found: Iterable[tuple[Frame, FrameDetections]], tracker: StreamTracker | None
) -> Iterator[tuple[Frame, FrameDetections]]:
    """Frames with their final detections; those that the tracker still looks past are held back."""
    if tracker is None:
        for frame, detections in found:
            yield frame, _confirmed(detections)
        return
    held: deque[Frame] = deque()
    for frame, detections in found:
        held.append(frame)
        for finished in tracker.update(detections, frame):
            yield held.popleft(), finished
    for finished in tracker.flush():
        yield held.popleft(), finished
    if held:
        raise DetectionError(f"the tracker kept {len(held)} frames back; they were not written.")


def _chosen(
    found: Iterable[tuple[Frame, FrameDetections]], chooser: StreamChooser | None
) -> Iterator[tuple[Frame, FrameDetections, Choice]]:
    """Frames with what is to be done in them; those that the chooser still looks past are held back."""
    if chooser is None:
        for frame, detections in found:
            yield frame, detections, Choice(tuple(region for part in detections for region in regions(part)))
        return
    held: deque[tuple[Frame, FrameDetections]] = deque()
    for frame, detections in found:
        held.append((frame, detections))
        for choice in chooser.update(frame, detections):
            yield *held.popleft(), choice
    for choice in chooser.flush():
        yield *held.popleft(), choice
    if held:
        raise DetectionError(f"the chooser kept {len(held)} frames back; they were not written.")


def _result(frame: Frame, found: FrameDetections, kept: Sequence[Region], painted: Painted) -> Result:
    changed = [outcome for outcome in painted.outcomes if outcome.action is not Outcome.Action.KEPT]
    return Result(
        frame=replace(frame, image=painted.image),
        original=frame.image,
        detections=found,
        changed=Counter(outcome.region.kind for outcome in changed),
        altered=tuple(outcome.region for outcome in changed),
        kept=Counter([region.kind for region in kept] + [o.region.kind for o in painted.outcomes if o not in changed]),
        fallback=Counter(o.region.kind for o in changed if o.action is Outcome.Action.FALLBACK),
    )
