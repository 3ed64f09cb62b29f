"""A manifest of frames is untrusted: whatever stands in it, one line says what is wrong and nothing is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dp2.cli import main
from dp2.errors import UnreadableMedia
from dp2.media.frame_manifest import read_manifest


def joined(folder: Path, target: Path) -> str:
    """The line that `dp2 frames join` fails with."""
    result = CliRunner().invoke(main, ["frames", "join", str(folder), str(target)])
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit), result.exception
    assert not target.exists()
    lines = result.output.strip().splitlines()
    assert len(lines) == 1, result.output
    return lines[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "is not valid JSON"),
        (b"{", "is not valid JSON"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"\0" * 100, "is not valid JSON"),
        (b"[" * 100_000, "is nested too deeply"),
        (b"[]", "must hold one JSON object, not a list"),
        (b"null", "must hold one JSON object, not null"),
        (b'"frames"', "must hold one JSON object, not text"),
        (b"1" * 5000, "is not valid JSON"),
        (b"NaN", "must hold one JSON object, not a number"),
        (b"{}", "schema must be 'dp2.frames/1', not None"),
        (b'{"schema": {}}', "schema must be 'dp2.frames/1', not an object"),
        (b'{"schema": "dp2.frames/1"}', "frames is missing"),
        (b'{"schema": "dp2.frames/1", "frames": {}}', "frames must be a list, not an object"),
        (b'{"schema": "dp2.frames/1", "frames": []}', "names no frame"),
    ],
)
def test_what_is_no_manifest_is_refused(text: bytes, said: str, frames: Path, tmp_path: Path) -> None:
    (frames / "frames.json").write_bytes(text)
    line = joined(frames, tmp_path / "o.mp4")
    assert "frames.json: " in line
    assert said in line


def put(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(record: dict[str, Any]) -> None:
        *way, last = key.split(".")
        for step in way:
            record = record[int(step) if step.isdecimal() else step]
        record[int(last) if last.isdecimal() else last] = value  # type: ignore[index]

    return change


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("width", "64", "width must be a whole number, not text"),
        ("width", True, "width must be a whole number from 1 to 65535, not True"),
        ("height", 10**400, "height must be a whole number from 1 to 65535, not a huge number"),
        ("height", 1e999, "height must be a whole number, not a number"),
        ("time_base", "1/99999999999999", "time_base must be a ratio above 0"),
        ("time_base", None, 'time_base must be a number written as text, such as "1001/30000", not None'),
        ("average_rate", "99999999999999", "average_rate must be a ratio"),
        ("average_rate", "1/2147483647", "average_rate must lie between 1/1000000 and 1000000"),
        ("pixel_aspect", "0", "pixel_aspect must be a ratio"),
        ("pixel_aspect", "1/0", "pixel_aspect must be a number"),
        ("colour", [], "colour must be an object, not a list"),
        ("colour.matrix", 10**9, "colour: matrix must be a whole number from 0 to 255"),
        ("colour.range", "2", "colour: range must be a whole number, not text"),
        ("coded_height", -1, "coded_height must be"),
        ("pixel_format", "\x1b[31m", "pixel_format must be a name"),
        ("frames.2", None, "frame 3: must be a JSON object, not null"),
        ("frames.2.name", 7, "frame 3: name must be text, not a whole number"),
        ("frames.2.name", "../clip.png", "frame 3: '../clip.png' is not the name of a PNG file in this folder"),
        ("frames.2.name", "..\\clip.png", "is not the name of a PNG file in this folder"),
        ("frames.2.name", "C:clip.png", "is not the name of a PNG file in this folder"),
        ("frames.2.name", "a" * 300 + ".png", "is not the name of a PNG file in this folder"),
        ("frames.2.name", "other.png", "1 of 40 frames are missing"),
        ("frames.2.time", 0.1, "frame 3: time must be a number written as text"),
        ("frames.2.time", [[]], "frame 3: time must be a number written as text"),
        ("frames.2.time", "0", "is not later than"),
        ("frames.39.time", "9" * 20, "its time or duration is too large"),
        ("frames.39.duration", "9" * 20, "its time or duration is too large"),
        ("frames.2.duration", "0", "frame 3: duration must be above 0"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(key: str, value: Any, said: str, frames: Path, tmp_path: Path) -> None:
    path = frames / "frames.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    put(key, value)(record)
    path.write_text(json.dumps(record), encoding="utf-8")
    line = joined(frames, tmp_path / "o.mp4")
    assert said in line
    assert len(line) < 400
    assert line.isprintable()


@pytest.mark.parametrize("key", ["width", "time_base", "average_rate", "colour", "coded_height", "pixel_format"])
def test_a_missing_value_is_named(key: str, frames: Path, tmp_path: Path) -> None:
    path = frames / "frames.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    del record[key]
    path.write_text(json.dumps(record), encoding="utf-8")
    assert f"frames.json: {key} is missing" in joined(frames, tmp_path / "o.mp4")


def test_a_frame_that_is_a_link_out_of_the_folder_is_refused(frames: Path, tmp_path: Path) -> None:
    (tmp_path / "private.png").write_bytes((frames / "frame_0000000003.png").read_bytes())
    (frames / "frame_0000000003.png").unlink()
    (frames / "frame_0000000003.png").symlink_to(tmp_path / "private.png")
    assert "frame_0000000003.png: is a link that leads out of the folder" in joined(frames, tmp_path / "o.mp4")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.just("1/25"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_value_in_any_place_is_read_or_refused(data: st.DataObject, tmp_path_factory: Any) -> None:
    folder = tmp_path_factory.mktemp("f")
    entry = {"name": "a.png", "time": "0", "duration": "1/25"}
    colour = {"matrix": 1, "range": 1, "primaries": 1, "transfer": 1}
    record: dict[str, Any] = {
        "schema": "dp2.frames/1",
        "width": 64,
        "height": 48,
        "average_rate": "25",
        "time_base": "1/1000",
        "pixel_aspect": "1",
        "colour": colour,
        "coded_height": 48,
        "pixel_format": "yuv420p",
        "frames": [entry],
    }
    places = [*record, *(f"colour.{name}" for name in colour), "frames.0", *(f"frames.0.{name}" for name in entry)]
    put(data.draw(st.sampled_from(places)), data.draw(JSON))(record)
    (folder / "frames.json").write_text(json.dumps(record), encoding="utf-8")
    try:
        read = read_manifest(folder)
    except UnreadableMedia:  # any other error fails the test
        return
    (folder / "frames.json").write_text(read.dumps(), encoding="utf-8")
    assert read_manifest(folder) == read
