"""What holds for whatever a detector says."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dp2.track.tracker import Tracking
from dp2.types import FACE, PLATE, Detections, Frame, Origin

IMAGE = np.zeros((120, 160, 3), np.uint8)

coordinate = st.integers(-20, 170)
row = st.tuples(coordinate, coordinate, st.integers(0, 60), st.integers(0, 60), st.sampled_from([0, 0, 0, 1]))
rows = st.lists(row, max_size=5)
streams = st.lists(st.tuples(rows, rows, st.sampled_from([0, 1, 2, 5, 25])), max_size=14)


def detections(kind, values):
    table = np.array(values, np.float32).reshape(-1, 5)
    boxes = np.concatenate([table[:, :2], table[:, :2] + table[:, 2:4]], axis=1)
    return Detections(kind, boxes, np.full(len(table), 0.5), origin=table[:, 4].astype(np.uint8))


def frames(stream):
    time = Fraction(0)
    for index, (faces, plates, step) in enumerate(stream):
        time += Fraction(step, 25)
        yield (detections(FACE, faces), detections(PLATE, plates)), Frame(IMAGE, index, time)


def run(stream, live=False, kinds=(FACE, PLATE)):
    tracker = Tracking().start(live=live)
    out = []
    for found, frame in frames(stream):
        out += tracker.update([part for part in found if part.kind in kinds], frame)
        assert len(out) + tracker.pending == frame.index + 1
    out += tracker.flush()
    return out


def boxes_by_id(found):
    return {int(i): box.tolist() for i, box in zip(found.track_ids, found.boxes, strict=True)}


@settings(max_examples=60, deadline=None)
@given(streams, st.booleans())
def test_one_result_a_frame_with_every_sure_detection_and_unique_ids(stream, live):
    out = run(stream, live)
    assert len(out) == len(stream)
    everything = set()
    for (given_, _), kinds in zip(frames(stream), out, strict=True):
        assert [found.kind for found in kinds] == [FACE, PLATE]
        all_ids = np.concatenate([found.track_ids for found in kinds]).tolist()
        assert len(set(all_ids)) == len(all_ids)
        assert min(all_ids, default=0) >= 0
        everything.update(all_ids)
        for before, after in zip(given_, kinds, strict=True):
            assert not (after.origins == Origin.WEAK).any()
            seen = after[after.origins == Origin.DETECTED].boxes.tolist()
            offered = Counter(map(tuple, before.boxes.tolist()))
            assert Counter(map(tuple, before.confirmed.boxes.tolist())) <= Counter(map(tuple, seen)) <= offered
    assert everything <= set(range(sum(len(f) + len(p) for f, p, _ in stream)))


@settings(max_examples=30, deadline=None)
@given(streams, st.booleans())
def test_same_input_gives_same_output(stream, live):
    for first, second in zip(run(stream, live), run(stream, live), strict=True):
        assert [boxes_by_id(found) for found in first] == [boxes_by_id(found) for found in second]


@settings(max_examples=30, deadline=None)
@given(streams)
def test_kinds_do_not_touch_each_other(stream):
    together, alone = run(stream), run(stream, kinds=(PLATE,))
    names: dict[int, int] = {}
    for both, (one,) in zip(together, alone, strict=True):
        np.testing.assert_array_equal(both[1].boxes, one.boxes)
        for there, here in zip(both[1].track_ids.tolist(), one.track_ids.tolist(), strict=True):
            assert names.setdefault(there, here) == here
    assert len(set(names.values())) == len(names)


@settings(max_examples=30, deadline=None)
@given(streams, st.sampled_from([2, 4, 8]))  # exact in floating point, so that ties between twins stay ties
def test_tracking_does_not_depend_on_the_size_of_the_picture(stream, factor):
    def boxes(scale):
        tracker = Tracking().start()
        image = np.zeros((120 * scale, 160 * scale, 3), np.uint8)
        out = []
        for found, frame in frames(stream):
            # extents of a pixel or two count as one pixel and do not scale
            scaled = [f.with_(boxes=(f.boxes + np.array([0, 0, 8, 8])) * scale) for f in found]
            out += tracker.update(scaled, Frame(image, frame.index, frame.time))
        return [found for kinds in [*out, *tracker.flush()] for found in kinds]

    for small, large in zip(boxes(1), boxes(factor), strict=True):
        seen_small, seen_large = (found[found.origins == Origin.DETECTED] for found in (small, large))
        assert seen_small.track_ids.tolist() == seen_large.track_ids.tolist()
