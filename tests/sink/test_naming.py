from __future__ import annotations

import os
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dp2.errors import UsageError
from dp2.sink.naming import PHOTO_FORMATS, Input, photo_suffix, plan_outputs


def named(*paths: str | Path) -> list[Input]:
    return [Input(Path(path), photo_suffix(Path(path))) for path in paths]


def inside(folder: str | Path, *places: str) -> list[Input]:
    return [Input(Path(folder) / place, photo_suffix(Path(place)), Path(folder)) for place in places]


def plan(inputs: list[Input], output: str | Path | None = None) -> list[str]:
    return [str(path) for path in plan_outputs(inputs, None if output is None else Path(output))]


@pytest.mark.parametrize(
    ("path", "kind", "suffix"),
    [
        ("a.jpg", "JPEG", ".jpg"),
        ("a.JPG", "JPEG", ".JPG"),
        ("a.png", "JPEG", ".png"),
        ("a.mpo", "JPEG", ".jpg"),
        ("a.apng", "PNG", ".png"),
        ("a", "WEBP", ".webp"),
        ("a.xyz", None, ".jpg"),
    ],
)
def test_suffix_is_one_that_can_be_written(path: str, kind: str | None, suffix: str) -> None:
    assert photo_suffix(Path(path), kind) == suffix


def test_result_lies_beside_the_input() -> None:
    assert plan(named("x/a.jpg", "b.v2.png", "c.mpo")) == [
        "x/a_anonymized.jpg",
        "b.v2_anonymized.png",
        "c_anonymized.jpg",
    ]


def test_folder_is_mirrored_beside_it() -> None:
    assert plan(inside("x/photos", "a.jpg", "deep/er/b.png")) == [
        "x/photos_anonymized/a.jpg",
        "x/photos_anonymized/deep/er/b.png",
    ]


def test_folder_without_a_name_is_called_by_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photos" / "inner").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "photos" / "inner")
    assert plan(inside(".", "a.jpg")) == [str(tmp_path / "photos" / "inner_anonymized" / "a.jpg")]
    assert plan(inside("..", "a.jpg")) == [str(tmp_path / "photos_anonymized" / "a.jpg")]


def test_output_of_one_file_is_a_file_or_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "folder.jpg"
    folder.mkdir()
    assert plan(named("a.jpg"), "safe.png") == ["safe.png"]
    assert plan(named("a.jpg"), "out") == ["out/a.jpg"]
    assert plan(named("a.jpg"), folder) == [str(folder / "a.jpg")]


def test_one_folder_is_mirrored_directly_and_several_under_their_names() -> None:
    assert plan(inside("x/one", "a.jpg", "b/c.jpg"), "out") == ["out/a.jpg", "out/b/c.jpg"]
    several = [*inside("x/one", "a.jpg"), *inside("x/two", "a.jpg"), *named("x/b.jpg")]
    assert plan(several, "out") == ["out/one/a.jpg", "out/two/a.jpg", "out/b.jpg"]


@pytest.mark.parametrize("inputs", [named("a.jpg", "b.jpg"), inside("x", "a.jpg"), inside("x", "a.jpg", "b.jpg")])
def test_file_as_output_of_several_is_refused(inputs: list[Input], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="name a folder"):
        plan(inputs, "out.jpg")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match="name a folder"):
        plan(inputs, tmp_path / "file")


def test_two_inputs_with_one_output_are_refused_and_named() -> None:
    with pytest.raises(UsageError, match=r"out/a\.jpg.*x/a\.jpg.*y/a\.jpg"):
        plan(named("x/a.jpg", "y/a.jpg"), "out")
    with pytest.raises(UsageError, match="rename"):
        plan(named("x/a.mpo", "y/a.mpo"), "out")


def test_output_that_is_an_input_is_refused(tmp_path: Path) -> None:
    photo, other = tmp_path / "a.jpg", tmp_path / "a_anonymized.jpg"
    for path in (photo, other):
        path.write_bytes(b"x")
    for inputs, output in ((named(photo), photo), (named(photo), tmp_path), (named(photo, other), None)):
        with pytest.raises(UsageError, match="would be the input"):
            plan(inputs, output)
    with pytest.raises(UsageError, match="would be the input"):
        plan(inside(tmp_path, "a.jpg"), tmp_path)


def test_output_that_is_an_input_through_links_is_refused(tmp_path: Path) -> None:
    photo = tmp_path / "a.jpg"
    photo.write_bytes(b"x")
    (tmp_path / "soft.jpg").symlink_to(photo)
    os.link(photo, tmp_path / "hard.jpg")
    (tmp_path / "folder").symlink_to(tmp_path)
    for output in ("soft.jpg", "hard.jpg", "folder/a.jpg", "folder"):
        with pytest.raises(UsageError, match="would be the input"):
            plan(named(photo), tmp_path / output)
    with pytest.raises(UsageError, match="would be the input"):
        plan(named(tmp_path / "soft.jpg"), photo)


def test_outputs_that_are_one_through_a_linked_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(UsageError, match="both"):
        plan(named(tmp_path / "real" / "a.mpo", tmp_path / "link" / "a.jpg"))


