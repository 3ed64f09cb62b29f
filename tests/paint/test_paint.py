"""Painting: the order, what each region sees, and that no region is ever left as it was."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dp2.errors import SynthesisError
from dp2.paint.paint import Outcome, paint
from dp2.paint.paste import paste
from dp2.paint.waves import painting_order
from dp2.synthesize.fills import Nothing, Solid
from dp2.synthesize.redact import Redaction
from dp2.types import PaintTask, Patch, Reach, Refusal, Region

H, W = 48, 64
RED = Redaction(Solid(color="red"), feather=0)
CHANGED, FALLBACK, KEPT = Outcome.Action.CHANGED, Outcome.Action.FALLBACK, Outcome.Action.KEPT


def region(*box: float, kind: str = "face", mask=None, identity: int = 0) -> Region:
    return Region(kind, np.array(box, np.float32), 0.9, identity, mask=mask)


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (H, W, 3), np.uint8)


def clip(x0, y0, x1, y1):
    x0, y0, x1, y1 = max(int(x0), 0), max(int(y0), 0), min(int(np.ceil(x1)), W), min(int(np.ceil(y1)), H)
    return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else (0, 0, 0, 0)


@dataclass
class Spy:
    """Paints a colour that depends on every pixel it sees, and remembers what it saw."""

    margins: tuple[int, ...] = (5,)  # how far beyond its box a region is looked at, by identity
    seen: list[tuple[int, np.ndarray]] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    refuse: frozenset[int] = frozenset()
    fail: frozenset[int] = frozenset()

    def reach(self, region, height, width):
        x0, y0, x1, y1 = region.box
        m = self.margins[region.identity % len(self.margins)]
        return Reach(clip(x0 - m, y0 - m, x1 + m, y1 + m), clip(x0 - 1, y0 - 1, x1 + 1, y1 + 1))

    def synthesize(self, jobs, seed):
        self.batches.append(len(jobs))
        if any(job.region.identity in self.fail for job in jobs):
            raise RuntimeError("out of memory")
        return [self._one(job, seed) for job in jobs]

    def _one(self, job: PaintTask, seed: int) -> Patch | Refusal:
        if job.region.identity in self.refuse:
            return Refusal("too small")
        reach = self.reach(job.region, *job.canvas.shape[:2])
        x0, y0, x1, y1 = reach.view
        view = job.canvas[y0:y1, x0:x1].copy()
        self.seen.append((job.region.identity, view))
        x0, y0, x1, y1 = reach.write
        digest = zlib.crc32(view.tobytes() + bytes([job.region.identity, seed]))
        rng = np.random.default_rng(digest)
        alpha = np.ones((y1 - y0, x1 - x0), np.float32)
        alpha[: max(int(job.region.box[1]) - y0, 0)] = 0.5  # a soft edge outside the box
        alpha[:, : max(int(job.region.box[0]) - x0, 0)] = 0.5
        return Patch(x0, y0, rng.integers(0, 256, (*alpha.shape, 3), np.uint8), alpha)


def one_by_one(image, regions, synthesizer, seed):
    canvas = image.copy()
    for i in painting_order(regions):
        (patch,) = synthesizer.synthesize([PaintTask(canvas, regions[i])], seed)
        if isinstance(patch, Refusal):
            (patch,) = RED.synthesize([PaintTask(canvas, regions[i])], seed)
        paste(canvas, patch)
    return canvas


boxes = st.tuples(st.integers(-10, W), st.integers(-10, H), st.integers(4, 30), st.integers(4, 30))
kinds = st.sampled_from(["face", "vehicle", "plate", "person", "person_surface"])
crowds = st.lists(st.tuples(boxes, kinds), max_size=10)


def regions_of(crowd) -> list[Region]:
    return [region(x, y, x + w, y + h, kind=kind, identity=i) for i, ((x, y, w, h), kind) in enumerate(crowd)]


@given(
    st.lists(crowds, min_size=1, max_size=3),
    st.integers(0, 5),
    st.frozensets(st.integers(0, 9), max_size=3),
    st.tuples(st.integers(0, 30), st.integers(0, 3), st.integers(0, 8)),
)
@settings(max_examples=120, deadline=None)
def test_waves_equal_painting_one_by_one(crowds, seed, refuse, margins):
    images = [noise(i) for i in range(len(crowds))]
    everyone = [regions_of(crowd) for crowd in crowds]
    spy = Spy(refuse=refuse, margins=margins)
    every_kind = dict.fromkeys(["face", "vehicle", "plate", "person", "person_surface"], spy)
    painted = paint(images, everyone, every_kind, RED, seed)
    for i, (image, regions, result) in enumerate(zip(images, everyone, painted, strict=True)):
        assert (result.image == one_by_one(image, regions, spy, seed)).all()
        assert (image == noise(i)).all()
        assert [outcome.region for outcome in result.outcomes] == regions


def test_later_region_never_sees_original_pixels_of_an_earlier_one():
    image = np.full((H, W, 3), 200, np.uint8)
    image[10:30, 10:30] = 13  # the secret
    spy = Spy()
    face, body = region(10, 10, 30, 30), region(5, 5, 60, 45, kind="person", identity=1)
    paint([image], [[body, face]], {"face": RED, "person": spy}, RED, 0)
    ((identity, view),) = spy.seen
    assert identity == 1
    inside = view[12:28, 12:28]  # the view begins at the frame's corner
    assert (inside != 13).all()
    assert (inside == (255, 0, 0)).all()


def test_regions_of_several_frames_that_do_not_touch_are_one_batch():
    spy = Spy()
    regions = [region(5, 5, 15, 15), region(45, 30, 55, 40, identity=1)]
    paint([noise(0), noise(1), noise(2)], [regions] * 3, {"face": spy}, RED, 0)
    assert spy.batches == [6]


def test_overlapping_regions_are_in_different_batches():
    spy = Spy()
    paint([noise()], [[region(5, 5, 25, 25), region(10, 10, 32, 32, identity=1)]], {"face": spy}, RED, 0)
    assert spy.batches == [1, 1]
    assert [identity for identity, _ in spy.seen] == [0, 1]


def test_order_is_faces_things_bodies_and_small_before_large():
    regions = [
        region(0, 0, 9, 9, kind="person_surface"),
        region(0, 0, 9, 9, kind="person"),
        region(0, 0, 20, 20, kind="vehicle"),
        region(0, 0, 5, 5, kind="plate"),
        region(0, 0, 30, 30),
        region(0, 0, 3, 3),
    ]
    assert painting_order(regions) == [5, 4, 3, 2, 1, 0]
    refused = [False, False, False, False, True, False]
    assert painting_order(regions, refused) == [4, 5, 3, 2, 1, 0]


def test_what_is_redacted_for_doubt_lies_below_a_new_face():
    """A find on somebody's collar, larger than his face, must not be blurred across the face that was painted."""

    class Doubts(Spy):
        def reach(self, region, height, width):
            return (
                Reach((0, 0, 0, 0), (0, 0, 0, 0))
                if region.identity in self.refuse
                else super().reach(region, height, width)
            )

    face, collar = region(10, 10, 30, 30, identity=0), region(8, 20, 38, 50, identity=1)
    doubting = Doubts(refuse=frozenset({1}), margins=(0, 0, 0))
    (both,) = paint([noise(0)], [[face, collar]], {"face": doubting}, RED, 0)
    assert [outcome.action.name for outcome in both.outcomes] == ["CHANGED", "FALLBACK"]
    assert not (both.image[10:30, 10:30] == (255, 0, 0)).all(axis=2).any()
    assert covered(both.image, 31, 31, 36, 45)


