"""A generator as a synthesizer: cut out, throw away, paint anew, put back."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dp2.errors import UsageError
from dp2.faces.crop_box import clipped
from dp2.synthesize.blend import PASTES, Paste, reference
from dp2.synthesize.crops import Crop, Cropper, sealed
from dp2.synthesize.latents import LatentIndex, hashed_index, latent
from dp2.synthesize.verifier import FaceVerifier
from dp2.types import PaintTask, Patch, Reach, Refusal, Region

if TYPE_CHECKING:
    from dp2.synthesize.backend import Backend

_log = logging.getLogger(__name__)
_NOWHERE = Reach((0, 0, 0, 0), (0, 0, 0, 0))


class Inpainter:
    """Replaces regions by what a generator paints.

    Pixels in the hole never reach the generator: its condition is 0 there. What the generator cannot serve is refused,
    so that classic redaction takes over. The generator is loaded when this is built: what is wrong with it or its
    settings is said before anything starts, and never becomes a fallback of every region.

    Args:
        generator: what paints: a `dp2.synthesize.backend.Backend`, or a config that defines `generator` and `weights`,
            by path or name (e.g. "configs/fdf/stylegan.py"), of which one is made.
        crop: how regions are cut for it.
        truncation: 1 = latents as drawn, 0 = the average style (or centre).
        multi_modal_truncation: truncate towards the checkpoint's centre of the person's latent index.
        paste: "natural", or "reference" as published, where resampling mixes a trace of the hole into the pixels that
            are shown to the generator beside it.
        batch_size: most crops in one call of the generator.
        amp: mixed precision of a generator given as a config, as are the next three; None = where the machine gains.
        device: "auto", "cpu", "cuda", …
        engine: "auto", see `dp2.synthesize.generators.GeneratorSource`; "torch"; or "onnxruntime" / "openvino" to run
            an export of the generator on the CPU. Measured on AVX-512 with large generators neither is faster than
            "torch" (OpenVINO takes 1.05 to 1.2 times the processor time, ONNX Runtime more: see benchmarks/README.md),
            so they are for machines where PyTorch is slow.
        compile: use torch.compile.
        latent_index: from (seed, identity) to the index that latents are drawn from.
        verifier: whether a result is fit to be shown; None = every finite one is.

    Raises:
        UsageError: an argument is out of range, the crops are not what the generator takes, or multi-modal truncation
            is asked of a checkpoint without centres.
        WeightsError: the checkpoint is not on this machine, or not that generator's.
        EngineError: the device or engine is not to be had.
    """

    def __init__(
        self,
        *,
        generator: str | Backend,
        crop: Cropper,
        truncation: float = 0.0,
        multi_modal_truncation: bool = False,
        paste: Paste = "natural",
        batch_size: int = 8,
        amp: bool | None = None,
        device: str = "auto",
        engine: str = "auto",
        compile: bool = False,  # noqa: A002  the field's word
        latent_index: LatentIndex = hashed_index,
        verifier: FaceVerifier | None = None,
    ) -> None:
        if not 0 <= truncation <= 1:
            raise UsageError(f"truncation must lie in [0, 1], not {truncation}.")
        if paste not in PASTES:
            raise UsageError(f"paste is one of {', '.join(PASTES)}, not {paste}.")
        if batch_size < 1:
            raise UsageError(f"batch_size must be at least 1, not {batch_size}.")
        self.crop = crop
        self.truncation, self.multi_modal_truncation = truncation, multi_modal_truncation
        self.batch_size, self.latent_index = batch_size, latent_index
        self._paste = PASTES[paste]
        self._verifier = verifier
        if isinstance(generator, str):
            from dp2.synthesize.generators import GeneratorSource

            source = GeneratorSource(generator, device=device, amp=amp, engine=engine, compile=compile)
            self._backend: Backend = source.load()
            self._check(generator)
        else:
            self._backend = generator
            self._check(type(generator).__name__)

    def _check(self, name: str) -> None:
        backend = self._backend
        if tuple(self.crop.size) != tuple(backend.resolution):
            raise UsageError(f"{name} paints {backend.resolution} (height, width), not crops of {self.crop.size}.")
        missing = sorted(set(backend.conditions) - set(self.crop.gives))
        if missing:
            raise UsageError(f"{name} needs {', '.join(missing)}, which {type(self.crop).__name__} does not give.")
        try:
            self._styles([0])
        except UsageError as error:
            raise UsageError(f"{name}: {error}.") from error

    def reach(self, region: Region, height: int, width: int) -> Reach:
        """The crop: all of it is looked at, and changed no further."""
        box = self.crop.box(region, height, width)
        if isinstance(box, Refusal):
            return _NOWHERE
        left, top, right, bottom = clipped(box, height, width)
        inside = (left, top, max(left, right), max(top, bottom))
        return Reach(inside, inside)

    def synthesize(self, tasks: Sequence[PaintTask], seed: int) -> list[Patch | Refusal]:
        """As in `dp2.stages.Synthesizer`; batches of `batch_size`, halved where the generator fails."""
        answers: list[Patch | Refusal] = []
        served: list[tuple[int, Crop]] = []
        for place, task in enumerate(tasks):
            crop = self._cut(task)
            answers.append(crop if isinstance(crop, Refusal) else Refusal("not painted"))
            if isinstance(crop, Crop):
                served.append((place, crop))
        for start in range(0, len(served), self.batch_size):
            part = served[start : start + self.batch_size]
            indices = [self.latent_index(seed, tasks[place].region.identity) for place, _ in part]
            painted = self._judged([crop for _, crop in part], indices)
            for (place, crop), pixels, index in zip(part, painted, indices, strict=True):
                answers[place] = self._put_back(tasks[place], crop, pixels, index)
        return answers

    def _cut(self, task: PaintTask) -> Crop | Refusal:
        box = self.crop.box(task.region, *task.canvas.shape[:2])
        if isinstance(box, Refusal):
            return box
        left, top, right, bottom = clipped(box, *task.canvas.shape[:2])
        if right <= left or bottom <= top:
            return Refusal("a region outside the frame")
        crop = self.crop.cut(task.canvas, task.region, box)
        if crop.keep.all():
            return Refusal("a region without a hole at the generator's resolution")
        return sealed(self.crop, task.canvas, crop) if self._paste is not reference else crop

    def _put_back(
        self, task: PaintTask, crop: Crop, pixels: NDArray[np.float32] | Refusal, index: int
    ) -> Patch | Refusal:
        if isinstance(pixels, Refusal):
            return pixels
        return self._paste(task.canvas, crop, pixels, np.random.default_rng(index))

    def _judged(self, crops: Sequence[Crop], indices: Sequence[int]) -> list[NDArray[np.float32] | Refusal]:
        """As `_paint`, without what is not fit to be shown."""
        painted = self._paint(crops, indices)
        good = [place for place, pixels in enumerate(painted) if not isinstance(pixels, Refusal)]
        if self._verifier is None or not good:
            return painted
        pixels = [np.asarray(painted[place]) for place in good]
        for place, fit in zip(good, self._verifier([crops[place] for place in good], pixels), strict=True):
            if not fit:
                painted[place] = Refusal("what was painted is no face")
        return painted

    def _paint(self, crops: Sequence[Crop], indices: Sequence[int]) -> list[NDArray[np.float32] | Refusal]:
        """(h, w, 3) float32 in [0, 255] for each crop. What fails in a batch is tried in halves, so that what else is
        in a batch decides nothing."""
        try:
            painted = self._backend.paint(crops, self._styles(indices))
        except Exception as error:
            self._backend.free()
            if len(crops) > 1:
                half = len(crops) // 2
                return self._paint(crops[:half], indices[:half]) + self._paint(crops[half:], indices[half:])
            reason = "not enough memory" if isinstance(error, self._backend.out_of_memory) else "the generator failed"
            _log.warning("%s; one region is redacted (%s: %s)", reason, type(error).__name__, error)
            return [Refusal(reason)]
        return [image if np.isfinite(image).all() else Refusal("values that are not finite") for image in painted]

    def _styles(self, indices: Sequence[int]) -> Any:
        z = np.stack([latent(index, self._backend.z_channels) for index in indices])
        centers = np.array(indices, np.int64) if self.multi_modal_truncation else None
        return self._backend.styles(z, self.truncation, centers)
