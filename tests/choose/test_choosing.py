"""Real faces through the whole anonymizer: who is on the list stays as he is, everybody else is covered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from dp2.anonymizer import Anonymizer
from dp2.batch.files import Options, anonymize_video
from dp2.choose.choosing import Choosing
from dp2.choose.matching import Matching
from dp2.choose.recognition import Recognition
from dp2.errors import UsageError
from dp2.stages import Detector
from dp2.synthesize.fills import Solid
from dp2.synthesize.redact import Redaction
from dp2.track.tracker import Tracking
from dp2.types import Detections, Frame

Make = Callable[..., Path]
RED = Redaction(fill=Solid(color="#ff0000"), shape="box", mask_scale=1.0, feather=0.0)
LEFT, RIGHT = (slice(80, 160), slice(110, 180)), (slice(130, 250), slice(405, 515))  # inside the faces of `pair`


@dataclass
class Known:
    """CenterFace's boxes and landmarks of `pair`, moved with the picture; `kind` other than face: bodies instead."""

    faces: Detections
    kind: str = "face"
    settings: Any = None

    @property
    def kinds(self) -> tuple[str, ...]:
        return (self.kind,)

    def __call__(self, images: Sequence[np.ndarray], *, relax: float = 1.0) -> list[tuple[Detections, ...]]:
        if self.kind == "face":
            return [(self.faces,) for _ in images]
        bodies = np.array([[60, 20, 260, 300], [330, 60, 590, 300]], np.float32)
        return [(Detections(self.kind, bodies, np.array([0.9, 0.9])),) for _ in images]


@pytest.fixture(scope="session")
def seen(centerface: Detector, pair: np.ndarray) -> Detections:
    ((faces,),) = centerface([pair])
    return faces[np.argsort(faces.boxes[:, 0])]


def make(seen: Detections, matching: Matching, kind: str = "face", **people: Any) -> Anonymizer:
    chooser = Choosing(people=Recognition(matching=matching, **people))
    tracker = Tracking(coast=0.0, coast_back=0.0)
    return Anonymizer(detector=Known(seen, kind), synthesizers={}, fallback=RED, tracker=tracker, chooser=chooser)


def red(image: np.ndarray, where: tuple[slice, slice]) -> bool:
    """Whether a face is covered; video coding blurs the red."""
    part = image[where].astype(int)
    return bool((part[..., 0] > 200).all() and (part[..., 1:] < 60).all())


def frames(pictures: Sequence[np.ndarray]) -> Iterator[Frame]:
    for index, picture in enumerate(pictures):
        yield Frame(picture, index, Fraction(index, 25), Fraction(1, 25))


def mirrored(pair: np.ndarray) -> np.ndarray:
    """Two other people in the places of the two."""
    return np.ascontiguousarray(np.roll(pair[::-1], 7, axis=1))


def test_in_a_picture_exactly_the_listed_person_stays(
    pair: np.ndarray, seen: Detections, matching: Matching, portraits: Make
) -> None:
    for name, own, other in (("astronaut", LEFT, RIGHT), ("hopper", RIGHT, LEFT)):
        result = make(seen, matching, keep=[portraits(name)]).anonymize(pair)
        assert np.array_equal(result.image[own], pair[own])
        assert red(result.image, other)
        assert (result.kept, result.changed) == ({"face": 1}, {"face": 1})


def test_with_only_the_listed_person_and_nobody_else_is_changed(
    pair: np.ndarray, seen: Detections, matching: Matching, portraits: Make
) -> None:
    result = make(seen, matching, only=[portraits("hopper")]).anonymize(pair)
    assert np.array_equal(result.image[LEFT], pair[LEFT])
    assert red(result.image, RIGHT)


@pytest.mark.parametrize(
    "limit", [{"min_size": 500}, {"min_score": 0.99}, {"min_sharpness": 9.0}, {"min_frontal": 1.0}]
)
@pytest.mark.parametrize("way", ["keep", "only"])
def test_who_is_not_clear_is_changed_either_way(
    pair: np.ndarray, seen: Detections, matching: Matching, portraits: Make, limit: dict[str, float], way: str
) -> None:
    anonymizer = make(seen, matching, **{way: [portraits("astronaut")]})
    people = anonymizer.chooser.people
    object.__setattr__(people, "matching", replace(matching, **limit))
    result = anonymizer.anonymize(pair)
    assert red(result.image, LEFT)
    assert red(result.image, RIGHT)


def test_the_same_person_twice_is_nobody(
    astronaut: np.ndarray, matching: Matching, centerface: Detector, portraits: Make
) -> None:
    one = astronaut[:300, 80:380]
    twice = np.ascontiguousarray(np.hstack([one, one]))
    ((faces,),) = centerface([twice])
    assert make(faces, matching, keep=[portraits("astronaut")]).anonymize(twice).kept == {}


def test_bodies_are_known_by_their_faces(
    pair: np.ndarray, seen: Detections, matching: Matching, portraits: Make
) -> None:
    result = make(seen, matching, kind="person", keep=[portraits("hopper")]).anonymize(pair)
    assert red(result.image, LEFT)
    assert np.array_equal(result.image[RIGHT], pair[RIGHT])


def test_faces_without_landmarks_are_looked_at_again(
    pair: np.ndarray, seen: Detections, matching: Matching, portraits: Make
) -> None:
    bare = seen.with_(keypoints=None)
    assert make(bare, matching, keep=[portraits("hopper")]).anonymize(pair).kept == {"face": 1}


