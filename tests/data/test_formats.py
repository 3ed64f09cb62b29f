"""Published formats: what is read, and what is said of damage."""

from __future__ import annotations

import io
import pickle
import shutil
import tarfile
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from dp2.config import build, load_config
from dp2.data.batch import Dataset
from dp2.data.coco_cse import CocoCse
from dp2.data.fdf import Fdf128, Fdf256
from dp2.data.fdh import Fdh
from dp2.data.loader import Loading, training_batches, validation_batches
from dp2.data.sampler import sample_rng
from dp2.data.surfaces import VERTICES, load_embed_map, load_symmetry
from dp2.errors import DatasetError

READERS: dict[str, Callable[[str], Dataset]] = {"fdf128": Fdf128, "fdf256": Fdf256, "fdh": Fdh, "coco_cse": CocoCse}
SIZES = {"fdf128": (128, 128), "fdf256": (256, 256), "fdh": (288, 160), "coco_cse": (288, 160)}


@pytest.fixture
def copy(made_up: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    """The training split of a set, to be damaged."""

    def made(kind: str) -> Path:
        shutil.copytree(made_up[kind], tmp_path / kind)
        return tmp_path / kind / "train"

    return made


class Evil:
    """Would write a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("kind", READERS)
def test_every_format_gives_batches(kind: str, made_up: dict[str, Path]) -> None:
    dataset = READERS[kind](str(made_up[kind] / "train"))
    batch = next(training_batches(dataset, batch_size=4, seed=0))
    assert len(dataset) == 9
    assert batch.image.shape == (4, 3, *SIZES[kind])
    assert batch.mask.shape == (4, 1, *SIZES[kind])
    assert dataset.resolution == SIZES[kind]
    assert 0 < (~batch.mask).float().mean() < 0.8


@pytest.mark.parametrize("kind", READERS)
def test_workers_read_the_same(kind: str, made_up: dict[str, Path]) -> None:
    dataset = READERS[kind](str(made_up[kind] / "train"))
    alone, helped = (
        list(validation_batches(dataset, batch_size=5, loading=Loading(workers=workers))) for workers in (0, 2)
    )
    assert all(torch.equal(one.image, other.image) for one, other in zip(alone, helped, strict=True))


@pytest.mark.parametrize("kind", READERS)
def test_configs_find_sets_in_the_base_folder(
    kind: str, made_up: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / {"fdf128": "fdf"}.get(kind, kind)).symlink_to(made_up[kind])
    monkeypatch.setenv("BASE_DATASET_DIR", str(tmp_path))
    data = load_config(f"datasets/{kind}").data
    assert len(build(data.train)) == 9
    assert len(build(data.validation)) == 3
    if "surface" in data:
        assert build(data.surface).shape == (VERTICES, data.embedding_channels)


def test_mirroring_happens_as_often_as_asked(made_up: dict[str, Path]) -> None:
    folder = str(made_up["fdf128"] / "train")
    plain, turned, half = (Fdf128(folder, mirror=chance) for chance in (0.0, 1.0, 0.5))
    rows = [[dataset.sample(0, sample_rng(0, place)).image for place in range(20)] for dataset in (plain, turned, half)]
    assert all(torch.equal(one, other.flip(-1)) for one, other in zip(rows[0], rows[1], strict=True))
    assert 0 < sum(torch.equal(one, other) for one, other in zip(rows[0], rows[2], strict=True)) < 20


def test_hole_is_the_box_and_keypoints_are_fractions(made_up: dict[str, Path]) -> None:
    folder = made_up["fdf256"] / "train"
    dataset = Fdf256(str(folder), keypoints=True)
    sample = dataset.sample(4, sample_rng(0, 0))
    x0, y0, x1, y1 = np.load(folder / "bounding_box.npy")[4]
    expected = torch.ones(256, 256, dtype=torch.bool)
    expected[y0:y1, x0:x1] = False
    assert torch.equal(sample.mask[0], expected)
    assert np.allclose(sample.keypoints[:, :2], np.load(folder / "landmarks.npy")[4].reshape(7, 2))


def test_landmarks_in_pixels_become_fractions(copy: Callable[[str], Path]) -> None:
    folder = copy("fdf256")
    before = Fdf256(str(folder), keypoints=True).sample(0, sample_rng(0, 0)).keypoints
    np.save(folder / "landmarks.npy", np.load(folder / "landmarks.npy") * 256)
    assert torch.allclose(Fdf256(str(folder), keypoints=True).sample(0, sample_rng(0, 0)).keypoints, before)


def test_pictures_are_in_order_of_their_numbers(copy: Callable[[str], Path]) -> None:
    folder = copy("fdf256")
    (folder / "images" / "8.png").rename(folder / "images" / "10.png")
    last = Fdf256(str(folder)).sample(8, sample_rng(0, 0))
    shown = cv2.imread(str(folder / "images" / "10.png"))[:, :, ::-1].transpose(2, 0, 1)
    assert np.array_equal(last.image, shown)


def test_surface_lies_on_the_body(made_up: dict[str, Path]) -> None:
    for kind in ("fdh", "coco_cse"):
        sample = READERS[kind](str(made_up[kind] / "train")).sample(2, sample_rng(0, 0))
        assert torch.equal(sample.vertices >= 0, sample.silhouette[0])
        assert int(sample.vertices.max()) < VERTICES
        assert not (sample.mask & sample.silhouette).any()


def test_keypoints_outside_are_not_visible(copy: Callable[[str], Path]) -> None:
    folder = copy("fdh")
    points = np.full((17, 3), 0.5, np.float32)
    points[3, 0], points[5, 1], points[7, 2] = 1.2, -0.1, 0
    change_member(folder / "out-000000.tar", "00000000.keypoints.npy", npy(points))
    seen = Fdh(str(folder)).sample(0, sample_rng(0, 0)).keypoints[:, 2]
    assert [int(row) for row in (seen == 0).nonzero()] == [3, 5, 7]


def test_surface_is_mirrored_with_the_published_file(made_up: dict[str, Path], tmp_path: Path) -> None:
    table = np.arange(VERTICES)[::-1].copy()
    (tmp_path / "symmetry.pkl").write_bytes(pickle.dumps({"vertex_transforms": table}, protocol=2))
    folder = str(made_up["fdh"] / "train")
    plain = Fdh(folder).sample(1, sample_rng(0, 0)).vertices
    turned = Fdh(folder, mirror=1.0, symmetry=str(tmp_path / "symmetry.pkl")).sample(1, sample_rng(0, 0)).vertices
    body = plain.flip(-1) >= 0
    assert torch.equal(turned[body], VERTICES - 1 - plain.flip(-1)[body])


@pytest.mark.parametrize("reader", [Fdh, CocoCse])
def test_mirroring_a_surface_needs_its_symmetry(reader, made_up: dict[str, Path]) -> None:
    with pytest.raises(DatasetError, match="symmetry"):
        reader(str(made_up["fdh"] / "train"), mirror=0.5)


def test_embeddings_of_coco_are_normalised(made_up: dict[str, Path]) -> None:
    table = load_embed_map(made_up["coco_cse"] / "train" / "embed_map.npy", normalize=True)
    assert torch.allclose(table.mean(0), torch.zeros(16), atol=1e-5)
    assert torch.allclose(table.square().mean(0), torch.ones(16), atol=1e-4)


# What is damaged, and what the error names.
DAMAGE = {
    "no folder": ("fdf128", lambda folder: shutil.rmtree(folder), "landmarks.npy|bounding_box"),
    "no boxes": ("fdf256", lambda folder: (folder / "bounding_box.npy").unlink(), "bounding_box.npy"),
    "picture missing": ("fdf256", lambda folder: (folder / "images" / "3.png").unlink(), "8 pictures do not fit 9"),
    "picture damaged": ("fdf256", lambda folder: cut_off(folder / "images" / "3.png", 0), "3.png"),
    "picture of another size": ("fdf256", lambda folder: picture(folder / "images" / "3.png", 40), "256×256 is exp"),
    "name no number": ("fdf256", lambda folder: (folder / "images" / "3.png").rename(folder / "images" / "x.png"),
                       "no number"),
    "objects in npy": ("fdf256", lambda folder: np.save(folder / "landmarks.npy", [object()], allow_pickle=True),
                       "no .npy file of numbers"),
    "box inside out": ("fdf256", lambda folder: np.save(folder / "bounding_box.npy", np.tile([9, 9, 3, 3], (9, 1))),
                       "is none"),
    "torch file of text": ("fdf128", lambda folder: torch.save("boxes", folder / "bounding_box" / "128.torch"),
                           "no table of boxes"),
    "no shards": ("fdh", lambda folder: [path.unlink() for path in folder.glob("*.tar")], "no .tar shards"),
    "shard cut off": ("fdh", lambda folder: cut_off(folder / "out-000000.tar", 0.5), "out-000000.tar"),
    "shard compressed": ("fdh", lambda folder: compress(folder / "out-000000.tar"), "uncompressed"),
    "member missing": ("fdh", lambda folder: change_member(folder / "out-000000.tar", "00000002.mask.png", None),
                       "00000002 has no mask.png"),
    "vertex beyond the mesh": ("fdh", lambda folder: change_member(
        folder / "out-000000.tar", "00000001.vertices.npy", npy(np.full((288, 160), VERTICES))), "beyond"),
    "surface of another shape": ("coco_cse", lambda folder: np.save(
        folder / "embedding" / "000003.npy", np.zeros((4, 4, 3), np.int32)), "000003.npy"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_named(name: str, copy: Callable[[str], Path]) -> None:
    kind, damage, words = DAMAGE[name]
    folder = copy(kind)
    damage(folder)
    with pytest.raises(DatasetError, match=words):
        list(validation_batches(READERS[kind](str(folder)), batch_size=4))


def test_nothing_in_a_set_is_executed(copy: Callable[[str], Path], tmp_path: Path) -> None:
    trap = tmp_path / "executed"
    boxes = copy("fdf128")
    torch.save(Evil(trap), boxes / "bounding_box" / "128.torch")
    shards = copy("fdh")
    buffer = io.BytesIO()
    np.save(buffer, np.array([Evil(trap)], object), allow_pickle=True)
    change_member(shards / "out-000000.tar", "00000000.keypoints.npy", buffer.getvalue())
    (tmp_path / "symmetry.pkl").write_bytes(pickle.dumps(Evil(trap)))
    attempts = (
        lambda: Fdf128(str(boxes)),
        lambda: Fdh(str(shards)).sample(0, sample_rng(0, 0)),
        lambda: load_symmetry(tmp_path / "symmetry.pkl"),
    )
    for attempt in attempts:
        with pytest.raises(DatasetError):
            attempt()
    assert not trap.exists()


def test_members_with_strange_paths_stay_in_the_tar(tmp_path: Path, made_up: dict[str, Path]) -> None:
    (tmp_path / "train").mkdir()
    shard = tmp_path / "train" / "out-000000.tar"
    source = made_up["fdh"] / "train" / "out-000000.tar"
    with tarfile.open(source) as old, tarfile.open(shard, "w") as new:
        for member in islice(old.getmembers(), 6):
            data = old.extractfile(member).read()
            member.name = f"../../{member.name}"
            new.addfile(member, io.BytesIO(data))
    before = sorted(tmp_path.rglob("*"))
    assert len(Fdh(str(tmp_path / "train"))) == 1
    assert [path for path in sorted(tmp_path.rglob("*")) if "home" not in path.parts] == before


def test_index_is_cached_outside_the_set_and_follows_changes(
    copy: Callable[[str], Path], own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copy("fdh")
    before = sorted(path.name for path in folder.iterdir())
    assert len(Fdh(str(folder))) == 9
    assert sorted(path.name for path in folder.iterdir()) == before
    assert len(list(own_home.rglob("*.npz"))) == 1

    with monkeypatch.context() as patch:
        patch.setattr("dp2.data.tar_shards.read_index", None)  # not called: the cache serves
        assert len(Fdh(str(folder))) == 9
    shutil.copy(folder / "out-000000.tar", folder / "out-000009.tar")
    assert len(Fdh(str(folder))) == 17

    next(own_home.rglob("*.npz")).write_bytes(b"damaged")
    (folder / "out-000009.tar").unlink()
    assert len(Fdh(str(folder))) == 9


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def change_member(shard: Path, name: str, data: bytes | None) -> None:
    """Replace a member of a tar file, or leave it out."""
    with tarfile.open(shard) as old:
        members = {member.name: old.extractfile(member).read() for member in old.getmembers()}
    members[name] = data
    with tarfile.open(shard, "w") as new:
        for key, value in members.items():
            if value is not None:
                info = tarfile.TarInfo(key)
                info.size = len(value)
                new.addfile(info, io.BytesIO(value))


def cut_off(path: Path, share: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share) or 50])


def compress(path: Path) -> None:
    import gzip

    path.write_bytes(gzip.compress(path.read_bytes()))


def picture(path: Path, side: int) -> None:
    cv2.imwrite(str(path), np.zeros((side, side, 3), np.uint8))
