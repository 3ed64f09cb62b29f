"""Whatever a plugin or a damaged file raises: one line for its input, a failure, and the other inputs finished."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dp2.errors import DetectionError, SynthesisError
from dp2.failures import said

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = """
import numpy as np
from dp2.types import Detections, Patch, Reach


class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class Odd(BaseException):
    pass


RAISED = {
    "exit": SystemExit(0), "exit text": SystemExit("bye"), "odd": Odd("two\\nlines"), "mute": Mute(),
    "stop": StopIteration(), "closed": GeneratorExit(), "memory": MemoryError(), "plain": KeyError("x"),
}


class Detector:
    kinds = ("face",)
    settings = {"detector": "plugin"}

    def __init__(self, how):
        self.how = how
        if how == "built":
            raise SystemExit(0)

    def __call__(self, images, *, relax=1.0):
        if images[0].shape[0] == 96:  # the small one of the pictures
            raise RAISED[self.how]
        return [(Detections.empty("face"),) for _ in images]
"""
CONFIG = """
from dp2.anonymizer import Anonymizer
from dp2.config import L
from dp2.synthesize.redact import Redaction
from dp2.synthesize.fills import Solid

{extra}
anonymizer = L(Anonymizer)(
    detector=L("plugin.Detector")(how={how!r}), synthesizers={{}}, fallback=L(Redaction)(fill=L(Solid)()),
)
"""


@pytest.fixture
def run(tmp_path: Path, scene: np.ndarray) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `anonymize.py` on two pictures, of which the plugin fails on the first."""
    (tmp_path / "plugin.py").write_text(PLUGIN)
    Image.fromarray(scene).save(tmp_path / "a.png")
    Image.fromarray(np.tile(scene, (2, 1, 1))).save(tmp_path / "b.png")

    def call(how: str, *arguments: str, extra: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "own.py").write_text(CONFIG.format(how=how, extra=extra))
        paths = os.pathsep.join([str(ROOT), str(tmp_path)])
        return subprocess.run(
            [sys.executable, str(ROOT / "anonymize.py"), "own.py", "a.png", "b.png", "-o", "out", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": paths, "DP2_HOME": str(tmp_path / "home"), **environment},
            capture_output=True,
            text=True,
            timeout=120,
        )

    return call


@pytest.mark.parametrize("how", ["exit", "exit text", "odd", "mute", "stop", "closed", "memory", "plain"])
def test_detector_that_raises_anything_fails_its_file_alone(
    run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path, how: str
) -> None:
    done = run(how, "--report-json", "report.json")
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert sum(line.startswith("error: ") for line in done.stderr.splitlines()) == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["b.png"]
    told = json.loads((tmp_path / "report.json").read_text())["inputs"]
    assert [row["status"] for row in told] == ["failed", "done"]
    assert "the detector failed on frame 0" in told[0]["error"]


def test_traceback_is_shown_on_request(run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    shown = run("odd", DP2_DEBUG="1").stderr
    assert "raise RAISED[self.how]" in shown  # the line of the plugin
    assert "DetectionError" in shown


@pytest.mark.parametrize(
    ("how", "extra"), [("built", ""), ("exit", "raise SystemExit(0)")], ids=["constructor", "config"]
)
def test_plugin_that_exits_before_the_work_is_no_success(
    run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path, how: str, extra: str
) -> None:
    done = run(how, extra=extra)
    assert done.returncode == 2, done.stderr
    assert "SystemExit" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


class _Exits:
    """A synthesizer, or a detector, that ends the process."""

    kinds = ("face",)
    settings: dict[str, str] = {}  # noqa: RUF012

    def __call__(self, images: object, *, relax: float = 1.0) -> object:
        raise SystemExit(0)

    def reach(self, *_: object) -> object:
        raise SystemExit(0)


def test_library_raises_its_own_error_for_a_plugin_that_exits(scene: np.ndarray) -> None:
    from dp2.anonymizer import load_anonymizer
    from dp2.paint.paint import paint
    from dp2.types import Region

    built = load_anonymizer("face_blur")
    with pytest.raises(DetectionError, match="SystemExit: 0"):
        type(built)(detector=_Exits(), synthesizers={}, fallback=built.fallback)(scene)  # type: ignore[arg-type]
    face = Region("face", np.array([10, 10, 40, 40], np.float32), 1.0, 0)
    (painted,) = paint([scene], [[face]], {"face": _Exits()}, built.fallback, 0)  # type: ignore[dict-item]
    assert painted.outcomes[0].action.value == "fallback"
    assert not np.array_equal(painted.image[10:40, 10:40], scene[10:40, 10:40])
    with pytest.raises(SynthesisError, match="SystemExit"):
        paint([scene], [[face]], {}, _Exits(), 0)  # type: ignore[arg-type]


def test_an_errors_own_text_is_one_short_line() -> None:
    assert said(ValueError("a\n b" * 1000)).count("\n") == 0
    assert len(said(ValueError("a" * 10_000))) < 400
    assert said(SystemExit()) == "SystemExit"


def test_task_of_a_folder_that_raises_anything_leaves_the_others_to_be_done(tmp_path: Path) -> None:
    from dp2.batch.claims import Claims
    from dp2.batch.share import share

    finished: list[str] = []

    def work(task: str, _: object) -> None:
        if task == "b":
            raise SystemExit(0)
        finished.append(task)

    with Claims(tmp_path) as claims:
        (error,) = share(["a", "b", "c"], claims, done=lambda task: task in finished, work=work)
    assert finished == ["a", "c"]
    assert "b: failed (SystemExit: 0)" in str(error)


def test_worker_of_the_page_answers_for_a_task_that_exits_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    import io
    import threading

    from dp2.web.workers import tasks
    from dp2.web.workers.child import Line, serve

    def exits(*_: object) -> dict[str, object]:
        raise SystemExit(0)

    monkeypatch.setattr(tasks, "TASKS", {"exits": exits, "fine": lambda *_: {"ok": 1}})
    answers = io.StringIO()
    line = Line(answers)
    for task in ("exits", "fine"):
        line._requests.put({"task": task, "arguments": {}})
    threading.Thread(target=serve, args=(line, None), daemon=True).start()
    for _ in range(100):
        if answers.getvalue().count("\n") == 2:
            break
        threading.Event().wait(0.1)
    first, second = map(json.loads, answers.getvalue().splitlines())
    assert first == {"event": "failed", "error": "SystemExit: 0"}
    assert second == {"event": "done", "result": {"ok": 1}}
