"""Files of `torch.save`, from strangers, read by an inert reader that calls nothing that a file names.

`torch.load(weights_only=True)` does not do: it hangs on keys made of nested tuples, lets a thousand tensors share one
storage, and refuses the published generators, which hold a dict of the class EasyDict under `train_state`. The inert
reader takes such classes, by name, for plain dicts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dp2.weights.formats.inert_torch import Storage, read_inert
from dp2.weights.limits import check_file, check_tables


def read_torch(path: Path) -> Any:
    """What a file of `torch.save` holds, on the CPU.

    Raises:
        MissingWeights: there is no such file.
        UnsafeCheckpoint: it holds more than tensors, plain data and the classes of `HARMLESS`, or claims memory that
            it does not fill. Nothing was executed.
        UnreadableCheckpoint: it is damaged.
    """
    check_file(path)
    content = read_inert(path, tensor_of)
    check_tables(content, path)
    return content


def tensor_of(storage: Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    """A view of a storage; see `dp2.weights.formats.inert_torch.Rebuild`."""
    flat = torch.from_numpy(storage.values)
    return torch.as_strided(flat.view(torch.bfloat16) if storage.is_bfloat16 else flat, size, stride, offset)
