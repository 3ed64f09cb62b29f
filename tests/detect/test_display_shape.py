"""Detectors look at pictures as they are shown, whatever the shape of a stored pixel."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image as Pil

from dp2.anonymizer import Anonymizer, load_anonymizer
from dp2.detect.display_shape import detect_as_shown
from dp2.errors import DetectionError
from dp2.files import Options, anonymize_video
from dp2.sink.frame_folder import FrameFolderSink
from dp2.source.frame_folder import FrameFolderSource
from dp2.source.video import VideoSource
from dp2.types import FACE, Detections, Frame, Image

ASPECTS = [Fraction(4), Fraction(1, 4), Fraction(16, 15), Fraction(2, 3)]


@pytest.fixture(scope="module")
def group() -> Image:
    """(480, 720, 3) uint8 RGB with eight faces or more."""
    path = Path(__file__).resolve().parents[2] / "media/group.jpg"
    return np.asarray(Pil.open(path).convert("RGB").resize((720, 480)))


@pytest.fixture(scope="module")
def blur() -> Anonymizer:
    return load_anonymizer("face_blur")


def squeezed(image: Image, aspect: Fraction) -> Image:
    """How a picture is stored with pixels of that shape."""
    height, width = image.shape[:2]
    size = (round(width / aspect), height) if aspect > 1 else (width, round(height * aspect))
    return np.asarray(cv2.resize(image, (size[0] & ~1, size[1] & ~1), interpolation=cv2.INTER_AREA), np.uint8)


def clip(path: Path, image: Image, aspect: Fraction, frames: int = 3) -> Path:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=10, options={"crf": "8"})
        stream.width, stream.height, stream.pix_fmt = image.shape[1], image.shape[0], "yuv420p"
        stream.codec_context.sample_aspect_ratio = aspect
        for _ in range(frames):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        out.mux(stream.encode())
    return path


def inside(boxes: np.ndarray, others: np.ndarray) -> int:
    """How many boxes have one of the others around their middle."""
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    hit = (middles[:, None] > others[None, :, :2]) & (middles[:, None] < others[None, :, 2:])
    return int(hit.all(2).any(1).sum())


@pytest.mark.parametrize("aspect", ASPECTS)
def test_the_same_faces_are_found_at_the_same_places(blur: Anonymizer, group: Image, aspect: Fraction) -> None:
    (square,) = blur.detect_frames([Frame(group)])[0]
    faces = square.confirmed.boxes
    assert len(faces) >= 8
    image = squeezed(group, aspect)
    (found,) = blur.detect_frames([Frame(image, pixel_aspect=aspect)])[0]
    scale = np.array([image.shape[1] / 720, image.shape[0] / 480] * 2)
    assert inside(faces, found.confirmed.boxes / scale) == len(faces)


def test_faces_that_the_stored_shape_hides_are_found(blur: Anonymizer, group: Image) -> None:
    image = squeezed(group, Fraction(8))
    stored = len(blur.detect_frames([Frame(image)])[0][0].confirmed)
    shown = len(blur.detect_frames([Frame(image, pixel_aspect=Fraction(8))])[0][0].confirmed)
    assert stored == 0
    assert shown >= 8


def test_file_that_claims_a_wrong_shape_still_loses_its_faces(blur: Anonymizer, group: Image) -> None:
    """Many players show the stored pixels."""
    (square,) = blur.detect_frames([Frame(group)])[0]
    (found,) = blur.detect_frames([Frame(group, pixel_aspect=Fraction(4))])[0]
    assert inside(square.confirmed.boxes, found.confirmed.boxes) == len(square.confirmed)


@pytest.mark.parametrize("name", ["o.mp4", "o.mkv", "o.webm", "o.avi"])
def test_from_file_to_file(blur: Anonymizer, group: Image, tmp_path: Path, name: str) -> None:
    solid = load_anonymizer("face_solid")
    source = clip(tmp_path / "a.mp4", squeezed(group, Fraction(4)), Fraction(4))
    report = anonymize_video(solid, source, tmp_path / name, Options())
    assert report.summary.changed[FACE] >= 8 * 3
    result = VideoSource(tmp_path / name)
    shape = Fraction(result.info.width, result.info.height) * result.info.pixel_aspect
    assert abs(shape - Fraction(720, 480)) < Fraction(1, 50)
    for frame in result:
        shown = cv2.resize(frame.image, (720, 480), interpolation=cv2.INTER_LINEAR)
        for x0, y0, x1, y1 in blur.detect(group)[0].boxes.astype(int):
            middle = shown[(3 * y0 + y1) // 4 : (y0 + 3 * y1) // 4, (3 * x0 + x1) // 4 : (x0 + 3 * x1) // 4]
            assert middle.mean() < 20  # black where the face was


def test_turned_video(blur: Anonymizer, group: Image, tmp_path: Path) -> None:
    """The shape of a pixel turns with the picture."""
    image = squeezed(np.ascontiguousarray(np.rot90(group, -1)), Fraction(1, 4))
    path = clip(tmp_path / "a.mp4", image, Fraction(1, 4))
    data = bytearray(path.read_bytes())
    at = data.find(b"tkhd") + 44  # upright by a turn of 90 degrees counter-clockwise
    data[at : at + 20] = b"".join(value.to_bytes(4, "big", signed=True) for value in (0, -65536, 0, 65536, 0))
    path.write_bytes(data)
    frames = list(VideoSource(path))
    assert frames[0].pixel_aspect == 4
    assert frames[0].image.shape == (480, 180, 3)
    assert all(len(found.confirmed) >= 8 for (found,) in blur.detect_frames(frames))


def test_folder_of_frames_remembers_the_shape(group: Image, tmp_path: Path) -> None:
    source = VideoSource(clip(tmp_path / "a.mp4", squeezed(group, Fraction(4)), Fraction(4)))
    sink = FrameFolderSink(tmp_path / "frames", source.info)
    for frame in source:
        sink.write(frame)
    sink.finish()
    assert {frame.pixel_aspect for frame in FrameFolderSource(tmp_path / "frames")} == {Fraction(4)}


class Everything:
    """A detector whose one thing has all that detections can have, in the middle of the picture."""

    kinds = ("person_surface",)
    settings: dict[str, object] = {}  # noqa: RUF012  (a Protocol's attribute)

    def __init__(self) -> None:
        self.sizes: list[tuple[int, int]] = []

    def __call__(self, images: Sequence[Image], *, relax: float = 1.0) -> list[tuple[Detections, ...]]:
        return [self._found(image) for image in images]

    def _found(self, image: Image) -> tuple[Detections, ...]:
        height, width = image.shape[:2]
        self.sizes.append((width, height))
        box = np.array([[width / 4, height / 4, width / 2, height * 3 / 4]], np.float32)
        mask = np.zeros((1, height, width), bool)
        mask[0, height // 4 : height * 3 // 4, width // 4 : width // 2] = True
        points = np.array([[[width / 4, height / 4, 0.9]]], np.float32)
        surface = np.ones((1, 17, 112, 112), np.float32)
        scores = np.array([0.9], np.float32)
        return (Detections("person_surface", box, scores, keypoints=points, masks=mask, surface=surface),)


@pytest.mark.parametrize(("aspect", "sizes"), [
    (Fraction(4, 3), [(160, 80)]), (Fraction(4), [(480, 80), (120, 80)]), (Fraction(1, 2), [(120, 160), (120, 80)]),
    (Fraction(101, 100), [(120, 80)]), (Fraction(500), [(120, 80)]),
])  # fmt: skip
def test_all_that_detections_have_comes_back_to_the_stored_shape(
    aspect: Fraction, sizes: list[tuple[int, int]]
) -> None:
    detector = Everything()
    ((found,),) = detect_as_shown(detector, [Frame(np.zeros((80, 120, 3), np.uint8), pixel_aspect=aspect)], relax=1.0)
    assert detector.sizes == sizes
    assert len(found) == 1  # found twice, it is one thing
    assert np.allclose(found.boxes, [[30, 20, 60, 60]], atol=0.1)
    assert found.surface_boxes is not None
    assert np.allclose(found.surface_boxes, found.boxes)
    assert found.surface is not None
    assert found.surface.shape == (1, 17, 112, 112)
    assert found.keypoints is not None
    assert np.allclose(found.keypoints, [[[30, 20, 0.9]]], atol=0.1)
    assert found.masks is not None
    expected = np.zeros((80, 120), bool)
    expected[20:60, 30:60] = True
    assert (found.masks[0] | ~expected).all()  # nothing of it is lost
    assert found.masks[0].sum() < expected.sum() * 1.1


def test_huge_pictures_do_not_grow() -> None:
    detector = Everything()
    detect_as_shown(detector, [Frame(np.zeros((5000, 8000, 3), np.uint8), pixel_aspect=Fraction(4))], relax=1.0)
    assert detector.sizes[0] == (16000, 2500)


def test_detector_that_answers_for_too_few() -> None:
    def lazy(images: Sequence[Image], *, relax: float) -> list[tuple[Detections, ...]]:
        return [(Detections.empty(FACE),)] * (len(images) - 1)

    with pytest.raises(DetectionError, match="1 of 2"):
        detect_as_shown(lazy, [Frame(np.zeros((8, 8, 3), np.uint8), pixel_aspect=Fraction(4))], relax=1.0)  # type: ignore[arg-type]


def test_shared_cases(blur: Anonymizer, shared_cases: Path) -> None:
    """Five people in the one, one in the other, in every frame."""
    for name, people in {"display_matrix_zero.mp4": 5, "pixel_aspect_4_1.mp4": 1}.items():
        results = list(blur.process(VideoSource(shared_cases / name)))
        assert [result.changed[FACE] for result in results] == [people] * len(results), name