def covered(image, x0, y0, x1, y1) -> bool:
    return bool((image[y0:y1, x0:x1] == (255, 0, 0)).all())


def test_refusal_falls_back_and_says_why():
    spy = Spy(refuse=frozenset([1]))
    regions = [region(5, 5, 15, 15), region(40, 20, 55, 40, identity=1)]
    (painted,) = paint([noise()], [regions], {"face": spy}, RED, 0)
    assert [outcome.action for outcome in painted.outcomes] == [CHANGED, FALLBACK]
    assert painted.outcomes[1].reason == "too small"
    assert covered(painted.image, 44, 25, 51, 35)


def test_failure_falls_back_only_where_it_happens(caplog):
    spy = Spy(fail=frozenset([1]))
    regions = [region(5, 5, 15, 15), region(40, 20, 55, 40, identity=1)]
    (painted,) = paint([noise()], [regions], {"face": spy}, RED, 0)
    assert [outcome.action for outcome in painted.outcomes] == [CHANGED, FALLBACK]
    assert "out of memory" in painted.outcomes[1].reason
    assert "out of memory" in caplog.text
    assert covered(painted.image, 44, 25, 51, 35)


def test_kind_without_synthesizer_falls_back():
    (painted,) = paint([noise()], [[region(20, 10, 40, 40, kind="bicycle")]], {"face": Spy()}, RED, 0)
    assert painted.outcomes[0].action is FALLBACK
    assert "bicycle" in painted.outcomes[0].reason
    assert covered(painted.image, 25, 18, 35, 32)


