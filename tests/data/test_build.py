"""`dp2 dataset`: from photos and videos to crops."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dp2.cli import main
from dp2.data.builder import parts, run
from dp2.data.builder.cut import BLURRED, CUT_OFF, LOW_SCORE, TOO_SMALL, cut
from dp2.data.builder.quality import Duplicates, fingerprint, sharpness
from dp2.data.builder.settings import BuildSettings
from dp2.data.builder.sources import SourceFile, list_sources
from dp2.data.crop_record import parse_record
from dp2.data.crop_shards import CropShards, StoredCrop, whole_window
from dp2.errors import DatasetError, UsageError
from dp2.types import FACE, Region

SOURCE = SourceFile(Path("a.png"), "set/a.png", "set", False)


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.chdir(tmp_path)

    def call(*words: object) -> Result:
        return CliRunner().invoke(main, ["dataset", *map(str, words)])

    return call


@pytest.fixture
def photos(tmp_path: Path, astronaut: np.ndarray, hopper: np.ndarray) -> Path:
    """Two people in two groups; one photo twice, one blurred, one without a face, one damaged."""
    folder = tmp_path / "photos"
    for group in ("women", "men"):
        (folder / group).mkdir(parents=True)
    face = astronaut[:300, 60:360]
    Image.fromarray(face).save(folder / "women" / "a.png")
    Image.fromarray(face).save(folder / "women" / "again.jpg", quality=90)
    Image.fromarray(cv2.GaussianBlur(face, (0, 0), 6)).save(folder / "women" / "soft.png")
    Image.fromarray(astronaut[300:, :]).save(folder / "women" / "suit.png")
    Image.fromarray(hopper[:400]).save(folder / "men" / "b.jpg", quality=95)
    (folder / "men" / "broken.jpg").write_bytes((folder / "men" / "b.jpg").read_bytes()[:9000])
    return folder


def face_at(box: tuple[float, ...], score: float = 0.9) -> Region:
    x0, y0, x1, y1 = box
    corners = np.array([(x0, y0), (x1, y0), ((x0 + x1) / 2, (y0 + y1) / 2), (x0, y1), (x1, y1)])
    keypoints = np.concatenate([corners, np.ones((5, 1))], 1).astype(np.float32)
    return Region(FACE, np.array(box, np.float32), score, 0, keypoints=keypoints)


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@given(
    st.tuples(st.integers(40, 200), st.integers(40, 200)),
    st.tuples(st.floats(-20, 150), st.floats(-20, 150), st.floats(8, 180), st.floats(8, 180)),
    st.integers(16, 256),
)
def test_crop_holds_the_face_where_its_record_says(size, place, limit: int) -> None:
    height, width = size
    x, y, wide, tall = place
    x, y = min(max(x, 1 - wide), width - 5), min(max(y, 1 - tall), height - 5)  # some of it lies in the photo
    rows, columns = np.mgrid[:height, :width].astype(np.uint8)
    image = np.dstack([columns, rows, rows])  # every pixel says where it was
    made = cut(image, face_at((x, y, x + wide, y + tall)), SOURCE, None, BuildSettings(size=limit))
    record = made.record
    assert made.image.shape == (record.height, record.width, 3)
    x0, y0, x1, y1 = record.window
    assert max(x1 - x0, y1 - y0) <= limit
    assert record.scale <= 1 + 1e-6 + 1 / min(record.width, record.height)
    # A point of the stored picture and the same of the photo agree.
    scale_x = (record.box[2] - record.box[0]) / wide
    origin = x - record.box[0] / scale_x
    middle = made.image[record.height // 2, record.width // 2, 0]
    assert abs((record.width // 2 + 0.5) / scale_x + origin - 0.5 - float(middle)) < 1.5 + 1 / scale_x


def test_window_is_square_about_the_face_and_marked_outside() -> None:
    made = cut(noise(100, 100), face_at((10, 20, 50, 80)), SOURCE, None, BuildSettings())
    x0, y0, x1, y1 = made.record.window  # 120 pixels about (30, 50): 30 of them left of the photo, 10 above it
    assert (x0, y0, x1, y1) == (-30, -10, 90, 110)
    picture, inside = whole_window(StoredCrop(made.record, made.image))
    assert picture.shape == (120, 120, 3)
    assert inside.sum() == made.record.width * made.record.height
    rows, columns = np.nonzero(inside)
    assert np.array_equal(picture[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1], made.image)


def test_small_crops_are_kept_pixel_by_pixel() -> None:
    image = noise(300, 300)
    made = cut(image, face_at((100, 100, 160, 160)), SOURCE, None, BuildSettings(size=256))
    assert np.array_equal(made.image, image[70:190, 70:190])
    assert made.record.scale == 1


@pytest.mark.parametrize(
    ("box", "score", "soft", "reason"),
    [
        ((100, 100, 180, 180), 0.9, False, None),
        ((100, 100, 180, 180), 0.3, False, LOW_SCORE),
        ((100, 100, 140, 140), 0.9, False, TOO_SMALL),
        ((-40, 100, 40, 180), 0.9, False, CUT_OFF),
        ((100, 100, 180, 180), 0.9, True, BLURRED),
    ],
)
def test_reasons(box, score: float, soft: bool, reason: str | None) -> None:
    image = noise(300, 300)
    image = cv2.GaussianBlur(image, (0, 0), 9) if soft else image
    assert cut(image, face_at(box, score), SOURCE, None, BuildSettings()).reason == reason


@given(st.floats(0.5, 3), st.floats(0.5, 3))
def test_more_blur_is_less_sharp(astronaut: np.ndarray, one: float, more: float) -> None:
    face = astronaut[75:175, 180:265]
    assert sharpness(cv2.GaussianBlur(face, (0, 0), one + more)) < sharpness(cv2.GaussianBlur(face, (0, 0), one))


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 30)), max_size=12), st.integers(-1, 12))
def test_duplicates_are_those_within_the_distance(changes, max_same: int) -> None:
    rng = np.random.default_rng(1)
    bases = rng.integers(0, 2, (6, 256)).astype(np.uint8)
    index = Duplicates(max_same)
    seen: list[np.ndarray] = []
    for base, flips in changes:
        bits = bases[base].copy()
        bits[rng.permutation(256)[:flips]] ^= 1
        near = [row for row, other in enumerate(seen) if (bits != other).sum() <= max_same]
        text = np.packbits(bits).tobytes().hex()
        assert index.find(text) == (near[0] if near else None)
        index.add(text)
        seen.append(bits)


def test_fingerprint_survives_recompression_and_tells_faces_apart(astronaut: np.ndarray, hopper: np.ndarray) -> None:
    def distance(one: np.ndarray, other: np.ndarray) -> int:
        codes = [int(fingerprint(image, (0, 0, image.shape[1], image.shape[0])), 16) for image in (one, other)]
        return (codes[0] ^ codes[1]).bit_count()

    face = astronaut[75:175, 180:265]
    stored = cv2.imdecode(cv2.imencode(".jpg", face, [cv2.IMWRITE_JPEG_QUALITY, 80])[1], cv2.IMREAD_COLOR)
    assert distance(face, stored) <= 12
    assert distance(face, hopper[100:300, 150:320]) > 40


def test_set_from_photos(photos: Path, dataset: Callable[..., Result], tmp_path: Path) -> None:
    before = digests(photos)
    result = dataset("build", photos, "-o", "set", "--val", "0")
    assert result.exit_code == 0, result.output
    assert "2 crops to train" in result.output
    assert digests(photos) == before

    summary = json.loads((tmp_path / "set" / "dataset.json").read_text())
    assert summary["dropped"] == {"blurred": 1, "near-duplicate": 1}
    assert summary["groups"]["train"] == {"men": 1, "women": 1}
    assert len(summary["unreadable"]) == 1
    assert "broken" not in (tmp_path / "set" / "dataset.json").read_text()
    assert not list(tmp_path.glob(".set*"))
    for sheet in ("kept.png", "dropped-blurred.png", "dropped-near-duplicate.png"):
        assert min(Image.open(tmp_path / "set" / sheet).size) >= 100

    crops = CropShards(tmp_path / "set")
    woman = next(crops.crop(index) for index in range(len(crops)) if crops.record(index).group == "women")
    photo = np.asarray(Image.open(photos / "women" / "a.png"))
    likeness = cv2.matchTemplate(photo, woman.image, cv2.TM_CCOEFF_NORMED)
    _, best, _, place = cv2.minMaxLoc(likeness)
    assert best > 0.98  # shown pixel by pixel, and there is her face
    found = np.array(woman.record.box) + np.tile(place, 2)
    assert np.abs(found - [180 - 60, 75, 265 - 60, 175]).max() < 20
    assert len(woman.record.keypoints) == 5
    x0, y0, x1, y1 = woman.record.box
    assert all(x0 <= x <= x1 and y0 <= y <= y1 for x, y, _ in woman.record.keypoints)


def test_same_command_gives_the_same_set(photos: Path, dataset: Callable[..., Result], tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert dataset("build", photos, "-o", name, "--val", "0.4").exit_code == 0
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def test_existing_set_is_only_replaced_on_request(photos: Path, dataset: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("keep")
    for words in ((), ("--overwrite",)):
        result = dataset("build", photos, "-o", "mine", *words)
        assert result.exit_code == 1
        assert "Traceback" not in result.output
    assert (tmp_path / "mine" / "letter.txt").read_text() == "keep"


def test_broken_off_build_goes_on(
    photos: Path, dataset: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dp2.data.builder.sources._PHOTOS_A_PART", 2)
    assert dataset("build", photos, "-o", "whole").exit_code == 0

    real, made = run.make_part, []

    def counted(stem, *rest):
        made.append(stem.name)
        if len(made) == 3:
            raise KeyboardInterrupt
        return real(stem, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(run, "make_part", counted)
        assert dataset("build", photos, "-o", "set").exit_code != 0
    assert not (tmp_path / "set").exists()

    cut_again: list[int] = []
    real_batches = parts._batches
    monkeypatch.setattr(parts, "_batches", lambda files, *rest: (cut_again.append(1), real_batches(files, *rest))[1])
    assert dataset("build", photos, "-o", "set").exit_code == 0
    assert len(cut_again) == 1
    assert digests(tmp_path / "set") == digests(tmp_path / "whole")


def test_crops_of_a_file_stay_together(tmp_path: Path) -> None:
    for number in range(200):
        (tmp_path / f"{number}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    files = list_sources([tmp_path], skip=())
    apart = {file.name for file in files if file.is_validation(0.2, 0)}
    assert 20 < len(apart) < 65
    shutil.rmtree(tmp_path, ignore_errors=False)
    tmp_path.mkdir()
    for number in range(0, 200, 3):
        (tmp_path / f"{number}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    fewer = list_sources([tmp_path], skip=())
    assert {file.name for file in fewer if file.is_validation(0.2, 0)} == {file.name for file in fewer} & apart


@pytest.mark.parametrize("share", [0.0001, 0.3, 0.9999])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_neither_split_is_left_empty(
    share: float, seed: int, dataset: Callable[..., Result], tmp_path: Path, astronaut: np.ndarray, hopper: np.ndarray
) -> None:
    (tmp_path / "few").mkdir()
    Image.fromarray(astronaut[:300]).save(tmp_path / "few" / "a.png")
    Image.fromarray(hopper).save(tmp_path / "few" / "b.png")
    result = dataset("build", "few", "-o", "set", "--val", share, "--seed", seed)
    assert result.exit_code == 0, result.output
    assert "1 crops to train, 1 to validate" in result.output
    assert len(CropShards(tmp_path / "set")) == len(CropShards(tmp_path / "set", split="val")) == 1


def test_crops_of_one_file_cannot_be_split_and_that_is_said(
    dataset: Callable[..., Result], tmp_path: Path, astronaut: np.ndarray
) -> None:
    Image.fromarray(astronaut).save(tmp_path / "a.png")
    result = dataset("build", "a.png", "-o", "set", "--val", "0.0001")
    assert result.exit_code == 0, result.output
    assert "all crops come from one file" in result.output


def test_limit_names_and_video(
    dataset: Callable[..., Result], tmp_path: Path, astronaut: np.ndarray, hopper: np.ndarray
) -> None:
    with av.open("clip.mp4", "w") as out:
        stream = out.add_stream("libx264", rate=Fraction(4), options={"crf": "12"})
        stream.width, stream.height, stream.pix_fmt = 300, 300, "yuv420p"
        for face in (astronaut[:300, 60:360], hopper[50:350, 100:400]):
            for _ in range(8):
                out.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(face), "rgb24")))
        out.mux(stream.encode())
    result = dataset("build", "clip.mp4", "-o", "all", "--fps", 2, "--names", "--val", 0, "--min-sharpness", 50)
    assert result.exit_code == 0, result.output
    crops = CropShards(tmp_path / "all")
    assert [crops.record(index).time for index in range(len(crops))] == [0.0, 2.0]
    assert {crops.record(index).source for index in range(len(crops))} == {"clip.mp4"}
    words = ("--fps", 2, "--limit", 1, "--val", 0, "--min-sharpness", 50)
    assert dataset("build", "clip.mp4", "-o", "one", *words).exit_code == 0
    assert len(CropShards(tmp_path / "one")) == 1


def test_bodies_have_masks(
    dataset: Callable[..., Result],
    shared_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    vouch: Callable[[pytest.MonkeyPatch, Path, Path], None],
) -> None:
    vouch(monkeypatch, shared_data / "weights", tmp_path / "home")
    result = dataset("build", "--bodies", shared_data / "people", "-o", "bodies", "--val", 0, "--limit", 3)
    assert result.exit_code == 0, result.output
    crops = CropShards(tmp_path / "bodies")
    for index in range(len(crops)):
        crop = crops.crop(index)
        x0, y0, x1, y1 = crop.record.window
        assert (x1 - x0) / (y1 - y0) == pytest.approx(160 / 288, rel=0.05)
        assert 0.05 < crop.mask.mean() < 0.95


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("missing",), "no such file"),
        (("photos", "--size", "3"), "size=3"),
        (("photos", "--context", "0"), "context=0"),
        (("photos", "--bodies", "--detector-config", "face_blur"), "finds face, no person"),
        (("photos", "--min-size", "5000"), "too small"),
    ],
)
def test_wrong_usage_is_one_line(
    words, said: str, photos: Path, dataset: Callable[..., Result], tmp_path: Path
) -> None:
    result = dataset("build", *words, "-o", "set")
    assert result.exit_code == 2
    assert said in result.output
    assert "Traceback" not in result.output
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"version": 2}', '{"version": 1, "kind": 3}', "[" * 100000])
def test_records_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(DatasetError, match="here"):
        parse_record(text, "here")


@pytest.mark.parametrize("strange", [{"window": [-65000, -65000, 65000, 65000]}, {"box": [0, 0, 1e300, 9]}])
def test_record_of_a_monstrous_place_is_refused(strange: dict[str, list[float]]) -> None:
    record = cut(noise(200, 200), face_at((60, 60, 130, 140)), SOURCE, None, BuildSettings()).record
    with pytest.raises(DatasetError, match="here"):
        parse_record(json.dumps({**json.loads(record.to_json()), **strange}), "here")


def test_record_is_read_as_it_was_written() -> None:
    record = cut(noise(200, 200), face_at((60, 60, 130, 140)), SOURCE, 1.5, BuildSettings(names=True)).record
    again = parse_record(record.to_json(), "here")
    assert again.box == pytest.approx(record.box, abs=0.01)
    assert (again.group, again.source, again.time) == ("set", "set/a.png", 1.5)
    assert len(again.keypoints) == 5


def test_synthesize_and_show(dataset: Callable[..., Result], tmp_path: Path) -> None:
    for kind in ("fdf128", "fdf256", "fdh", "coco_cse"):
        assert dataset("synthesize", kind, "-o", kind, "--count", 4).exit_code == 0
        result = dataset("show", kind, "-o", f"{kind}.png", "--split", "validation")
        assert result.exit_code == 0, result.output
        sheet = np.asarray(Image.open(tmp_path / f"{kind}.png"))
        assert (sheet == 127).all(2).mean() > 0.02  # the holes
    assert dataset("synthesize", "fdh", "-o", "fdh").exit_code == 2
    assert dataset("show", tmp_path / "fdh" / "nothing", "-o", "x.png").exit_code == 2


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(UsageError, match="validation"):
        BuildSettings(validation=1.0)
