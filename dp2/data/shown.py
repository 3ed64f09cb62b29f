"""What `dp2 dataset show` shows: samples of a config's data, or of whatever set lies in a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from dp2.config import build, load_config
from dp2.data.batch import Dataset
from dp2.data.coco_cse import CocoCse
from dp2.data.crop_shards import CropShards
from dp2.data.fdf import Fdf128, Fdf256
from dp2.data.fdh import Fdh
from dp2.data.sampler import sample_rng
from dp2.data.sheet import Tile, crop_tile, sample_tile
from dp2.errors import ConfigError, DatasetError

SPLITS = {"train": "train", "validation": "val"}  # as configs name them: as folders do
# A format is known by what lies in the folder of a split.
_FORMATS: Mapping[str, Callable[[str], Dataset]] = {
    "images/128": lambda folder: Fdf128(folder),
    "bounding_box.npy": lambda folder: Fdf256(folder, keypoints=True),
    "embedding": lambda folder: CocoCse(folder),
    "*.tar": lambda folder: Fdh(folder),
}


def tiles_of(config_or_folder: str, split: str, count: int, seed: int) -> list[Tile]:
    """Some samples, spread evenly over a set.

    Args:
        config_or_folder: a config with `data`; a set made by `dp2 dataset build`; or a folder with FDF128, FDF256, FDH
            or COCO-CSE, or with one split of them.
        split: "train" or "validation".
        count: at most so many.
        seed: of the chance in samples.

    Raises:
        ConfigError: the config has no such data.
        DatasetError: the folder holds no set that is known, or a damaged one.
    """
    path = Path(config_or_folder)
    if path.is_dir() and (path / "dataset.json").is_file():
        crops = CropShards(path, SPLITS[split])
        return [crop_tile(crops.crop(index)) for index in _spread(len(crops), count)]
    dataset = _of_folder(path, split) if path.is_dir() else _of_config(config_or_folder, split)
    return [sample_tile(dataset.sample(index, sample_rng(seed, index))) for index in _spread(len(dataset), count)]


def _of_config(name: str, split: str) -> Dataset:
    tree = load_config(name)
    node = tree.data.get(split) if "data" in tree else None
    if node is None:
        raise ConfigError(f"{name} defines no data.{split}.")
    dataset: Dataset = build(node)
    return dataset


def _of_folder(folder: Path, split: str) -> Dataset:
    for place in (folder / SPLITS[split], folder):
        for sign, read in _FORMATS.items():
            if any(place.glob(sign)):
                return read(str(place))
    known = "a set of dp2 dataset build, FDF128, FDF256, FDH or COCO-CSE"
    raise DatasetError(f"{folder}: is none of {known}; see docs/datasets.md for what they look like.")


def _spread(length: int, count: int) -> Iterator[int]:
    shown = min(length, count)
    return (place * length // shown for place in range(shown))
