"""The loop over the stages, with a detector that knows the truth and real redaction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dp2 import load_anonymizer
from dp2.anonymizer import Anonymizer
from dp2.errors import ConfigError, DetectionError, SynthesisError, UsageError
from dp2.result import Summary
from dp2.synthesize.fills import Solid
from dp2.synthesize.redact import Redaction
from dp2.track.tracker import Tracking
from dp2.types import Choice, Detections, Frame, Origin, Patch, Reach, Refusal, regions

RED = np.array([255, 0, 0])
FACE_BOX = (20, 30, 60, 80)


@dataclass
class Known:
    """A detector told beforehand what each frame holds, by the value of its first pixel."""

    boxes: dict[int, list[tuple[float, ...]]] = field(default_factory=dict)
    weak: frozenset[int] = frozenset()
    fails_at: int | None = None
    kinds = ("face",)

    @property
    def settings(self) -> dict[str, Any]:
        return {"detector": "Known", "boxes": str(self.boxes)}

    def __call__(self, images: Sequence[np.ndarray], *, relax: float = 1.0) -> list[tuple[Detections, ...]]:
        return [(self._faces(int(image[0, 0, 0])),) for image in images]

    def _faces(self, key: int) -> Detections:
        if key == self.fails_at:
            raise RuntimeError("out of order")
        boxes = self.boxes.get(key, [FACE_BOX])
        origin = Origin.WEAK if key in self.weak else Origin.DETECTED
        return Detections(
            "face", np.array(boxes).reshape(-1, 4), np.full(len(boxes), 0.9), origin=np.full(len(boxes), origin)
        )


SOLID = Redaction(fill=Solid(color="#ff0000"), shape="box", mask_scale=1.0, feather=0.0)


def anonymizer(**changes: Any) -> Anonymizer:
    base = Anonymizer(detector=Known(), synthesizers={"face": SOLID}, fallback=SOLID)
    return replace(base, **changes)


def picture(key: int = 0, height: int = 100, width: int = 90) -> np.ndarray:
    image = np.full((height, width, 3), 120, np.uint8)
    image[0, 0] = key
    return image


def frames(count: int) -> Iterator[Frame]:
    for index in range(count):
        yield Frame(picture(index), index, Fraction(index, 25), Fraction(1, 25))


def covered(image: np.ndarray, box: tuple[int, ...] = FACE_BOX) -> bool:
    x0, y0, x1, y1 = box
    return bool((image[y0:y1, x0:x1] == RED).all())


def test_the_region_is_replaced_and_nothing_else() -> None:
    before = picture()
    after = anonymizer()(before)
    assert covered(after)
    rest = np.ones(before.shape[:2], bool)
    rest[FACE_BOX[1] : FACE_BOX[3], FACE_BOX[0] : FACE_BOX[2]] = False
    assert np.array_equal(after[rest], before[rest])
    assert not (before == RED).all(axis=2).any()  # the input is never written to


@pytest.mark.parametrize("kind", ["numpy", "pil", "torch"])
def test_callers_get_back_what_they_gave(kind: str) -> None:
    image: Any = picture()
    if kind == "pil":
        image = Image.fromarray(image)
    if kind == "torch":
        image = torch.from_numpy(image).permute(2, 0, 1)
    after = anonymizer()(image)
    assert type(after) is type(image)
    rgb = np.asarray(after) if kind != "torch" else after.permute(1, 2, 0).numpy()
    assert covered(rgb)


def test_stream_gives_one_picture_for_each_in_order() -> None:
    out = list(anonymizer(tracker=Tracking()).stream((picture(key) for key in range(30)), fps=25))
    assert [int(image[0, 0, 0]) for image in out] == list(range(30))
    assert all(covered(image) for image in out)


def test_face_missed_between_two_hits_is_still_covered() -> None:
    detector = Known(boxes={key: [] for key in range(10, 16)})
    out = list(anonymizer(detector=detector, tracker=Tracking()).process(frames(30)))
    assert all(covered(result.image) for result in out)
    assert sum((found.origins == Origin.FILLED).sum() for result in out for found in result.detections) == 6


def test_weak_detections_count_only_with_a_tracker() -> None:
    detector = Known(weak=frozenset({5}))
    assert covered(list(anonymizer(detector=detector, tracker=Tracking()).process(frames(10)))[5].image)
    assert not covered(anonymizer(detector=detector)(picture(5)))


def test_detector_that_raises_ends_the_stream_before_its_frame() -> None:
    results = anonymizer(detector=Known(fails_at=9), batch_size=2).process(frames(20))
    seen = []
    with pytest.raises(DetectionError, match="frames 8-9"):
        seen.extend(result.frame.index for result in results)
    assert seen == list(range(len(seen)))
    assert len(seen) <= 8


def test_detector_that_answers_for_too_few_frames_is_caught() -> None:
    class Short(Known):
        def __call__(self, images: Sequence[np.ndarray], *, relax: float = 1.0) -> list[tuple[Detections, ...]]:
            return super().__call__(images[1:])

    with pytest.raises(DetectionError, match="0 of 1"):
        anonymizer(detector=Short())(picture())


def test_kind_without_synthesizer_gets_the_fallback() -> None:
    result = anonymizer(synthesizers={}).anonymize(picture())
    assert covered(result.image)
    assert result.fallback == {"face": 1}


class Broken:
    """A synthesizer that refuses, or raises."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def reach(self, region: Any, height: int, width: int) -> Reach:
        return Reach((0, 0, width, height), (0, 0, width, height))

    def synthesize(self, jobs: Sequence[Any], seed: int) -> list[Patch | Refusal]:
        if self.error is not None:
            raise self.error
        return [Refusal("no")] * len(jobs)