@dataclass
class Wrong:
    """Answers with whatever it is given."""

    answer: object
    write: tuple[int, int, int, int] = (0, 0, W, H)

    def reach(self, region, height, width):
        return Reach(self.write, self.write)

    def synthesize(self, jobs, seed):
        return [self.answer for _ in jobs]


def whole(value: float = 1, **changes) -> Patch:
    parts = {"pixels": np.zeros((H, W, 3), np.uint8), "alpha": np.full((H, W), value, np.float32), "x": 0, "y": 0}
    return Patch(**{**parts, **changes})


def hole() -> Patch:
    patch = whole()
    patch.alpha[24, 32] = 0
    return patch


@pytest.mark.parametrize(
    "answer",
    [
        whole(np.nan),
        whole(1.5),
        whole(-0.5),
        whole(0.5),
        whole(0),
        hole(),
        whole(x=1),
        whole(y=-1),
        whole(pixels=np.zeros((H, W, 3), np.float32)),
        whole(pixels=np.zeros((H - 1, W, 3), np.uint8)),
        whole(alpha=np.ones((H, W))),
        whole(alpha=np.ones(3, np.float32)),
        Patch(0, 0, np.zeros((0, 0, 3), np.uint8), np.zeros((0, 0), np.float32)),
        None,
    ],
)
def test_answer_that_cannot_be_trusted_is_replaced_by_redaction(answer):
    (painted,) = paint([noise()], [[region(22, 14, 42, 34)]], {"face": Wrong(answer)}, RED, 0)
    assert painted.outcomes[0].action is FALLBACK
    assert covered(painted.image, 27, 19, 37, 29)


def test_patch_outside_its_promised_area_is_replaced():
    (painted,) = paint([noise()], [[region(22, 14, 42, 34)]], {"face": Wrong(whole(), write=(10, 10, 50, 40))}, RED, 0)
    assert painted.outcomes[0].action is FALLBACK
    assert (painted.image[0] == noise()[0]).all()


def test_body_whose_hand_stays_visible_is_replaced():
    mask = np.zeros((H, W), bool)
    mask[10:40, 20:30] = True
    mask[10:18, 30:60] = True  # an arm
    alpha = np.ones((H, W), np.float32)
    alpha[:, 45:] = 0
    body = region(20, 10, 60, 40, kind="person", mask=mask)
    redaction = Redaction(Solid(color="red"), shape="mask")
    (painted,) = paint([noise()], [[body]], {"person": Wrong(whole(alpha=alpha))}, redaction, 0)
    assert painted.outcomes[0].action is FALLBACK
    assert (painted.image[mask] == (255, 0, 0)).all()


@dataclass
class Vandal(Spy):
    """Tries to write to what it was given to read."""

    def synthesize(self, jobs, seed):
        jobs[0].canvas[:] = 0
        return super().synthesize(jobs, seed)


