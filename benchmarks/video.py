"""Frames per second and peak memory of dp2 and deface on one 720p clip, alternating in one run.

Both run as programs of their own, start to finish. "CPU" is what all their processes computed: unlike the wall clock it
hardly depends on what else the machine does.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import av
import cv2
import numpy as np
import psutil
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
STREET = ROOT.parent / "shared" / "data" / "videos" / "street_1080p.mp4"
PHOTO = ROOT / "media" / "group.jpg"
PERSON = ROOT / "media" / "astronaut.jpg"  # for the keep-list
WEIGHTS = ROOT.parent / "shared" / "data" / "weights"  # of its network
RATE = 25
# What deface's {"codec": "libx264"} becomes in imageio-ffmpeg: quality 5 is crf 25, ffmpeg's own preset is medium.
ENCODING = json.dumps({"codec": "libx264", "crf": 25, "preset": "medium"})
SAME = "detector.scales=[1.0]", "detector.score_threshold=0.2", "--ffmpeg-config", ENCODING


@dataclass(frozen=True)
class Contestant:
    """A program and the settings that follow input and output."""

    name: str
    program: tuple[str, ...]
    settings: tuple[str, ...] = ()

    def on(self, source: Path, target: Path) -> list[str]:
        return [*self.program, str(source), "-o", str(target), *self.settings]


@dataclass(frozen=True)
class Run:
    """One run: seconds on the clock and of all processors, peak of the resident memory of all processes in MB."""

    wall: float
    cpu: float
    memory: float


def deface(backend: str, name: str) -> Contestant:
    program = sys.executable, "-c", "from deface.deface import main; main()"
    return Contestant(name, program, ("--backend", backend))


def dp2(name: str, *settings: str) -> Contestant:
    program = sys.executable, str(ROOT / "anonymize.py"), "face_blur"
    return Contestant(name, program, ("--overwrite", *settings))


def measured(command: Sequence[str]) -> Run:
    """Run a command to its end.

    Raises:
        SystemExit: it failed; its last words are shown.
    """
    with tempfile.TemporaryFile() as output:
        before, began = os.times(), time.perf_counter()
        process = psutil.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT)
        peak = 0
        while process.poll() is None:
            peak = max(peak, resident(process))
            time.sleep(0.03)
        wall, after = time.perf_counter() - began, os.times()
        if process.returncode:
            output.seek(0)
            sys.exit(f"{' '.join(command)} failed:\n{output.read().decode(errors='replace')[-2000:]}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Run(wall, cpu, peak / 1e6)


def resident(process: psutil.Process) -> int:
    """Bytes of a process and its children."""
    total = 0
    try:
        for one in (process, *process.children(recursive=True)):
            total += one.memory_info().rss
    except psutil.NoSuchProcess:
        pass  # it ended between two questions
    return total


def make_clip(path: Path, size: tuple[int, int], count: int) -> None:
    """A street scene over and over, or, where that is not at hand, a pan over a group photo."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=RATE, options={"crf": "18", "preset": "veryfast"})
        stream.width, stream.height = size
        for picture in islice(street(size) if STREET.exists() else pan(size), count):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        output.mux(stream.encode(None))


