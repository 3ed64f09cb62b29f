"""New faces: one identity is one person; of the old face only pose, visibility and a coarse colour are used."""

from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np
import pytest

from dp2.faces.finding import FoundFace
from dp2.faces.mesh import read_model
from dp2.faces.pose import Pose
from dp2.synthesize.new_faces import NewFaces
from dp2.types import PaintTask, Patch, Refusal, Region

_BOX = np.array([120, 100, 200, 210], np.float32)


class _Known:
    """A finder that says the same of every face."""

    def __init__(self, sure: float = 1.0, visible: float = 1.0) -> None:
        model = read_model()
        pose = Pose(np.eye(3, dtype=np.float32), 32.0, np.array([160, 155, 0], np.float32), model.usual)
        seen = np.full((48, 48), visible, np.float32)
        self._found = FoundFace(pose, seen, np.array([80, 75, 160], np.float32), sure)

    def __call__(self, image: np.ndarray, box: np.ndarray) -> FoundFace:
        return self._found


@pytest.fixture(scope="module")
def wall() -> np.ndarray:
    """(300, 320, 3) uint8: something smooth with a plain oval on it."""
    y, x = np.mgrid[0:300, 0:320]
    picture = np.dstack([x // 2 + 40, y // 2 + 30, np.full_like(x, 90)]).astype(np.uint8)
    return np.asarray(cv2.ellipse(picture, (160, 155), (46, 58), 0, 0, 360, (150, 120, 100), -1), np.uint8)


def _with_face(wall: np.ndarray, seed: int) -> np.ndarray:
    """The same with other pixels, of the same mean colour, well inside the face."""
    picture = wall.copy()
    inner = np.zeros(wall.shape[:2], np.uint8)
    cv2.ellipse(inner, (160, 155), (34, 42), 0, 0, 360, 1, -1)
    count = int(inner.sum())
    noise = np.random.default_rng(seed).integers(-60, 61, (count, 3))
    noise[1::2] = -noise[: count // 2 * 2 : 2][: len(noise[1::2])]
    picture[inner > 0] = np.clip(np.array([150, 120, 100]) + noise, 0, 255)
    return picture


def _made(faces: NewFaces, picture: np.ndarray, identity: int = 1, seed: int = 0) -> Patch | Refusal:
    return faces.synthesize([PaintTask(picture, Region("face", _BOX, 0.9, identity))], seed)[0]


@pytest.fixture(scope="module")
def faces() -> NewFaces:
    return NewFaces(finder=_Known())


def test_another_old_face_in_the_same_pose_and_colour_gives_the_same_bytes(faces: NewFaces, wall: np.ndarray) -> None:
    one, other = _made(faces, _with_face(wall, 1)), _made(faces, _with_face(wall, 2))
    assert isinstance(one, Patch)
    assert isinstance(other, Patch)
    assert (one.x, one.y) == (other.x, other.y)
    np.testing.assert_array_equal(one.pixels[one.alpha > 0], other.pixels[one.alpha > 0])
    np.testing.assert_array_equal(one.alpha, other.alpha)


def test_all_that_is_seen_of_the_face_is_replaced(faces: NewFaces, wall: np.ndarray) -> None:
    patch = _made(faces, wall)
    assert isinstance(patch, Patch)
    y, x = np.nonzero(np.hypot((np.mgrid[0:300, 0:320][1] - 160) / 34, (np.mgrid[0:300, 0:320][0] - 155) / 42) < 1)
    assert (patch.alpha[y - patch.y, x - patch.x] == 1).all()


def test_one_identity_is_one_face_and_two_are_two(faces: NewFaces, wall: np.ndarray) -> None:
    first, again, other = _made(faces, wall, 1), _made(faces, wall, 1), _made(faces, wall, 2)
    assert isinstance(first, Patch)
    assert isinstance(again, Patch)
    assert isinstance(other, Patch)
    np.testing.assert_array_equal(first.pixels, again.pixels)
    assert (first.pixels != other.pixels).any()


@pytest.mark.parametrize(("sure", "visible", "reason"), [(0.1, 1.0, "no face is seen"), (1.0, 0.0, "a hidden face")])
def test_what_is_no_face_or_not_seen_is_refused(sure: float, visible: float, reason: str, wall: np.ndarray) -> None:
    answer = _made(NewFaces(finder=_Known(sure, visible)), wall)
    assert isinstance(answer, Refusal)
    assert answer.reason == reason


def test_a_new_face_is_made_without_torch(tmp_path: object) -> None:
    script = (
        "import sys, numpy as np\n"
        "from dp2.synthesize.new_faces import NewFaces\n"
        "from dp2.types import PaintTask, Region\n"
        "region = Region('face', np.float32([40, 40, 120, 140]), 0.9, 0)\n"
        "NewFaces(surest=0.0).synthesize([PaintTask(np.full((200, 160, 3), 120, np.uint8), region)], 0)\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
