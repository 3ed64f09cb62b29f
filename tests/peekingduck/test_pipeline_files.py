"""Pipelines as text: what is known is taken by either of its names, what is not known is named."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dp2.errors import UsageError
from dp2.peekingduck.nodes import KINDS, BlurBbox, Live, MosaicBbox, Mtcnn, Visual
from dp2.peekingduck.parse import load_pipeline
from dp2.peekingduck.plan import Plan, make_plan

# aimakerspace/PeekingDuck v1.1.1, use_cases/privacy_protection_faces.yml: the names of its nodes.
SEED = "nodes:\n- input.live\n- model.mtcnn\n- dabble.fps\n- draw.mosaic_bbox\n- draw.legend\n- output.screen\n"
# The same file on its main branch of July 2022.
SEED_2022 = "nodes:\n- input.visual:\n    source: 0\n- model.mtcnn\n- draw.mosaic_bbox\n- output.screen\n"

# Twenty lines that stand for 10^20 items.
BOMB = "a: &a [x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{below}'] * 10)}]\n" for below, name in pairwise("abcdefghijklmnopqrsz")
)


@pytest.fixture
def plan(tmp_path: Path):
    def build(text: str, *overrides: str, **settings: bool) -> Plan:
        path = tmp_path / "pipeline.yml"
        path.write_text(text, encoding="utf-8")
        return make_plan(load_pipeline(path, overrides), **settings)

    return build


def test_the_published_files_are_understood(plan) -> None:
    for text in (SEED, SEED_2022):
        made = plan(text, "input.source=clip.mp4")
        assert made.source.source == "clip.mp4"
        assert made.detector == Mtcnn()
        assert made.redaction == MosaicBbox()
    assert isinstance(plan(SEED).source, Live)
    assert plan(SEED).source.source == 0


def test_options_are_known_by_the_names_of_both_versions(plan) -> None:
    old = plan(
        SEED,
        "model.mtcnn.mtcnn_min_size=20",
        "model.mtcnn.mtcnn_thresholds=[0.5, 0.6, 0.7]",
        "model.mtcnn.mtcnn_score=0.8",
        "model.mtcnn.mtcnn_factor=0.8",
        "input.input_source=street.mp4",
    )
    new = Mtcnn(min_size=20, network_thresholds=(0.5, 0.6, 0.7), score_threshold=0.8, scale_factor=0.8)
    assert old.detector == new
    assert old.source.source == "street.mp4"
    tree = old.config()
    assert tree.detector.min_size == 20
    assert tree.detector.factor == 0.8
    blurred = plan(SEED.replace("draw.mosaic_bbox", "draw.blur_bbox:\n    blur_level: 30"))
    assert blurred.redaction == BlurBbox(blur_kernel_size=30)
    assert blurred.config().synthesizer.fill.level == 30


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (SEED.replace("mosaic_bbox", "mosaic_box"), "no node draw.mosaic_box; known are draw.mosaic_bbox, "),
        (SEED.replace("- model.mtcnn", "- model.mtcnn: {min_sice: 3}"), "no option min_sice; known are min_size, "),
        (SEED.replace("- model.mtcnn", "- model.mtcnn: {min_size: big}"), "a whole number is wanted, not 'big'"),
        (SEED.replace("- model.mtcnn", "- model.mtcnn: {min_size: true}"), "a whole number is wanted"),
        (SEED.replace("- model.mtcnn", "- model.mtcnn: {weights: {}}"), "leave it out"),
        (SEED.replace("- input.live", "- input.live: {resize: {wdth: 3}}"), "no option wdth; known are width, "),
        (SEED.replace("- input.live", "- input.live: {source: 1, input_source: 2}"), "source is given twice"),
        (SEED.replace("- draw.mosaic_bbox\n", ""), "anonymizes nobody"),
        (SEED.replace("- draw.mosaic_bbox", "- draw.bbox"), "anonymizes nobody"),
        (SEED.replace("- draw.legend", "- draw.blur_bbox"), "exclude each other"),
        (SEED.replace("- model.mtcnn\n", ""), "lacks model.mtcnn"),
        (SEED.replace("- output.screen\n", ""), "no output"),
        (SEED.replace("- dabble.fps\n", ""), "add that node"),
        (SEED.replace("- model.mtcnn\n", "") + "- model.mtcnn\n", "stands before model.mtcnn"),
        (SEED + "- input.live\n", "keep one"),
        ("nodes:\n", "a list of nodes"),
        ("- input.live\n", "a list of nodes"),
        ("nodes: [[1]]\n", "is no node"),
        ("nodes: {a: [}\n", "not valid YAML"),
        (f"{BOMB}nodes: [*z]\n", "[[...], [...], [...], [...], [...], [...], ...] is no node"),
        (f"{BOMB}nodes: [input.visual: {{source: *z}}]\n", "a whole number or a text or null is wanted, not [[...], "),
        ("nodes: [!!python/object/apply:os.system ['true']]\n", "not valid YAML"),
    ],
)
def test_what_is_wrong_is_named(plan, text: str, says: str) -> None:
    with pytest.raises(UsageError) as error:
        plan(text)
    assert says in str(error.value)


def test_a_pipeline_that_shows_originals_has_to_be_asked_for_and_says_so(plan) -> None:
    made = plan(SEED.replace("- draw.mosaic_bbox", "- draw.bbox"), originals=True)
    assert made.redaction is None
    assert "nobody is anonymized" in made.notes[0]


def test_a_fine_mosaic_is_said_to_be_one(plan) -> None:
    assert "may be recognised" in plan(SEED, "draw.mosaic_bbox.mosaic_level=40").notes[0]


@given(st.text(max_size=200))
def test_no_text_does_worse_than_a_usage_error(tmp_path_factory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yml"
    path.write_text(text, encoding="utf-8", errors="replace")
    with pytest.raises(UsageError):
        load_pipeline(path)


def test_defaults_of_every_node_can_be_built() -> None:
    assert all(kind.build() == kind.build() for kind in KINDS.values())
    assert isinstance(KINDS["input.recorded"].build(), Visual)