def street(size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    while True:
        with av.open(str(STREET)) as source:
            for frame in source.decode(video=0):
                yield cv2.resize(frame.to_ndarray(format="rgb24"), size, interpolation=cv2.INTER_AREA)


def pan(size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    photo = cv2.cvtColor(cv2.imread(str(PHOTO)), cv2.COLOR_BGR2RGB)
    factor = 1.2 * max(size[0] / photo.shape[1], size[1] / photo.shape[0])
    wide: NDArray[np.uint8] = cv2.resize(photo, None, fx=factor, fy=factor)
    room = min(wide.shape[1] - size[0], wide.shape[0] - size[1])
    for step in cycle([*range(room), *range(room, 0, -1)]):
        yield np.ascontiguousarray(wide[step : step + size[1], step : step + size[0]])


def everyone() -> list[Contestant]:
    """deface first: the others are compared with it."""
    contestants = [deface("opencv", "deface as pip installs it (OpenCV)")]
    contestants.append(dp2("dp2, deface's settings, no tracking", *SAME, "--no-track"))
    contestants.append(dp2("dp2, deface's settings, tracking", *SAME))
    contestants += keeping()
    if importlib.util.find_spec("onnxruntime") and importlib.util.find_spec("onnx"):
        contestants.append(deface("onnxrt", "deface with ONNX Runtime added"))
    return contestants


def keeping() -> list[Contestant]:
    """dp2 without and, where its network's weights are at hand, with a keep-list."""
    plain = dp2("dp2, its defaults")
    if not WEIGHTS.is_dir():
        return [plain]
    os.environ.setdefault("DP2_WEIGHTS", str(WEIGHTS))
    return [plain, dp2("dp2, its defaults, keep-list", "--keep", str(PERSON))]


def speed(folder: Path, contestants: Sequence[Contestant], frames: int, rounds: int) -> None:
    clip = folder / "clip.mp4"
    make_clip(clip, (1280, 720), frames)
    runs: dict[str, list[Run]] = {contestant.name: [] for contestant in contestants}
    for _ in range(rounds):
        for contestant in contestants:
            runs[contestant.name].append(measured(contestant.on(clip, folder / "out.mp4")))
    base = contestants[0].name.split(" ")[0].rstrip(",")
    print(f"\n{frames} frames of 1280x720, {rounds} rounds, medians; best round in brackets\n")
    print(f"| | frames/s | × {base} | CPU s/frame | × {base} | peak MB |\n|---|---|---|---|---|---|")
    first = runs[contestants[0].name]
    for name, own in runs.items():
        walls = [theirs.wall / ours.wall for theirs, ours in zip(first, own, strict=True)]
        cpus = [theirs.cpu / ours.cpu for theirs, ours in zip(first, own, strict=True)]
        rate = frames / statistics.median(run.wall for run in own)
        cpu = statistics.median(run.cpu for run in own) / frames
        peak = max(run.memory for run in own)
        print(
            f"| {name} | {rate:.2f} | {statistics.median(walls):.2f} ({max(walls):.2f}) "
            f"| {cpu:.3f} | {statistics.median(cpus):.2f} ({max(cpus):.2f}) | {peak:.0f} |"
        )
        print(f"  {name}: " + ", ".join(f"{run.cpu:.1f} s CPU, {run.wall:.1f} s" for run in own), file=sys.stderr)


def memory(folder: Path, size: tuple[int, int]) -> None:
    peaks = {}
    for seconds in (10, 60):
        clip = folder / f"{seconds}.mp4"
        make_clip(clip, size, seconds * RATE)
        peaks[seconds] = measured(dp2("dp2").on(clip, folder / "out.mp4")).memory
    print(f"\nPeak memory, {size[0]}x{size[1]}: {peaks[10]:.0f} MB for 10 s, {peaks[60]:.0f} MB for 60 s, ", end="")
    print(f"ratio {peaks[60] / peaks[10]:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0, help="length of the clip (default 4)")
    parser.add_argument("--rounds", type=int, default=3, help="how often everyone runs (default 3)")
    parser.add_argument("--quick", action="store_true", help="one second, one round")
    parser.add_argument("--keep", action="store_true", help="only dp2 without and with a keep-list")
    options = parser.parse_args()
    seconds, rounds = (1.0, 1) if options.quick else (options.seconds, options.rounds)
    print(f"dp2 {importlib.metadata.version('dp2') if installed('dp2') else 'of this checkout'}", end=", ")
    print(f"deface {importlib.metadata.version('deface')}, OpenCV {cv2.__version__}, {os.cpu_count()} cores", end=", ")
    print(f"load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        speed(Path(folder), keeping() if options.keep else everyone(), round(seconds * RATE), rounds)
        if options.keep:
            return
        memory(Path(folder), (320, 180))


def installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


if __name__ == "__main__":
    main()
