"""Makes the pictures and the clip of this folder again from two public-domain portraits.

    python media/make_media.py

The portraits lie inside the wheels of scikit-image (astronaut.png: NASA, Eileen Collins) and matplotlib
(grace_hopper.jpg: US Navy); see README.md beside this file for the credits.
"""

from __future__ import annotations

import importlib.util
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageFilter, ImageOps

HERE = Path(__file__).resolve().parent
SIZE = (1280, 720)
FPS, SECONDS, WINDOW = 25, 4, (640, 360)
RATE = 44_100

# Portrait, height in pixels, centre as shares of the group photo, mirrored.
PEOPLE = (
    ("astronaut", 300, 0.10, 0.36, False),
    ("hopper", 280, 0.30, 0.36, True),
    ("astronaut", 220, 0.47, 0.31, True),
    ("hopper", 210, 0.63, 0.30, False),
    ("astronaut", 330, 0.85, 0.37, False),
    ("hopper", 400, 0.17, 0.72, False),
    ("astronaut", 380, 0.43, 0.73, True),
    ("hopper", 390, 0.70, 0.73, True),
)


def packaged(package: str, inner: str) -> Image.Image:
    """A picture that a wheel carries, without importing the package."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise SystemExit(f"{package} is not installed; run `make demo` or `pip install '.[test]'` first.")
    return Image.open(Path(spec.origin).parent / inner).convert("RGB")


def group_photo(portraits: dict[str, Image.Image]) -> Image.Image:
    """The portraits beside and before each other with soft edges, on a blurred wall."""
    wall = portraits["astronaut"].resize(SIZE, Image.Resampling.LANCZOS).filter(ImageFilter.GaussianBlur(60))
    for name, height, x, y, mirrored in PEOPLE:
        portrait = portraits[name]
        size = (round(portrait.width * height / portrait.height), height)
        person = portrait.resize(size, Image.Resampling.LANCZOS)
        person = ImageOps.mirror(person) if mirrored else person
        soft = Image.new("L", size, 0)
        soft.paste(255, (12, 12, size[0] - 12, size[1] - 12))
        soft = soft.filter(ImageFilter.GaussianBlur(6))
        wall.paste(person, (round(SIZE[0] * x - size[0] / 2), round(SIZE[1] * y - size[1] / 2)), soft)
    return wall


def pan(photo: Image.Image, path: Path) -> None:
    """A camera that moves over the photo and back, with a rising tone."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=FPS, options={"crf": "24", "preset": "slow"})
        video.width, video.height = WINDOW
        video.pix_fmt = "yuv420p"
        sound = container.add_stream("aac", rate=RATE)
        count = FPS * SECONDS
        for index in range(count):
            phase = (1 - np.cos(2 * np.pi * index / count)) / 2
            zoom = 1.6 - 0.4 * phase
            width, height = WINDOW[0] * zoom, WINDOW[1] * zoom
            left, top = (SIZE[0] - width) * phase, (SIZE[1] - height) * (0.3 + 0.5 * phase)
            box = (left, top, left + width, top + height)
            view = photo.resize(WINDOW, Image.Resampling.LANCZOS, box=box)
            container.mux(video.encode(av.VideoFrame.from_image(view)))
        container.mux(video.encode())
        time = np.arange(RATE * SECONDS) / RATE
        wave = (0.2 * np.sin(2 * np.pi * (220 + 55 * time) * time)).astype(np.float32)
        for start in range(0, len(wave), 1024):
            piece = av.AudioFrame.from_ndarray(wave[None, start : start + 1024], format="fltp", layout="mono")
            piece.sample_rate, piece.pts, piece.time_base = RATE, start, Fraction(1, RATE)
            container.mux(sound.encode(piece))
        container.mux(sound.encode())


def main() -> None:
    portraits = {
        "astronaut": packaged("skimage", "data/astronaut.png"),
        "hopper": packaged("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
    }
    portraits["astronaut"].save(HERE / "astronaut.jpg", quality=92)
    portraits["hopper"].save(HERE / "grace_hopper.jpg", quality=92)
    photo = group_photo(portraits)
    photo.save(HERE / "group.jpg", quality=90)
    pan(photo, HERE / "pan.mp4")


if __name__ == "__main__":
    main()
