"""Small files under the names that the documents use."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory, astronaut: np.ndarray) -> Path:
    """photo.jpg, holiday/, clip.mp4, broken.ts, sticker.png and model.pth; one face each where people are."""
    folder = tmp_path_factory.mktemp("samples")
    person = Image.fromarray(astronaut)
    person.crop((100, 20, 356, 212)).save(folder / "photo.jpg", quality=95)
    (folder / "holiday" / "day2").mkdir(parents=True)
    person.crop((120, 40, 320, 200)).save(folder / "holiday" / "beach.jpg")
    person.crop((130, 30, 330, 190)).save(folder / "holiday" / "day2" / "boat.png")
    (folder / "holiday" / "notes.txt").write_text("no picture", encoding="utf-8")
    sticker = Image.new("RGBA", (48, 48))
    sticker.paste((255, 200, 0, 255), (4, 4, 44, 44))
    sticker.save(folder / "sticker.png")
    _clip(folder / "clip.mp4", astronaut)
    _clip(folder / "broken.ts", astronaut)
    whole = (folder / "broken.ts").read_bytes()
    (folder / "broken.ts").write_bytes(whole[: int(len(whole) * 0.7)])
    _checkpoint(folder / "model.pth")
    return folder


def _clip(path: Path, astronaut: np.ndarray) -> None:
    """One second, 160x90, with a tone."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=10, options={"crf": "18", "bf": "0"})
        video.width, video.height, video.pix_fmt = 160, 90, "yuv420p"
        sound = out.add_stream("aac", rate=8000)
        for index in range(10):
            view = np.ascontiguousarray(astronaut[60:150, 140 + 2 * index : 300 + 2 * index])
            out.mux(video.encode(av.VideoFrame.from_ndarray(view, "rgb24")))
        out.mux(video.encode())
        for start in range(0, 8000, 1000):
            tone = 0.1 * np.sin(np.arange(start, start + 1000, dtype=np.float32) / 3)[None]
            piece = av.AudioFrame.from_ndarray(tone, "fltp", "mono")
            piece.sample_rate, piece.pts, piece.time_base = 8000, start, Fraction(1, 8000)
            out.mux(sound.encode(piece))
        out.mux(sound.encode())


def _checkpoint(path: Path) -> None:
    import torch

    torch.save({"layer.weight": torch.zeros(2, 2)}, path)