def test_synthesizer_cannot_write_to_the_canvas():
    (painted,) = paint([noise()], [[region(22, 14, 42, 34)]], {"face": Vandal()}, RED, 0)
    assert painted.outcomes[0].action is FALLBACK
    assert (painted.image[0] == noise()[0]).all()


@pytest.mark.parametrize("fallback", [Spy(refuse=frozenset([0])), Spy(fail=frozenset([0])), Wrong(whole(0))])
def test_frame_is_not_returned_when_the_fallback_fails(fallback):
    with pytest.raises(SynthesisError, match="the face at 22,14-42,34"):
        paint([noise()], [[region(22, 14, 42, 34)]], {}, fallback, 0)


@given(boxes, st.sampled_from(["ellipse", "box", "mask"]), st.booleans(), st.floats(0.72, 2))
@settings(max_examples=150, deadline=None)
def test_redaction_always_passes_as_the_fallback(box, shape, masked, scale):
    x, y, w, h = box
    mask = np.zeros((H, W), bool)
    mask[max(y, 0) : max(y + h, 0), max(x, 0) : max(x + w // 2, 0)] = True
    what = region(x, y, x + w, y + h, kind="person", mask=mask if masked else None)
    (painted,) = paint([noise()], [[what]], {}, Redaction(Solid(), shape=shape, mask_scale=scale), 0)
    assert painted.outcomes[0].action is FALLBACK


@given(st.floats(-20, 80), st.floats(-20, 60), st.floats(0, 40), st.floats(0, 40), st.floats(0.72, 1.5))
@settings(max_examples=150, deadline=None)
def test_redaction_covers_boxes_of_any_fraction(x, y, w, h, scale):
    what = region(x, y, x + w, y + h)
    (painted,) = paint([noise()], [[what]], {"face": Redaction(Solid(), mask_scale=scale)}, RED, 0)
    assert painted.outcomes[0].action is CHANGED


def test_none_keeps_the_pixels_and_is_counted():
    nothing = Redaction(Nothing())
    (painted,) = paint([noise()], [[region(22, 14, 42, 34)]], {"face": nothing}, nothing, 0)
    assert painted.outcomes[0].action is KEPT
    assert (painted.image == noise()).all()


def test_frame_without_regions_passes_through():
    image = noise()
    (painted,) = paint([image], [[]], {}, RED, 0)
    assert painted.image is image
    assert painted.outcomes == ()


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_paste_is_exact(seed):
    rng = np.random.default_rng(seed)
    canvas, new = noise(1), rng.integers(0, 256, (10, 12, 3), np.uint8)
    alpha = rng.choice([0, 1, 0.25, rng.random()], (10, 12)).astype(np.float32)
    paste(canvas, Patch(50, 30, new, alpha))
    old = noise(1)[30:40, 50:62]
    result = canvas[30:40, 50:62]
    assert (result[alpha == 0] == old[alpha == 0]).all()
    assert (result[alpha == 1] == new[alpha == 1]).all()
    exact = alpha[..., None].astype(float) * new + (1 - alpha[..., None].astype(float)) * old
    assert np.abs(result - exact).max() <= 0.5 + 1e-4
    canvas[30:40, 50:62] = old
    assert (canvas == noise(1)).all()


def test_a_kept_face_in_front_stays_and_all_around_it_is_covered() -> None:
    picture = noise()
    front = np.array([20, 8, 40, 32], np.float32)
    behind = Region("face", np.array([30, 10, 54, 40], np.float32), 0.2, 0, behind=(front,))
    alone, hidden = (paint([picture], [[one]], {}, RED, 0)[0] for one in (region(*behind.box), behind))
    ys, xs = np.mgrid[:H, :W] + 0.5
    kept = ((xs - 30) / 10) ** 2 + ((ys - 20) / 12) ** 2 <= 1
    assert np.array_equal(hidden.image[kept], picture[kept])
    assert np.array_equal(hidden.image[~kept], alone.image[~kept])
    assert (alone.image[kept] != picture[kept]).any()
    assert hidden.outcomes[0].action is FALLBACK
