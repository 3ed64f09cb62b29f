"""What lies in a folder of results is not trusted: whatever somebody changes there, no original is written."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from dp2.anonymizer import Anonymizer
from dp2.batch.frame_folder import FolderOptions, anonymize_frames
from dp2.batch.seals import Seals, own_seals
from dp2.cli import main
from dp2.errors import UnreadableMedia, UsageError
from dp2.media.frame_manifest import read_manifest
from dp2.source.frame_folder import read_frame

FRAMES = ("frame_0000000007", "frame_0000000021")


@pytest.fixture
def done(frames: Path, squares: Anonymizer, tmp_path: Path) -> Path:
    """A folder of results."""
    anonymize_frames(squares, frames, tmp_path / "out", FolderOptions())
    return tmp_path / "out"


def pictures(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.png"))}


def shows_anybody(folder: Path) -> bool:
    info = read_manifest(folder).info
    return any((read_frame(path, info)[0].min(axis=2) > 200).any() for path in folder.glob("*.png"))


def emptied(path: Path) -> None:
    seal, body = path.read_text(encoding="utf-8").split("\n", 1)
    path.write_text(f"{seal}\n{_nobody(body)}", encoding="utf-8")


def without_seal(path: Path) -> None:
    path.write_text(_nobody(path.read_text(encoding="utf-8").split("\n", 1)[1]), encoding="utf-8")


def sealed_with_another_key(path: Path) -> None:
    record = json.loads(_nobody(path.read_text(encoding="utf-8").split("\n", 1)[1]))
    hidden = next(parent for parent in path.parents if parent.name == ".dp2").parent
    Seals(b"guessed").bound_to("{}").write(path, path.relative_to(hidden).as_posix(), record)


def taken_from_another(path: Path) -> None:
    other = next(sibling for sibling in sorted(path.parent.iterdir()) if sibling != path)
    shutil.copyfile(other, path)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def pipe(path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("there are no named pipes")
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def link(path: Path) -> None:
    path.rename(path.with_suffix(".moved"))
    path.symlink_to(path.with_suffix(".moved"))


def _nobody(body: str) -> str:
    record = json.loads(body)
    for frame in record if isinstance(record, list) else [record]:
        frame["detections"] = []
    return json.dumps(record)


@pytest.mark.parametrize(
    "change", [emptied, without_seal, sealed_with_another_key, taken_from_another, cut, Path.unlink, pipe, link]
)
def test_changed_detections_and_plans_are_made_again(
    change: Callable[[Path], None], done: Path, frames: Path, squares: Anonymizer
) -> None:
    before = pictures(done)
    for name in FRAMES:
        (done / f"{name}.png").unlink()
    for path in [*(done / ".dp2/found/only").glob("*.json"), *(done / ".dp2/plan").glob("*/*.json")]:
        if path.exists():
            change(path)
    anonymize_frames(squares, frames, done, FolderOptions())
    assert pictures(done) == before
    assert not shows_anybody(done)


def test_what_was_found_with_other_settings_does_not_count(
    done: Path, frames: Path, squares: Anonymizer, tmp_path: Path
) -> None:
    blind = Seals(own_seals().key).bound_to(json.dumps({"detector": "finds nobody"}))
    for path in (done / ".dp2/found/only").glob("*.json"):
        record = json.loads(_nobody(path.read_text(encoding="utf-8").split("\n", 1)[1]))
        blind.write(path, path.relative_to(done).as_posix(), record)
    shutil.rmtree(done / ".dp2/plan")
    before = pictures(done)
    (done / f"{FRAMES[0]}.png").unlink()
    anonymize_frames(squares, frames, done, FolderOptions())
    assert pictures(done) == before


@pytest.mark.parametrize("announced", ["kept", "removed", "of another frame"])
def test_an_original_in_place_of_a_result_is_refused(
    announced: str, done: Path, frames: Path, squares: Anonymizer
) -> None:
    shutil.copyfile(frames / f"{FRAMES[0]}.png", done / f"{FRAMES[0]}.png")
    record = done / ".dp2/done" / f"{FRAMES[0]}.json"
    if announced == "removed":
        record.unlink()
    elif announced == "of another frame":
        shutil.copyfile(record.with_name(f"{FRAMES[1]}.json"), record)
        shutil.copyfile(done / f"{FRAMES[1]}.png", done / f"{FRAMES[0]}.png")
    with pytest.raises(UsageError, match=f"{FRAMES[0]}.png, which is not as dp2 wrote it"):
        anonymize_frames(squares, frames, done, FolderOptions())
    (done / f"{FRAMES[0]}.png").unlink()
    anonymize_frames(squares, frames, done, FolderOptions())
    assert not shows_anybody(done)


def test_a_folder_that_was_prepared_by_somebody_else_is_refused(
    frames: Path, squares: Anonymizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    with monkeypatch.context() as stranger:
        stranger.setenv("DP2_HOME", str(tmp_path / "stranger"))
        anonymize_frames(squares, frames, out, FolderOptions())
    for path in frames.glob("*.png"):
        shutil.copyfile(path, out / path.name)
    with pytest.raises(UsageError, match="was not begun with your key"):
        anonymize_frames(squares, frames, out, FolderOptions())


@pytest.mark.parametrize("text", ["", "[]", "null", "[" * 5000, '{"config": "face_blur"}', "\0" * 99])
def test_settings_that_are_not_as_dp2_wrote_them_are_refused(
    text: str, done: Path, frames: Path, squares: Anonymizer
) -> None:
    (done / ".dp2/settings.json").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=r"settings\.json"):
        anonymize_frames(squares, frames, done, FolderOptions())


def test_machines_with_the_same_key_share_a_folder(
    frames: Path, squares: Anonymizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    monkeypatch.setenv("DP2_FRAMES_KEY", "too short")
    with pytest.raises(UsageError, match="at least 16 characters"):
        anonymize_frames(squares, frames, out, FolderOptions())
    monkeypatch.setenv("DP2_FRAMES_KEY", "the same on every machine")
    for home in ("one", "other"):
        monkeypatch.setenv("DP2_HOME", str(tmp_path / home))
        (out / f"{FRAMES[0]}.png").unlink(missing_ok=True)
        anonymize_frames(squares, frames, out, FolderOptions())
    assert not (tmp_path / "one").exists()
    assert not shows_anybody(out)


def test_the_key_is_private_and_a_damaged_one_is_said(
    done: Path, frames: Path, squares: Anonymizer, tmp_path: Path
) -> None:
    key = Path(os.environ["DP2_HOME"]) / "frames.key"
    assert key.stat().st_mode & 0o077 == 0
    key.write_text("abc", encoding="ascii")
    with pytest.raises(UsageError, match=r"frames\.key: the key that protects"):
        anonymize_frames(squares, frames, done, FolderOptions())


@pytest.mark.parametrize(
    "place", [".dp2", ".dp2/plan", ".dp2/found", ".dp2/done", ".dp2/claims", "debug", ".dp2/plan/x"]
)
def test_links_that_lead_out_of_the_folder_are_refused_and_nothing_there_is_removed(
    place: str, done: Path, frames: Path, squares: Anonymizer, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    for name in ("claims/a.1", "plan/mine/letter.json", "folder/.photo.part.jpg", "a.1"):
        (precious / name).parent.mkdir(parents=True, exist_ok=True)
        (precious / name).write_text("mine", encoding="utf-8")
    listed = sorted(precious.rglob("*"))
    if (done / place).exists():
        shutil.rmtree(done / place)
    (done / place).symlink_to(precious, target_is_directory=True)
    with pytest.raises(UsageError, match=f"{place}: is not a folder of dp2's|was not begun"):
        anonymize_frames(squares, frames, done, FolderOptions())
    assert sorted(precious.rglob("*")) == listed


def test_strange_claims_only_delay(done: Path, frames: Path, squares: Anonymizer) -> None:
    claims = done / ".dp2/claims"
    claims.mkdir()
    step = "search-00000000"
    (claims / f"{step}.1").write_bytes(b"\xff\xfe\x00" * 7)
    (claims / f"{step}.2").write_text("[" * 4000, encoding="utf-8")
    (claims / f"{step}.3").write_text('{"machine": "x", "pid": 1e999, "started": null}', encoding="utf-8")
    pipe(claims / f"{step}.4")
    (claims / f"{step}.5").mkdir()
    (claims / f"{step}.{'9' * 200}").write_text("{}", encoding="utf-8")
    (claims / "notes.txt").write_text("mine", encoding="utf-8")
    with (claims / f"{step}.6").open("wb") as huge:
        huge.truncate(1 << 40)
    for path in [*(done / ".dp2/found/only").glob("*"), *done.glob("*.png")]:
        path.unlink()
    shutil.rmtree(done / ".dp2/plan")
    anonymize_frames(squares, frames, done, FolderOptions(lease=0.5))
    assert len(pictures(done)) == 40
    assert not shows_anybody(done)
    assert (claims / "notes.txt").exists()


def test_another_manifest_among_the_results_is_refused(done: Path, frames: Path, squares: Anonymizer) -> None:
    path = done / "frames.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"width": 64', '"width": 32'), encoding="utf-8")
    with pytest.raises(UsageError, match="not the manifest of these frames"):
        anonymize_frames(squares, frames, done, FolderOptions())


def test_joining_says_whether_every_frame_is_as_dp2_wrote_it(done: Path, frames: Path, tmp_path: Path) -> None:
    def joined(name: str) -> str:
        result = CliRunner().invoke(main, ["frames", "join", str(done), str(tmp_path / name)])
        assert result.exit_code == 0, result.output
        return result.output

    assert "may be recognised" not in joined("safe.mp4")
    shutil.copyfile(frames / f"{FRAMES[0]}.png", done / f"{FRAMES[0]}.png")
    assert "may be recognised" in joined("unsafe.mp4")


def test_joining_needs_no_key(frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    monkeypatch.setenv("DP2_HOME", str(tmp_path / "file" / "home"))
    result = CliRunner().invoke(main, ["frames", "join", str(frames), str(tmp_path / "o.mp4")])
    assert result.exit_code == 0, result.output
    assert "may be recognised" in result.output


def test_a_pipe_in_place_of_a_frame_is_not_waited_for(frames: Path, squares: Anonymizer, tmp_path: Path) -> None:
    pipe(frames / f"{FRAMES[0]}.png")
    with pytest.raises(UnreadableMedia, match="not a regular file"):
        anonymize_frames(squares, frames, tmp_path / "out", FolderOptions())
    assert not list((tmp_path / "out").glob("*.png"))