@pytest.mark.parametrize("live", [False, True])
def test_in_a_stream_the_listed_person_stays_once_he_is_known(
    pair: np.ndarray, seen: Detections, matching: Matching, portraits: Make, live: bool
) -> None:
    anonymizer = make(seen, matching, keep=[portraits("astronaut")])
    results = list(anonymizer.process(frames([pair] * 20), live=live))
    shown = [index for index, result in enumerate(results) if not red(result.image, LEFT)]
    assert shown == list(range(matching.samples - 1, 20) if live else range(20))
    assert all(red(result.image, RIGHT) for result in results)


def test_after_a_cut_nobody_stays_who_is_not_known_anew(
    pair: np.ndarray, seen: Detections, matching: Matching, portraits: Make
) -> None:
    """The tracks go on, in the same places, with nobody's faces in them."""
    anonymizer = make(seen, matching, keep=[portraits("astronaut")])
    results = list(anonymizer.process(frames([pair] * 15 + [mirrored(pair)] * 15)))
    assert not any(red(result.image, LEFT) for result in results[:15])
    assert all(red(result.image, LEFT) for result in results[15:])


def write(path: Path, pictures: Sequence[np.ndarray]) -> Path:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = pictures[0].shape[1], pictures[0].shape[0], "yuv420p"
        for picture in pictures:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        out.mux(stream.encode())
    return path


def read(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as source:
        return [frame.to_ndarray(format="rgb24") for frame in source.decode(video=0)]


def test_in_a_file_who_is_known_late_stays_from_the_start(
    pair: np.ndarray, seen: Detections, matching: Matching, portraits: Make, tmp_path: Path
) -> None:
    """In the first frames a hand is before each face."""
    hidden = pair.copy()
    hidden[40:190, 80:210] = hidden[90:290, 370:550] = (200, 150, 120)
    clip = write(tmp_path / "clip.mp4", [hidden] * 12 + [pair] * 12)
    anonymizer = make(seen, matching, keep=[portraits("astronaut")])
    report = anonymize_video(anonymizer, clip, tmp_path / "safe.mp4", Options())
    after = read(tmp_path / "safe.mp4")
    assert [red(image, LEFT) for image in after] == [False] * 24
    assert [red(image, RIGHT) for image in after] == [True] * 24
    assert report.summary.kept == {"face": 24}
    assert report.summary.changed == {"face": 24}
    live = list(anonymizer.process(frames(read(clip)), live=True))
    assert all(red(result.image, LEFT) for result in live[:12])


def test_a_file_is_looked_at_now_and_then(
    pair: np.ndarray, seen: Detections, matching: Matching, portraits: Make, tmp_path: Path
) -> None:
    clip = write(tmp_path / "clip.mp4", [pair] * 50)
    anonymizer = make(seen, matching, keep=[portraits("astronaut")])
    before = matching.embedder.embedded
    anonymize_video(anonymizer, clip, tmp_path / "safe.mp4", Options())
    assert matching.embedder.embedded - before < 25  # of 100 faces


def test_no_embedding_stays_in_what_is_known(
    pair: np.ndarray, seen: Detections, matching: Matching, portraits: Make
) -> None:
    anonymizer = make(seen, matching, keep=[portraits("astronaut")])
    study = anonymizer.chooser.study()
    for frame, found in anonymizer.follow(frames([pair] * 10)):
        study.observe(frame, found)
    trails = study._ledger._trails.values()
    assert {sample.shape for trail in trails for sample in trail.piece.samples} == {(1,)}


def test_a_list_has_to_say_who(matching: Matching) -> None:
    with pytest.raises(UsageError):
        Recognition(matching=matching)


@pytest.mark.parametrize(("score", "stays"), [(0.22, True), (0.6, False)])
def test_a_doubtful_find_beside_a_kept_face_does_not_hide_it(
    pair: np.ndarray, seen: Detections, matching: Matching, portraits: Make, score: float, stays: bool
) -> None:
    x0, y0, x1, y1 = seen.boxes[0].tolist()
    wide, high = x1 - x0, y1 - y0
    ear = seen.boxes[:1] + np.array([0.5 * wide, 0.3 * high] * 2, np.float32)
    found = Detections.concatenate([seen, seen[:1].with_(boxes=ear, scores=np.array([score], np.float32))])
    result = make(found, matching, keep=[portraits("astronaut")]).anonymize(pair)
    rows = slice(round(y0 + 0.4 * high), round(y1 - 0.4 * high))
    middle = rows, slice(round(x0 + 0.55 * wide), round(x0 + 0.7 * wide))
    beside = rows, slice(round(x1) + 2, round(x1 + 0.4 * wide))
    assert np.array_equal(result.image[middle], pair[middle]) == stays
    assert red(result.image, beside)
    assert red(result.image, RIGHT)
    assert result.changed == {"face": 2 if stays else 3}  # of two sure faces of one person neither is kept


def test_a_small_doubtful_face_in_front_of_a_kept_one_is_covered(
    pair: np.ndarray, seen: Detections, matching: Matching, portraits: Make
) -> None:
    x0, y0, x1, y1 = seen.boxes[0].tolist()
    wide, high = x1 - x0, y1 - y0
    child = np.array([[x0 + 0.5 * wide, y0 + 0.5 * high, x0 + 0.8 * wide, y0 + 0.8 * high]], np.float32)
    found = Detections.concatenate([seen, seen[:1].with_(boxes=child, scores=np.array([0.22], np.float32))])
    result = make(found, matching, keep=[portraits("astronaut")]).anonymize(pair)
    rows, columns = (
        slice(round(y0 + 0.6 * high), round(y0 + 0.7 * high)),
        slice(round(x0 + 0.6 * wide), round(x0 + 0.7 * wide)),
    )
    assert red(result.image, (rows, columns))