names = st.text("ab_.é ", min_size=1, max_size=4).filter(lambda name: name.strip(".") != "")
suffixes = st.sampled_from([*sorted(PHOTO_FORMATS), ".mpo", ".mp4", ""])
files = st.builds(lambda name, suffix: name + suffix, names, suffixes)
folders = st.sampled_from(["x", "y", "x/z", "."])
some_inputs = st.lists(
    st.one_of(
        st.builds(lambda folder, name: named(Path(folder) / name)[0], folders, files),
        st.builds(lambda folder, inner, name: inside(folder, f"{inner}/{name}")[0], folders, folders, files),
    ),
    min_size=1,
    max_size=5,
)


@given(some_inputs, st.sampled_from([None, "out", "x", ".", "out.jpg"]))
def test_outputs_are_unique_and_never_an_input(inputs: list[Input], output: str | None) -> None:
    try:
        targets = plan_outputs(inputs, None if output is None else Path(output))
    except UsageError:
        return
    resolved = [target.resolve() for target in targets]
    assert len({str(target).casefold() for target in targets}) == len(inputs)
    assert len(set(resolved)) == len(inputs)
    assert not set(resolved) & {item.path.resolve() for item in inputs}


@given(st.lists(files, min_size=1, max_size=6, unique=True))
def test_files_stay_in_their_folder_under_names_that_can_be_written(places: list[str]) -> None:
    inputs = inside("x", *places)
    try:
        targets = plan_outputs(inputs, Path("out"))
    except UsageError:
        return
    assert [target.parent for target in targets] == [Path("out")] * len(places)
    assert all(target.suffix.lower() in PHOTO_FORMATS for target in targets)


def videos(folder: str | None, *places: str) -> list[Input]:
    """As the command line has them: what cannot be written under its own suffix becomes .mp4."""
    paths = [Path(folder or ".") / place for place in places]
    suffixes = [path.suffix if path.suffix.lower() in {".mp4", ".mov"} else ".mp4" for path in paths]
    return [Input(p, s, None if folder is None else Path(folder)) for p, s in zip(paths, suffixes, strict=True)]


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        (["x.mp4", "x.lrv"], ["x.mp4", "x_lrv.mp4"]),
        (["x.MP4", "x.lrv"], ["x.MP4", "x_lrv.mp4"]),
        (["X.mp4", "x.lrv"], ["X.mp4", "x_lrv.mp4"]),
        (["x.avi_", "x.lrv"], ["x.mp4", "x_lrv.mp4"]),
        (["x.mp4", "x.lrv", "x_lrv.mp4"], ["x.mp4", "x_lrv_2.mp4", "x_lrv.mp4"]),
        (["x.mp4", "x.lrv", "x.LRV"], ["x.mp4", "x_lrv_2.mp4", "x_LRV.mp4"]),
        (["x.mp4", "x.MP4"], ["x_mp4.mp4", "x.MP4"]),
        (["x.lrv", "y.mp4"], ["x.mp4", "y.mp4"]),
        (["\u00e9.mp4", "e\u0301.lrv"], ["\u00e9.mp4", "e\u0301_lrv.mp4"]),
    ],
)
def test_outputs_of_one_folder_are_told_apart_in_any_order(places: list[str], expected: list[str]) -> None:
    for order in permutations(range(len(places))):
        wanted = [f"out/{expected[index]}" for index in order]
        assert plan(videos("x", *(places[index] for index in order)), "out") == wanted


def test_photo_and_stereo_photo_of_one_name() -> None:
    assert plan(inside("x", "a.jpg", "a.mpo")) == ["x_anonymized/a.jpg", "x_anonymized/a_mpo.jpg"]
    assert plan(named("a.mpo", "a.jpg")) == ["a_mpo_anonymized.jpg", "a_anonymized.jpg"]


LONG = ["n" * 251, "é" * 125 + "n", "人" * 83, "🙂" * 62]


@pytest.mark.parametrize("stem", LONG)
def test_longest_names_get_outputs_that_disks_hold(stem: str, tmp_path: Path) -> None:
    (tmp_path / stem).mkdir()
    twins = [stem[:-1] + "b.jpg", stem[:-1] + "c.jpg"]
    targets = [*plan(named(*(tmp_path / twin for twin in twins))), *plan(inside(tmp_path / stem, "a.jpg"))]
    for target in targets:
        assert all(len(os.fsencode(part)) <= 255 for part in Path(target).parts)
        assert "_anonymized" in target
        Path(target).parent.mkdir(exist_ok=True)
        Path(target).write_bytes(b"")
    assert len(set(targets)) == 3
    assert targets == [*plan(named(*(tmp_path / twin for twin in twins))), *plan(inside(tmp_path / stem, "a.jpg"))]
    assert Path(targets[0]).name.startswith(stem[:40])


def test_long_name_that_gets_another_suffix() -> None:
    name = "n" * 255
    (target,) = plan([Input(Path("x") / name, ".jpg", Path("x"))], "out")
    assert len(Path(target).name) == 255
    assert target.endswith(".jpg")
