"""Images per second and peak memory of the generators: as trained, rearranged, compiled, exported; in batches.

Every variant runs in a process of its own, so that peaks are its own. Beside each stands the floor: the seconds that
its multiplications would take at the rate of a large matrix product, measured in the same process. The minimum over
repeats counts, because other work on the machine only ever adds. On a busy machine look at the processor seconds, with
`--threads 1`, so that none are spent on waiting for each other. Weights are random; they do not change the speed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from dp2.config import build, load_config  # noqa: E402
from dp2.inference.device import has_bf16_units  # noqa: E402
from dp2.inference.engine import ENGINES, load_engine  # noqa: E402
from dp2.inference.network import Network  # noqa: E402
from dp2.synthesize.exported import example_inputs, export_onnx  # noqa: E402

GENERATORS = {
    "face 256x256": "configs/fdf/stylegan.py",
    "face 128x128": "configs/fdf/stylegan_fdf128.py",
    "face 128x128 keypoints": "configs/fdf/triagan_L.py",
    "DeepPrivacy1": "configs/fdf/deep_privacy1.py",
    "body 288x160": "configs/fdh/styleganL_nocse.py",
    "body 288x160 surface": "configs/fdh/styleganL.py",
    "body 288x160 keypoints": "configs/fdh/triagan/L_im288.py",
}
USUAL = ("face 256x256", "body 288x160")
VARIANTS = ("module", "for_inference", "compiled", "onnxruntime", "openvino")
Inputs = dict[str, torch.Tensor]
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Measured:
    """One variant at one batch size.

    Attributes:
        wall, processor: seconds of the fastest call.
        floor: wall and processor seconds of the multiplications alone.
        memory: peak in MB; of the process, on a GPU of the device.
        load: average of the machine in the last minute, while measuring.
    """

    batch: int
    wall: float
    processor: float
    floor: tuple[float, float]
    memory: float
    load: float


def best(call: Callable[[], Any], device: torch.device, repeats: int) -> tuple[float, float]:
    """Wall and processor seconds of the fastest of some calls."""
    found = []
    for _ in range(repeats):
        if device.type == "cuda":
            torch.cuda.synchronize()
        wall, processor = time.perf_counter(), time.process_time()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize()
        found.append((time.perf_counter() - wall, time.process_time() - processor))
    return min(wall for wall, _ in found), min(processor for _, processor in found)


def product(device: torch.device, dtype: torch.dtype) -> tuple[float, float]:
    """Wall and processor seconds an operation of a large matrix product; a multiplication and an addition are two."""
    size = 8192 if device.type == "cuda" else 1536
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    torch.mm(a, b)
    wall, processor = best(lambda: torch.mm(a, b), device, 8)
    return wall / (2 * size**3), processor / (2 * size**3)


def operations(network: Any) -> int:
    """Of one image, by the convolutions and products of the module as trained."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(**example_inputs(network, 1))
    return int(counter.get_total_flops())


def runner(network: Any, variant: str, dtype: torch.dtype, device: torch.device) -> Callable[[Inputs], Any]:
    """What paints a batch."""
    if variant in ENGINES:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "generator.onnx"
            export_onnx(network, path)
            engine = load_engine(Network(path.read_bytes(), exact=True), engine=variant, device="cpu")
        return lambda inputs: engine.run_named({name: value.numpy() for name, value in inputs.items()})[0]
    network = network.to(device)
    if variant == "module":
        enabled = dtype != torch.float32

        def as_trained(inputs: Inputs) -> Any:
            with torch.autocast(device.type, dtype, enabled=enabled):
                return network(**inputs)

        return as_trained
    fast = network.for_inference(dtype)
    chosen = torch.compile(fast) if variant == "compiled" else fast
    return lambda inputs: chosen(**inputs)


