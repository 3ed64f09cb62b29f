"""What README.md and docs/ tell a reader to type works as it stands there.

Run are the lines after `$ ` of ```console blocks and all ```python blocks, each block in a fresh folder with the files
of `samples`. A block after `<!-- file: NAME -->` is written as that file into the folders of its document; ```text
blocks are not run. `# exits with 1` behind a command is what it is checked for.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from dp2.cli import main
from dp2.cli.commands.anonymize import anonymize
from dp2.cli.commands.train import train
from dp2.config import config_names

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SITE = {ROOT / "docs" / name for name in ("index.md", "benchmarks.md")}  # frames of the site: nothing to type
FENCE = re.compile(
    r"(?:<!-- file: (?P<file>\S+) -->\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)
EXIT = re.compile(r"\s# exits with (\d)")
PROGRAMS = {("python", "anonymize.py"): anonymize, ("python", "train.py"): train, ("dp2",): main}
# Words of other programs that the documents speak of, `python -m dp2.data.faces` among them.
FOREIGN = {"--editable", "--learn", "--nproc-per-node", "--sheet", "--teacher"}


@dataclass(frozen=True)
class Block:
    """A fenced block of a document."""

    document: Path
    line: int
    kind: str
    text: str
    file: str | None

    def __str__(self) -> str:
        return f"{self.document.name}:{self.line}"


def blocks_of(document: Path) -> list[Block]:
    text = document.read_text(encoding="utf-8")
    return [
        Block(document, text.count("\n", 0, found.start()) + 1, found["kind"], found["text"], found["file"])
        for found in FENCE.finditer(text)
    ]


BLOCKS = [block for document in DOCUMENTS for block in blocks_of(document)]
RUN = [block for block in BLOCKS if block.file is None and block.kind in ("console", "python")]


@pytest.fixture
def folder(samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A reader's folder."""
    place = tmp_path / "here"
    shutil.copytree(samples, place)
    monkeypatch.chdir(place)
    monkeypatch.setenv("DP2_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DP2_OFFLINE", "1")
    monkeypatch.syspath_prepend(place)
    return place


@pytest.mark.parametrize("block", RUN, ids=str)
def test_block_does_what_it_says(block: Block, folder: Path) -> None:
    for own in blocks_of(block.document):
        if own.file is not None:
            (folder / own.file).write_text(own.text, encoding="utf-8")
    if block.kind == "python":
        exec(compile(block.text, str(block), "exec"), {"__name__": "__main__"})
        return
    commands = [line[2:] for line in block.text.splitlines() if line.startswith("$ ")]
    assert commands, f"{block}: no line begins with `$ `"
    for command in commands:
        expected = EXIT.search(command)
        code, said = typed(command)
        assert code == (int(expected[1]) if expected else 0), f"{block}: $ {command}\n{said}"


def typed(command: str) -> tuple[int, str]:
    """Exit code and output of a command, run in this process: importing torch anew for each would take minutes."""
    words = shlex.split(command, comments=True)
    environment = {}
    while re.match(r"[A-Z_][A-Z0-9_]*=", words[0]):
        name, _, value = words.pop(0).partition("=")
        environment[name] = value
    for program, called in PROGRAMS.items():
        if tuple(words[: len(program)]) == program:
            result = CliRunner(env=environment).invoke(called, words[len(program) :])
            crash = "" if isinstance(result.exception, (SystemExit, type(None))) else f"\n{result.exception!r}"
            return result.exit_code, result.output + crash
    raise AssertionError(f"{words[0]} is no program of dp2; put what cannot be run here into a ```text block")


def test_every_document_is_run() -> None:
    assert {block.document for block in RUN} == set(DOCUMENTS) - SITE


def test_readme_lists_every_anonymizer() -> None:
    rows = re.findall(r"^\| `([\w/]+)` \|", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(config_names()) <= set(rows), "README.md's table lacks what `dp2 configs` prints"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documents_name_only_options_that_exist(document: Path) -> None:
    context = click.Context(main)
    commands = [main.get_command(context, name) for name in main.list_commands(context)]
    commands += [sub for command in commands if isinstance(command, click.Group) for sub in command.commands.values()]
    known = {word for command in commands if command for p in command.params for word in (*p.opts, *p.secondary_opts)}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z_-]+", document.read_text(encoding="utf-8")))
    assert named <= known | FOREIGN | {"--help", "--version"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_within_the_repository_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text(encoding="utf-8"))
    for link in links:
        assert os.path.exists(document.parent / link), link
