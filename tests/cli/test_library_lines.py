from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

PROGRAM = """
import ctypes, logging, os, subprocess, sys, threading, warnings
from dp2.cli.library_lines import captured_library_lines
from dp2.cli.run import prepare_process
prepare_process()
holding_the_lock = ctypes.PyDLL(None)
with captured_library_lines():
    child = subprocess.Popen(["sleep", "30"])
    print("ours: a line", file=sys.stderr)
    os.write(2, b"theirs: from C\\n")
    warnings.warn("theirs: a warning")
    logging.getLogger("PIL.TiffImagePlugin").warning("theirs: logged")
    logging.getLogger("dp2.source").warning("ours: logged")
    threads = [threading.Thread(target=os.write, args=(2, b"theirs: thread %d\\n" % i)) for i in range(20)]
    [t.start() for t in threads], [t.join() for t in threads]
    if "flood" in sys.argv:
        for _ in range(2000):
            holding_the_lock.write(2, b"x" * 999 + b"\\n", 1000)
    print("ours: the last", file=sys.stderr)
os.write(2, b"after\\n")
child.kill()
"""


def stderr_of(*arguments: str, **variables: str) -> list[str]:
    environment = {key: value for key, value in os.environ.items() if key != "DP2_DEBUG"} | variables
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=environment, timeout=120, check=False
    )
    return done.stderr.splitlines()


@pytest.mark.parametrize("more", [[], ["flood"]])
def test_only_our_own_lines_reach_the_terminal(more: list[str]) -> None:
    """A library that holds Python's lock while it floods stderr, and a child that lives on, stop nothing."""
    lines = stderr_of("-c", PROGRAM, *more)
    assert [line.strip() for line in lines] == ["ours: a line", "WARNING  ours: logged", "ours: the last", "after"]


def test_debugging_shows_everything() -> None:
    text = " ".join(" ".join(stderr_of("-c", PROGRAM, DP2_DEBUG="1", COLUMNS="200")).split())
    for said in ("from C", "a warning", "logged", *(f"thread {i}" for i in range(20))):
        assert f"theirs: {said}" in text
    assert text.index("ours: a line") < text.index("ours: the last")


def test_run_over_a_tiff_that_libtiff_and_pillow_complain_of(tmp_path: Path) -> None:
    Image.effect_noise((64, 64), 30).convert("RGB").save(tmp_path / "a.tif", compression="tiff_lzw")
    data = bytearray((tmp_path / "a.tif").read_bytes())
    place = data.index(struct.pack("<HHI", 273, 4, 1)) + 8
    strip = struct.unpack_from("<I", data, place)[0]
    data[strip : strip + 200] = b"\xff" * 200
    (tmp_path / "a.tif").write_bytes(data)
    root = Path(__file__).resolve().parents[2]
    lines = stderr_of(str(root / "anonymize.py"), "face_blur", str(tmp_path / "a.tif"), "--offline", COLUMNS="300")
    assert lines[0].startswith(f"error: {tmp_path / 'a.tif'}: damaged")
    assert len(lines) == 2  # the other one closes the run
    loud = " ".join(
        stderr_of(str(root / "anonymize.py"), "face_blur", str(tmp_path / "a.tif"), "--offline", DP2_DEBUG="1")
    )
    assert "tempfile.tif" in loud  # as libtiff calls what it reads
