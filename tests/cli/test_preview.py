"""What the preview window shows is what is written: overlays and legend included."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from dp2.cli.commands.anonymize import anonymize

CORNER = (slice(0, 8), slice(0, 40))  # where the legend is drawn


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, astronaut: np.ndarray) -> Callable[..., Result]:
    """Runs the command in a folder that holds photo.png and clip.mp4."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DP2_HOME", str(tmp_path / "home"))
    view = np.ascontiguousarray(astronaut[20:260, 60:380])
    Image.fromarray(view).save("photo.png")
    with av.open("clip.mp4", "w") as out:
        video = out.add_stream("libx264", rate=10, options={"crf": "18"})
        video.width, video.height, video.pix_fmt = 320, 240, "yuv420p"
        for _ in range(5):
            out.mux(video.encode(av.VideoFrame.from_ndarray(view, "rgb24")))
        out.mux(video.encode())

    def call(*arguments: object) -> Result:
        return CliRunner().invoke(anonymize, ["face_blur", *map(str, arguments)])

    return call


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Stands in for OpenCV's window; holds the (H, W, 3) uint8 RGB pictures that it was given."""
    shown: list[np.ndarray] = []
    monkeypatch.setenv("DISPLAY", ":99")
    monkeypatch.setattr(cv2, "namedWindow", lambda *_: None)
    monkeypatch.setattr(cv2, "destroyWindow", lambda *_: None)
    monkeypatch.setattr(cv2, "waitKey", lambda *_: -1)
    monkeypatch.setattr(cv2, "imshow", lambda _, image: shown.append(cv2.cvtColor(image, cv2.COLOR_BGR2RGB)))
    return shown


def legend_panel(image: np.ndarray) -> bool:
    """The panel is a third as bright as the picture."""
    original = np.asarray(Image.open("photo.png"))[CORNER]
    return bool(np.median(image[CORNER]) < 0.5 * np.median(original))


def test_a_camera_that_is_only_shown_shows_the_legend(
    run: Callable[..., Result], window: list[np.ndarray], tmp_path: Path
) -> None:
    source = (tmp_path / "clip.mp4").as_uri()
    result = run(source, "--legend")
    assert result.exit_code == 0, result.output
    assert window
    assert all(legend_panel(image) for image in window)
    plain = len(window)
    assert run(source).exit_code == 0
    assert not any(legend_panel(image) for image in window[plain:])


@pytest.mark.parametrize("name", ["photo.png", "clip.mp4"])
def test_detections_are_drawn_in_the_window_as_in_the_file(
    run: Callable[..., Result], window: list[np.ndarray], name: str
) -> None:
    result = run(name, "--visualize-detection", "-v", "-o", f"o{Path(name).suffix}")
    assert result.exit_code == 0, result.output
    assert len(window) == (1 if name == "photo.png" else 5)
    with av.open(f"o{Path(name).suffix}") as container:
        written = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    original = np.asarray(Image.open("photo.png"))
    for shown, expected in zip(window, written, strict=True):
        assert np.abs(shown.astype(int) - expected).mean() < 3
        assert (np.abs(shown.astype(int) - original).max(axis=2) > 100).sum() > 100, "the box is missing"


def test_the_window_shows_frames_of_a_folder_as_they_are_written(
    run: Callable[..., Result], window: list[np.ndarray]
) -> None:
    from dp2.cli import main

    assert CliRunner().invoke(main, ["frames", "split", "clip.mp4", "frames"]).exit_code == 0
    result = run("frames", "-o", "out", "--visualize-detection", "-v")
    assert result.exit_code == 0, result.output
    written = [np.asarray(Image.open(path)) for path in sorted(Path("out").glob("*.png"))]
    assert len(window) == 5
    assert all(np.array_equal(shown, image) for shown, image in zip(window, written, strict=True))