@pytest.mark.parametrize("error", [None, RuntimeError("boom")])
def test_failing_synthesizer_falls_back_and_is_counted(error: Exception | None) -> None:
    result = anonymizer(synthesizers={"face": Broken(error)}).anonymize(picture())
    assert covered(result.image)
    assert (result.changed, result.fallback) == ({"face": 1}, {"face": 1})


def test_nothing_is_given_out_when_the_fallback_fails_too() -> None:
    with pytest.raises(SynthesisError):
        anonymizer(synthesizers={"face": Broken()}, fallback=Broken())(picture())


class FirstOnly:
    """A chooser that keeps the first region of each frame, and decides `behind` frames late."""

    def __init__(self, behind: int = 0) -> None:
        self.behind = behind

    def start(self, *, live: bool = False) -> FirstOnly:
        self.held: list[Choice] = []
        return self

    def study(self) -> None:
        return None

    def update(self, frame: Frame, detections: Sequence[Detections]) -> Iterator[Choice]:
        found = [region for part in detections for region in regions(part)]
        self.held.append(Choice(tuple(found[1:]), tuple(found[:1])))
        while len(self.held) > self.behind:
            yield self.held.pop(0)

    def flush(self) -> Iterator[Choice]:
        yield from self.held


def test_chooser_keeps_whom_it_names() -> None:
    detector = Known(boxes={0: [FACE_BOX, (60, 10, 80, 30)]})
    result = anonymizer(detector=detector, chooser=FirstOnly()).anonymize(picture())
    assert not covered(result.image)
    assert covered(result.image, (60, 10, 80, 30))
    assert (result.kept, result.changed) == ({"face": 1}, {"face": 1})


def test_chooser_that_decides_late_decides_about_the_right_frames() -> None:
    boxes = {key: [(5, 5, 10, 10), (60 - key, 10, 80 - key, 30)] for key in range(9)}
    out = list(anonymizer(detector=Known(boxes), chooser=FirstOnly(behind=4)).process(frames(9)))
    assert [result.frame.index for result in out] == list(range(9))
    assert all(covered(result.image, (60 - key, 10, 80 - key, 30)) for key, result in enumerate(out))


def test_live_results_come_before_the_next_frame_is_asked_for() -> None:
    asked = []

    def camera() -> Iterator[Frame]:
        for frame in frames(10):
            asked.append(frame.index)
            yield frame

    for result in anonymizer(tracker=Tracking()).process(camera(), live=True):
        assert asked[-1] == result.frame.index


