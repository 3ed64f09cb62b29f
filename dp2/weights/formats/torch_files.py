"""Files of `torch.save`, from strangers: first by `torch.load(weights_only=True)`, else by an inert reader.

The published generators hold a dict of the class EasyDict under `train_state`, for which torch refuses the whole file.
The inert reader takes such classes, by name, for plain dicts; neither reader calls anything that a file names.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dp2.errors import UnreadableCheckpoint, UnsafeCheckpoint
from dp2.weights.formats.inert_torch import Storage, is_legacy, read_inert


def read_torch(path: Path) -> Any:
    """What a file of `torch.save` holds, on the CPU.

    Raises:
        UnsafeCheckpoint: it holds more than tensors, plain data and the classes of `HARMLESS`, or claims memory that
            it does not fill. Nothing was executed.
        UnreadableCheckpoint: it is damaged.
    """
    is_legacy(path)  # what is neither is refused before torch sees it
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        content = read_inert(path, tensor_of)
    except Exception as error:  # torch promises no kind of error for damaged files, and raises a dozen
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise UnreadableCheckpoint(f"{path}: is no whole torch file ({reason[0][:200]}).") from error
    _refuse_hollow_tensors(content, path)
    return content


def tensor_of(storage: Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    """A view of a storage; see `dp2.weights.formats.inert_torch.Rebuild`."""
    flat = torch.from_numpy(storage.values)
    return torch.as_strided(flat.view(torch.bfloat16) if storage.is_bfloat16 else flat, size, stride, offset)


def _refuse_hollow_tensors(content: Any, path: Path) -> None:
    """Tensors must be dense, on the CPU and no larger than their bytes, or later copies would claim any memory."""
    pending, seen = [content], set()
    while pending:
        item = pending.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, Tensor):
            if item.layout is not torch.strided or item.device.type != "cpu" or item.is_quantized:
                raise UnsafeCheckpoint(f"{path}: holds a tensor that is not dense.")
            if item.numel() * item.element_size() > item.untyped_storage().nbytes():
                raise UnsafeCheckpoint(f"{path}: holds a tensor of shape {tuple(item.shape)} larger than its bytes.")
        elif isinstance(item, Mapping):
            pending.extend(item.values())
        elif isinstance(item, (list, tuple)):
            pending.extend(item)
