"""Which device PyTorch uses, and in which precision it gains."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dp2.errors import EngineError

if TYPE_CHECKING:
    import torch

_GPU_DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # NVIDIA, AMD, either within Windows


def pick_device(name: str) -> torch.device:
    """A device by name; "auto" = CUDA, then Apple's GPU, then the CPU.

    Raises:
        EngineError: this machine or build has none of that name.
    """
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:  # torch asserts where it was built without CUDA
        reason = str(error).splitlines()[0]
        raise EngineError(f"PyTorch cannot use the device {name} here ({reason}); use --device cpu.") from error
    return device


def amp_dtype(device: torch.device, wanted: bool | None) -> torch.dtype | None:
    """The type of mixed precision; None = float32 throughout. `wanted` None = where the machine gains."""
    import torch

    if wanted is False:
        return None
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if device.type == "cpu":
        return torch.bfloat16 if wanted or has_bf16_units() else None
    return torch.float16 if wanted else None


@contextmanager
def whole_float32() -> Iterator[None]:
    """While it lasts GPUs multiply float32 as it is, not rounded to the 10 bits of TF32, which torch takes unasked."""
    import torch

    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    products.allow_tf32 = convolutions.allow_tf32 = False
    try:
        yield
    finally:
        products.allow_tf32, convolutions.allow_tf32 = before


def may_have_gpu() -> bool:
    """Whether there is any sign of a GPU that PyTorch could use. Asking PyTorch itself takes its import, 2 s."""
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    if sys.platform == "win32":
        return shutil.which("nvidia-smi") is not None
    return any(Path(device).exists() for device in _GPU_DEVICES)


def has_bf16_units() -> bool:
    """Whether the CPU multiplies bfloat16 matrices in hardware; without, bfloat16 is slower than float32."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore")
    except OSError:
        return False
    return "amx_bf16" in flags or "avx512_bf16" in flags
