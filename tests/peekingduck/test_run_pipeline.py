"""`dp2 run` on real faces."""

from __future__ import annotations

import os
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from dp2.cli import main
from dp2.peekingduck import screen
from dp2.source.video import VideoSource

SEED = "nodes:\n- input.live\n- model.mtcnn\n- dabble.fps\n- draw.mosaic_bbox\n- draw.legend\n- output.screen\n"


@pytest.fixture
def here(tmp_path: Path, astronaut: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Path:
    """privacy.yml and a clip of four frames with one face at about (124, 40) to (188, 130)."""
    (tmp_path / "privacy.yml").write_text(SEED, encoding="utf-8")
    with av.open(str(tmp_path / "clip.mp4"), "w") as out:
        video = out.add_stream("libx264", rate=10, options={"crf": "12"})
        video.width, video.height, video.pix_fmt = 320, 240, "yuv420p"
        for _ in range(4):
            view = np.ascontiguousarray(astronaut[40:280, 60:380])
            out.mux(video.encode(av.VideoFrame.from_ndarray(view, "rgb24")))
        out.mux(video.encode())
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    return tmp_path


def typed(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["run", *map(str, words)])
    return result.exit_code, result.output


def cells(image: np.ndarray) -> int:
    """Distinct colours in the middle of the face: few where it is a mosaic."""
    return len(np.unique(image[70:110, 140:180].reshape(-1, 3) // 16, axis=0))


class Window:
    """In the place of a real one."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.shown: list[np.ndarray] = []

    def __enter__(self) -> Window:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, image: np.ndarray) -> None:
        self.shown.append(image)


def test_the_published_pipeline_runs_unchanged_on_a_clip(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    windows: list[Window] = []

    def open_window(title: str) -> Window:
        windows.append(Window(title))
        return windows[-1]

    monkeypatch.setattr(screen, "Preview", open_window)
    code, said = typed("privacy.yml", "input.source=clip.mp4")
    assert code == 0, said
    (window,) = windows
    assert window.title == "PeekingDuck"
    assert len(window.shown) == 4
    original = next(iter(VideoSource(here / "clip.mp4"))).image
    assert cells(window.shown[-1]) < cells(original) / 3
    assert (window.shown[-1][200:, :80] != original[200:, :80]).any(), "the legend"
    assert sorted(path.name for path in here.iterdir()) == ["clip.mp4", "privacy.yml"]


def test_without_a_display_it_ends_before_any_work(here: Path) -> None:
    code, said = typed("privacy.yml", "input.source=clip.mp4")
    assert code == 1
    assert "output.screen" in said
    assert len(list(here.iterdir())) == 2


def test_the_result_goes_where_o_says_or_into_the_folder_of_the_writer(here: Path) -> None:
    assert typed("privacy.yml", "input.source=clip.mp4", "-o", "safe.mp4")[0] == 0
    assert all(cells(frame.image) < 40 for frame in VideoSource(here / "safe.mp4"))
    text = SEED.replace("output.screen", "output.media_writer: {output_dir: written}")
    text = text.replace("input.live", "input.recorded: {input_dir: shots, mirror_image: true}")
    (here / "writes.yml").write_text(text, encoding="utf-8")
    (here / "shots").mkdir()
    Image.fromarray(next(iter(VideoSource(here / "clip.mp4"))).image).save(here / "shots" / "a.png")
    (here / "shots" / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    code, said = typed("writes.yml")
    assert code == 1
    assert "b.png" in said
    assert [path.name for path in (here / "written").iterdir()] == ["a.png"]
    mirrored = np.asarray(Image.open(here / "written" / "a.png"))[:, ::-1]
    assert cells(mirrored) < 40
    original = np.asarray(Image.open(here / "shots" / "a.png"))
    assert np.array_equal(mirrored[:, 260:], original[:, 260:])


def test_an_input_is_never_written_over(here: Path) -> None:
    before = (here / "clip.mp4").read_bytes()
    code, _ = typed("privacy.yml", "input.source=clip.mp4", "-o", "clip.mp4", "--overwrite")
    assert code == 2
    assert (here / "clip.mp4").read_bytes() == before


def test_an_input_without_a_source_asks_for_one(here: Path) -> None:
    (here / "visual.yml").write_text(SEED.replace("input.live", "input.visual"), encoding="utf-8")
    code, said = typed("visual.yml")
    assert code == 2
    assert "input.source=" in said


def test_a_subfolder_that_cannot_be_looked_into_is_a_failure(
    here: Path, astronaut: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "in" / "locked").mkdir(parents=True)
    Image.fromarray(astronaut[40:280, 60:380]).save(here / "in" / "a.png")
    listdir = os.listdir

    def guarded(path: Path) -> list[str]:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return listdir(path)

    monkeypatch.setattr(os, "listdir", guarded)  # tests run as root, whom no mode stops
    code, output = typed("privacy.yml", "input.source=in", "-o", "out")
    assert code == 1
    assert "locked: the folder cannot be looked into" in output
    assert (here / "out" / "a.png").is_file()


def test_a_folder_of_the_writer_that_cannot_be_made_is_an_error_in_words(here: Path) -> None:
    (here / "file").write_text("in the way", encoding="utf-8")
    words = f"- output.media_writer: {{output_dir: {here / 'file' / 'out'}}}\n"
    (here / "privacy.yml").write_text(SEED.replace("- output.screen\n", words), encoding="utf-8")
    code, output = typed("privacy.yml", "input.source=clip.mp4")
    assert code == 1
    assert output.startswith("Error: ")