def measure(config: str, variant: str, kind: str, device: torch.device, batches: list[int]) -> list[Measured]:
    """One variant at every batch size, in this process."""
    torch.manual_seed(0)
    network = build(load_config(config).generator).eval().requires_grad_(False)
    work, each = operations(network), product(device, TYPES[kind])
    whole = {name: torch.rand_like(value) for name, value in example_inputs(network, max(batches)).items()}
    run = runner(network, variant, TYPES[kind], device)
    on_gpu = device.type == "cuda"
    found = []
    for batch in batches:
        each = min(each[0], (now := product(device, TYPES[kind]))[0]), min(each[1], now[1])
        inputs = {name: value[:batch].to(device) for name, value in whole.items()}
        repeats = 20 if on_gpu else 5 if batch == 1 else 2
        with torch.inference_mode():
            if batch == batches[0] or on_gpu or variant == "compiled":
                run(inputs)
            if on_gpu:
                torch.cuda.reset_peak_memory_stats()
            wall, processor = best(lambda inputs=inputs: run(inputs), device, repeats)
        floor = batch * work * each[0], batch * work * each[1]
        found.append(Measured(batch, wall, processor, floor, peak(device), os.getloadavg()[0]))
    return found


def peak(device: torch.device) -> float:
    """MB, since the process began; on a GPU since the last reset."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def table(name: str, variants: list[tuple[str, str]], options: argparse.Namespace) -> None:
    """One generator; each variant in its own process."""
    print(f"\n**{name}**\n")
    print(
        "| variant | batch | images/s | × one at a time | s/image | its floor | CPU s/image | its floor | MB | load |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
    for variant, kind in variants:
        command = [sys.executable, __file__, "--device", options.device, "--one", GENERATORS[name], variant, kind]
        command += ["--threads", str(options.threads), "--batch", *map(str, options.batch)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"| {variant} {kind} | failed: {(done.stderr.strip().splitlines() or ['?'])[-1][:120]} |", flush=True)
            continue
        found = [Measured(**row) for row in json.loads(done.stdout.splitlines()[-1])]
        first = found[0].wall / found[0].batch
        for row in found:
            wall, processor, *floor = (v / row.batch for v in (row.wall, row.processor, *row.floor))
            print(
                f"| {variant} {kind} | {row.batch} | {1 / wall:.2f} | {first / wall:.2f} | {wall:.3g} | {floor[0]:.3g} "
                f"| {processor:.3g} | {floor[1]:.3g} | {row.memory:.0f} | {row.load:.1f} |",
                flush=True,
            )


def wanted(options: argparse.Namespace) -> list[tuple[str, str]]:
    """Variants and types that make sense on this machine."""
    on_gpu = options.device.startswith("cuda")
    native = on_gpu or has_bf16_units() or options.all
    variants = options.variants or [name for name in VARIANTS if name != "compiled"]
    pairs = []
    for name in variants:
        if name in ENGINES:
            pairs += [] if on_gpu else [(name, "fp32")]
        else:
            pairs += [(name, kind) for kind in TYPES if kind == "fp32" or native]
    return pairs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--generators", nargs="+", choices=GENERATORS, default=list(USUAL), metavar="NAME")
    parser.add_argument(
        "--variants", nargs="+", choices=VARIANTS, help="default: all but compiled, which takes minutes"
    )
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 8, 16])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of PyTorch")
    parser.add_argument("--all", action="store_true", help="every generator, and bf16 also where the CPU emulates it")
    parser.add_argument("--one", nargs=3, metavar=("CONFIG", "VARIANT", "TYPE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.one:
        config, variant, kind = options.one
        found = measure(config, variant, kind, torch.device(options.device), options.batch)
        print(json.dumps([asdict(row) for row in found]))
        return
    print(f"torch {torch.__version__}, {options.device}, {torch.get_num_threads()} threads")
    for name in GENERATORS if options.all else options.generators:
        table(name, wanted(options), options)


if __name__ == "__main__":
    main()