def test_leaving_a_stream_early_stops_its_source() -> None:
    closed = []

    def source() -> Iterator[Frame]:
        try:
            yield from frames(10_000)
        finally:
            closed.append(True)

    results = anonymizer().process(source())
    next(results)
    results.close()
    assert closed == [True]


def test_batch_size_does_not_change_the_result() -> None:
    detector = Known(boxes={key: [(10 + key, 20, 40 + key, 60)] for key in range(12)})
    runs = [
        [
            result.image
            for result in anonymizer(detector=detector, batch_size=size, tracker=Tracking()).process(frames(12))
        ]
        for size in (1, 5)
    ]
    assert all(np.array_equal(a, b) for a, b in zip(*runs, strict=True))


def test_summary_counts_found_filled_and_tracks() -> None:
    summary = Summary()
    detector = Known(boxes={4: []})
    for result in anonymizer(detector=detector, tracker=Tracking(coast=0, coast_back=0)).process(frames(10)):
        summary.add(result)
    assert summary.as_dict() == {
        "frames": 10,
        "found": {"face": 9},
        "filled": {"face": 1},
        "changed": {"face": 10},
        "kept": {},
        "fallback": {},
        "tracks": {"face": 1},
    }
    assert str(summary) == "9 faces found, 10 changed, 1 filled in"


def test_result_shows_itself_before_and_after() -> None:
    html = anonymizer().anonymize(picture())._repr_html_()
    assert html.count("data:image/jpeg;base64,") == 2
    assert "before" in html
    assert "after" in html


def test_load_anonymizer_takes_overrides_and_settings() -> None:
    loaded = load_anonymizer("face_solid", "synthesizer.mask_scale=2.0", seed=7)
    assert loaded.seed == 7
    assert loaded.synthesizers["face"].mask_scale == 2.0
    with pytest.raises(ConfigError, match="nearest"):
        load_anonymizer("face_solid", sed=7)


def test_detect_gives_the_faces_of_a_photo(astronaut: np.ndarray) -> None:
    (faces,) = load_anonymizer("face_blur").detect(astronaut)
    assert faces.kind == "face"
    x0, y0, x1, y1 = faces.boxes[faces.scores.argmax()]
    assert x0 < 225 < x1
    assert y0 < 120 < y1


def test_config_that_builds_something_else_is_refused(tmp_path: Any) -> None:
    path = tmp_path / "c.py"
    path.write_text("from dp2.config import L\nfrom dp2.synthesize.fills import Blur\nanonymizer = L(Blur)()")
    with pytest.raises(ConfigError, match="not an Anonymizer"):
        load_anonymizer(path)


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_stream_whose_frames_share_one_buffer_leaks_no_later_frame(kind: str) -> None:
    def read_into_one_buffer() -> Iterator[Any]:
        buffer: Any = np.empty((100, 90, 3), np.uint8) if kind == "numpy" else torch.empty(3, 100, 90)
        for index in range(12):
            image = picture(index)
            buffer[:] = image if kind == "numpy" else torch.from_numpy(image).permute(2, 0, 1) / 255
            yield buffer

    boxes = {index: [(4.0 * index, 30.0, 4.0 * index + 30, 60.0)] for index in range(12)}
    for index, safe in enumerate(anonymizer(detector=Known(boxes)).stream(read_into_one_buffer(), fps=25)):
        image = safe if kind == "numpy" else (safe * 255).round().byte().permute(1, 2, 0).numpy()
        assert image[0, 0, 0] == index
        assert covered(image, (4 * index, 30, 4 * index + 30, 60))


@pytest.mark.parametrize("fps", [0, -5, float("nan"), float("inf"), 1e-12])
def test_impossible_rate_is_refused(fps: float) -> None:
    with pytest.raises(UsageError, match="fps"):
        next(anonymizer().stream([picture()], fps=fps))


def test_result_is_never_the_array_that_went_in() -> None:
    image = picture()
    safe = anonymizer(detector=Known({0: []}))(image)
    assert np.array_equal(safe, image)
    assert not np.may_share_memory(safe, image)
