"""A folder of frames: the same result whoever makes it, and never a frame that was not made safe."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner

from dp2.anonymizer import Anonymizer
from dp2.batch import frame_folder
from dp2.batch.files import plain
from dp2.batch.frame_folder import FolderOptions, anonymize_frames
from dp2.batch.work_folder import Planned, WorkFolder
from dp2.cli import main
from dp2.errors import OutputError, UnreadableMedia, UsageError
from dp2.media.frame_manifest import read_manifest
from dp2.result import Result
from dp2.source.frame_folder import FrameFolderSource, read_frame
from dp2.source.video import VideoSource
from dp2.types import Choice, Detections, Frame, Region, Steady, regions

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.png"))}


def leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if ".part" in path.name or path.name == "claims"]


def typed(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, [str(word) for word in words])
    return result.exit_code, result.output


def test_the_result_is_that_of_the_video_in_one_piece(frames: Path, squares: Anonymizer, tmp_path: Path) -> None:
    done = anonymize_frames(squares, frames, tmp_path / "out", FolderOptions())
    whole = list(squares.process(FrameFolderSource(frames)))
    for expected, frame in zip(whole, FrameFolderSource(tmp_path / "out"), strict=True):
        assert np.array_equal(expected.image, frame.image)
        assert expected.frame.time == frame.time
    assert done.summary.filled["face"] > 0
    assert done.summary.frames == 40
    assert all((frame.image.min(axis=2) > 200).sum() == 0 for frame in FrameFolderSource(tmp_path / "out"))
    assert not leftovers(tmp_path / "out")


def test_three_processes_one_killed_ten_deleted_joined(
    clip: Path, frames: Path, config: Path, squares: Anonymizer, tmp_path: Path
) -> None:
    anonymize_frames(squares, frames, tmp_path / "alone", FolderOptions())
    out = tmp_path / "out"
    command = [sys.executable, str(ROOT / "anonymize.py"), str(config), "-i", str(frames), "-o", str(out)]
    command += ["synthesizer.fill.seconds=0.05"]
    environment = {**os.environ, "PYTHONPATH": str(HERE), "OMP_NUM_THREADS": "1"}
    workers = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    victim = workers[0]
    while not paints(out, victim.pid):
        assert victim.poll() is None, victim.communicate()
        time.sleep(0.005)
    victim.kill()
    assert len(list(out.glob("frame_*.png"))) < 40, "it was to be killed midway"
    for worker in workers[1:]:
        _, said = worker.communicate(timeout=120)
        assert worker.returncode == 0, said
    victim.communicate()
    assert digests(out) == digests(tmp_path / "alone")
    assert not leftovers(out)

    before = {path: path.stat().st_mtime_ns for path in out.glob("*.png")}
    deleted = sorted(before)[3:33:3]
    for path in deleted:
        path.unlink()
    code, said = typed("frames", "join", out, tmp_path / "early.mp4")
    assert code == 1
    assert "10 of 40 frames are missing" in said
    again = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "(10 frames)" in again.stderr
    changed = [path for path, touched in before.items() if path.stat().st_mtime_ns != touched]
    assert sorted(changed) == deleted
    assert digests(out) == digests(tmp_path / "alone")

    code, said = typed("frames", "join", out, tmp_path / "joined.mp4", "--audio-from", clip)
    assert code == 0, said
    assert shown_at(tmp_path / "joined.mp4") == shown_at(clip)
    assert heard(tmp_path / "joined.mp4") == heard(clip)


def paints(out: Path, pid: int) -> bool:
    """Whether this process is at a chunk of which something is done."""
    claims = out / ".dp2" / "claims"
    try:
        held = [path.read_text(encoding="utf-8") for path in claims.iterdir() if path.name.startswith("paint-")]
    except OSError:
        return False
    return any(f'"pid": {pid},' in claim for claim in held) and any(out.glob("frame_*.png"))


def shown_at(path: Path) -> list[tuple[object, object]]:
    return [(frame.time, frame.duration) for frame in VideoSource(path)]


def heard(path: Path) -> list[tuple[object, bytes]]:
    with av.open(str(path)) as container:
        return [(packet.pts * packet.time_base, bytes(packet)) for packet in container.demux(audio=0) if packet.size]


def test_a_half_written_result_is_done_again(frames: Path, squares: Anonymizer, tmp_path: Path) -> None:
    out = tmp_path / "out"
    anonymize_frames(squares, frames, out, FolderOptions())
    whole = digests(out)
    path = out / "frame_0000000007.png"
    path.write_bytes(path.read_bytes()[:-20])
    done = anonymize_frames(squares, frames, out, FolderOptions())
    assert done.summary.frames == 1
    assert digests(out) == whole


@pytest.mark.parametrize("harm", ["cut", "gone", "no picture", "another size"])
def test_a_frame_that_cannot_be_read_stops_before_anything_is_painted(
    harm: str, frames: Path, squares: Anonymizer, tmp_path: Path
) -> None:
    path = frames / "frame_0000000020.png"
    if harm == "gone":
        path.unlink()
    elif harm == "another size":
        from PIL import Image

        Image.new("RGB", (32, 32)).save(path)
    else:
        path.write_bytes(path.read_bytes()[:200] if harm == "cut" else b"not a picture")
    with pytest.raises(UnreadableMedia, match="frame_0000000020"):
        anonymize_frames(squares, frames, tmp_path / "out", FolderOptions())
    assert not digests(tmp_path / "out")
    assert not leftovers(tmp_path / "out")


def test_a_frame_that_changed_after_it_was_searched_is_not_painted(
    frames: Path, squares: Anonymizer, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    anonymize_frames(squares, frames, out, FolderOptions())
    (out / "frame_0000000005.png").unlink()
    os.replace(frames / "frame_0000000031.png", frames / "frame_0000000005.png")
    with pytest.raises(UnreadableMedia, match=r"frame_0000000005.* is not the frame that was searched"):
        anonymize_frames(squares, frames, out, FolderOptions())
    assert not (out / "frame_0000000005.png").exists()


def test_a_full_disk_keeps_what_is_done_and_a_later_run_completes_it(
    frames: Path, squares: Anonymizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    written = []

    def write(path: Path, image: np.ndarray) -> None:
        if len(written) == 9:
            raise OutputError(f"{path}: the disk is full") from OSError(errno.ENOSPC, "full")
        written.append(path)
        real(path, image)

    real = frame_folder.write_frame
    monkeypatch.setattr(frame_folder, "write_frame", write)
    with pytest.raises(OutputError):
        anonymize_frames(squares, frames, out, FolderOptions())
    assert len(digests(out)) == 9
    assert not leftovers(out)
    monkeypatch.setattr(frame_folder, "write_frame", real)
    assert anonymize_frames(squares, frames, out, FolderOptions()).summary.frames == 31


def test_other_settings_other_frames_and_foreign_files_are_refused(
    frames: Path, config: Path, squares: Anonymizer, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(UsageError, match="original frames"):
        anonymize_frames(squares, frames, frames, FolderOptions())
    out.mkdir()
    (out / "frame_0000000003.png").write_bytes((frames / "frame_0000000003.png").read_bytes())
    with pytest.raises(UsageError, match=r"frame_0000000003.*did not anonymize"):
        anonymize_frames(squares, frames, out, FolderOptions())
    (out / "frame_0000000003.png").unlink()
    assert typed("anonymize", config, "-i", frames, "-o", out)[0] == 0
    code, said = typed("anonymize", config, "-i", frames, "-o", out, "synthesizer.mask_scale=2")
    assert code == 2
    assert "synthesizers.face.mask_scale: 1.2 there, 2 now" in said
    assert typed("anonymize", config, "-i", frames, "-o", out, "batch_size=3")[0] == 0
    code, said = typed("anonymize", config, "-i", frames, "-o", tmp_path / "new", "--keep-audio")
    assert code == 2
    assert "--keep-audio" in said


def test_an_accurate_pass_searches_only_what_was_deleted(frames: Path, config: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert typed("anonymize", config, "-i", frames, "-o", out, "--quality", "fast", "--debug")[0] == 0
    assert len(digests(out / "debug")) == 40
    for number in (4, 5, 6):
        (out / f"frame_{number:010}.png").unlink()
    code, said = typed("anonymize", config, "-i", frames, "-o", out, "--quality", "accurate")
    assert code == 0, said
    assert "searching 3 frames" in said
    assert "(3 frames)" in said
    assert len(digests(out)) == 40


class Brightest:
    """A chooser that has to see the stream before, and its pixels: keeps the square in the second half."""

    def start(self, *, live: bool = False) -> Brightest:
        raise AssertionError("a stream that can be read twice is studied first")

    def study(self) -> Brightest:
        self.numbers: list[int] = []
        return self

    def observe(self, frame: Frame, detections: Sequence[Detections]) -> None:
        self.numbers.append(int(frame.image[:8, :8].mean()))

    def decide(self) -> Brightest:
        self.middle = sorted(self.numbers)[len(self.numbers) // 2]
        return self

    def update(self, frame: Frame, detections: Sequence[Detections]) -> Iterator[Choice]:
        found = tuple(region for part in detections for region in regions(part))
        keep = frame.image[:8, :8].mean() > self.middle
        yield Choice((), found) if keep else Choice(found)

    def flush(self) -> Iterator[Choice]:
        return iter(())


def test_who_is_kept_is_chosen_over_the_whole_video(frames: Path, squares: Anonymizer, tmp_path: Path) -> None:
    from dataclasses import replace

    out = tmp_path / "out"
    done = anonymize_frames(replace(squares, chooser=Brightest()), frames, out, FolderOptions())
    info = FrameFolderSource(frames).info
    white = [(read_frame(path, info)[0].min(axis=2) > 200).any() for path in sorted(out.glob("*.png"))]
    assert white == [False] * 20 + [False] + [True] * 19 or white == [False] * 21 + [True] * 19
    assert done.summary.kept["face"] == 19


def test_a_plan_keeps_what_the_track_shows(frames: Path, tmp_path: Path) -> None:
    points = np.arange(15, dtype=np.float32).reshape(5, 3)
    box = np.array([1, 2, 9, 8.5], np.float32)
    region = Region("face", box, 0.5, 3, keypoints=points, steady=Steady(box + 0.25, 0.75, points + 1))
    folder = WorkFolder(tmp_path / "out", read_manifest(frames))
    folder.begin({})
    folder.write_plan("key", "chunk", [Planned("0" * 64, (), Choice((region,)))])
    (read,) = folder.read_plan("key", "chunk", ["face"], 1)
    assert read.choice is not None
    steady = read.choice.change[0].steady
    assert steady is not None
    assert steady.box.tolist() == (box + 0.25).tolist()
    assert steady.score == 0.75
    assert np.array_equal(steady.keypoints, points + 1)


def test_a_view_that_fails_writes_no_frame(frames: Path, squares: Anonymizer, tmp_path: Path) -> None:
    def view(result: Result) -> np.ndarray:
        if result.frame.index == 11:
            raise UnreadableMedia("no view")
        return plain(result)

    with pytest.raises(UnreadableMedia, match="no view"):
        anonymize_frames(squares, frames, tmp_path / "out", FolderOptions(view=view))
    assert len(digests(tmp_path / "out")) == 39
