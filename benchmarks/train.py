"""Images per second of training, by config: whole steps of the loop, lazy phases in their proportion.

Beside each stands the floor: the seconds that the multiplications of forward and backward passes would take at the
rate of a large matrix product in the same type, measured in the same process. Every config runs in a process of its
own, on pictures of noise; loading data is not measured. The least of some steps counts for each pattern of phases,
because other work on the machine only ever adds. Weights are random; they do not change the speed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from dp2.config import build, load_config  # noqa: E402
from dp2.data.batch import Batch  # noqa: E402
from dp2.inference.device import amp_dtype, pick_device  # noqa: E402
from dp2.models.folding import folded  # noqa: E402
from dp2.models.portrait.critics import FrozenFeatures  # noqa: E402
from dp2.training.checkpoints.state import State  # noqa: E402
from dp2.training.distributed import Group  # noqa: E402
from dp2.training.ema import ExponentialAverage  # noqa: E402
from dp2.training.loop import numbered  # noqa: E402
from dp2.training.optimizers import build_optimizers  # noqa: E402
from dp2.training.precision import Precision, settled_backends  # noqa: E402
from dp2.training.update import Updater  # noqa: E402

CONFIGS = {
    "FDF256": "configs/fdf/stylegan.py",
    "FDF128": "configs/fdf/stylegan_fdf128.py",
    "FDH": "configs/fdh/styleganL.py",
    "tiny64": "configs/fdf/tiny64.py",
}
USUAL = ("FDF256", "FDH", "tiny64")
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
CYCLE = 16  # steps after which the phases repeat
VERTICES = 27554


@dataclass(frozen=True)
class Measured:
    """One config.

    Attributes:
        batch: images of a step.
        precision: of its products.
        step: seconds of a step, averaged over a cycle.
        floor: seconds that its multiplications would take.
        operations: of a step, averaged over a cycle.
        load: average of the machine in the last minute.
    """

    batch: int
    precision: str
    step: float
    floor: float
    operations: float
    load: float


class Operations(TorchDispatchMode):
    """Counts those of convolutions and products, backward passes included; FlopCounterMode fails on penalties of
    gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.total += count(*args, **(kwargs or {}), out_val=out)
        return out


def product(device: torch.device, dtype: torch.dtype) -> float:
    """Seconds an operation of a large matrix product; a multiplication and an addition are two."""
    size = 8192 if device.type == "cuda" else 1536
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    torch.mm(a, b)
    return min(timed(lambda: torch.mm(a, b), device) for _ in range(8)) / (2 * size**3)


def timed(call: Any, device: torch.device) -> float:
    """Seconds on the clock."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def noise(config: Any, count: int) -> Batch:
    """Pictures with a hole in the middle and every condition that a generator may ask for."""
    height, width = config.data.resolution
    mask = torch.ones(count, 1, height, width, dtype=torch.bool)
    mask[:, :, height // 4 : -height // 4, width // 4 : -width // 4] = False
    keypoints = torch.rand(count, config.data.get("keypoints", 7), 3)
    return Batch(
        image=torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8),
        mask=mask,
        keypoints=keypoints,
        vertices=torch.randint(-1, VERTICES, (count, height, width)),
        silhouette=~mask,
        tone=torch.zeros(count, 3),
    )


def measure(path: str, options: argparse.Namespace) -> Measured:
    """One config, in this process."""
    device = pick_device(options.device)
    with settled_backends(device):
        return _measure(path, options, device)


def _measure(path: str, options: argparse.Namespace, device: torch.device) -> Measured:
    torch.manual_seed(0)
    config = load_config(path)
    settings = config.training
    if settings.objective.get("surface") is not None:
        settings.objective.surface = torch.randn(VERTICES, config.data.embedding_channels)
    if "features" in settings.objective:
        features = FrozenFeatures(enlarge=settings.objective.features.enlarge)
        features.body = folded(features.body.eval())
        settings.objective.features = features
    objective = build(settings.objective)
    layout = torch.channels_last if settings.get("channels_last") else torch.contiguous_format
    for network in objective.networks.values():
        network.to(device, memory_format=layout).train()
    state = State(
        objective,
        build_optimizers(objective.networks, build(settings.optimizers)),
        ExponentialAverage(objective.networks["generator"], half_life=1e4, rampup=None),
    )
    batch = options.batch or int(settings.batch)
    name = settings.get("precision", "fp32")
    group, precision = Group(0, 1, device), Precision(name, device)
    own = numbered(noise(config, batch), batch, group, bool(settings.get("channels_last")))
    update = Updater(state, group, precision, micro_batches=1, seed=0)
    later = options.later if "adversary_from" in settings.objective else 0

    def step(number: int) -> None:
        state.step = number + later
        for phase in objective.phases(state.step):
            update(phase, own)
        state.average.update(objective.networks["generator"], batch, 0)

    dtype = precision.dtype or torch.float32
    patterns: dict[tuple[str, ...], list[int]] = {}  # steps with the same phases, R1 within one counted as another
    for number in range(CYCLE):
        key = tuple(f"{phase.name} {phase.losses.__name__}" for phase in objective.phases(number + later))
        patterns.setdefault(key, []).append(number)
    seconds = operations = 0.0
    each = product(device, dtype)
    for numbers in patterns.values():
        with Operations() as counter:
            step(numbers[0])
        found = min(timed(lambda numbers=numbers: step(numbers[0]), device) for _ in range(options.repeats))
        seconds += found * len(numbers) / CYCLE
        operations += counter.total * len(numbers) / CYCLE
        each = min(each, product(device, dtype))
    kind = next(kind for kind, value in TYPES.items() if value == dtype)
    return Measured(batch, kind, seconds, operations * each, operations, os.getloadavg()[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configs", nargs="+", choices=CONFIGS, default=list(USUAL), metavar="NAME")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch", type=int, help="instead of each config's own")
    parser.add_argument("--repeats", type=int, default=3, help="steps of each pattern of phases")
    parser.add_argument("--later", type=int, default=160_000, help="first step measured, for objectives that change")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of PyTorch")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.one:
        print(json.dumps(asdict(measure(options.one, options))))
        return
    device = pick_device(options.device)
    print(
        f"torch {torch.__version__}, {device}, {torch.get_num_threads()} threads, by itself {amp_dtype(device, None)}"
    )
    print("| config | batch | precision | images/s | GFLOP an image | floor, images/s | share of the floor | load |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for name in options.configs:
        command = [sys.executable, __file__, "--one", CONFIGS[name], *sys.argv[1:]]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"| {name} | failed: {(done.stderr.strip().splitlines() or ['?'])[-1][:120]} |", flush=True)
            continue
        row = Measured(**json.loads(done.stdout.splitlines()[-1]))
        print(
            f"| {name} | {row.batch} | {row.precision} | {row.batch / row.step:.3g} "
            f"| {row.operations / row.batch / 1e9:.1f} | {row.batch / row.floor:.3g} "
            f"| {row.floor / row.step:.0%} | {row.load:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
