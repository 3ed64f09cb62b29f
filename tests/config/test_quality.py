from __future__ import annotations

import pytest

from dp2.config import load_config
from dp2.config.quality import search_with
from dp2.errors import UsageError


@pytest.mark.parametrize(
    ("config", "key", "fast", "accurate"),
    [
        ("face_blur", "detector.scales", [0.5], [2.0, 1.0, 0.5, 0.25]),
        ("face_mosaic", "detector.min_size", 80, 20),
        ("body_light", "detector.boxes.input_size", 416, 960),
    ],
)
def test_a_pass_searches_faster_or_more_thoroughly(config: str, key: str, fast: object, accurate: object) -> None:
    from omegaconf import OmegaConf

    for quality, expected in (("fast", fast), ("accurate", accurate)):
        tree = load_config(config)
        search_with(tree, quality)
        assert OmegaConf.select(tree, key) == expected


def test_it_is_relative_to_passes_that_a_config_names() -> None:
    tree = load_config("face_blur", ["detector.scales=[1.5, 1.0]"])
    search_with(tree, "accurate")
    assert tree.detector.scales == [3.0, 1.5, 1.0]


def test_a_detector_with_one_way_of_searching_refuses() -> None:
    with pytest.raises(UsageError, match="one way only"):
        search_with(load_config("FB_triagan"), "fast")
