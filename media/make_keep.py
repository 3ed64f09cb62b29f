"""Makes keep.jpg for docs/keep.md: a photo, one person kept, both replaced. Needs MobileFaceNet's weights."""

from __future__ import annotations

import tempfile
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

from dp2 import load_anonymizer

HERE = Path(__file__).resolve().parent


def main() -> None:
    astronaut = np.asarray(Image.open(HERE / "astronaut.jpg").convert("RGB"))
    hopper = np.asarray(Image.open(HERE / "grace_hopper.jpg").convert("RGB"))
    right = cv2.resize(hopper, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)
    pair = np.ascontiguousarray(np.hstack([astronaut[:300, 80:380], right[:300, 50:350]]))
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / "pictures"
        pictures.mkdir()
        for name, colour in (("sun.png", (250, 200, 60)), ("sky.png", (110, 190, 250))):
            draw_face(colour).save(pictures / name)
        reference = Path(folder) / "astronaut.png"
        Image.fromarray(astronaut).resize((300, 300)).save(reference)
        kept = load_anonymizer("face_blur", keep=[reference])(pair)
        replaced = load_anonymizer("face_blur", replace=pictures)(pair)
    gap = np.full((300, 8, 3), 255, np.uint8)
    sheet = np.hstack([pair, gap, kept, gap, replaced])
    Image.fromarray(sheet).resize((1212, 200), Image.Resampling.LANCZOS).save(HERE / "keep.jpg", quality=85)


def draw_face(colour: tuple[int, int, int]) -> Image.Image:
    picture = Image.new("RGBA", (480, 600))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((10, 10, 470, 590), fill=colour)
    for x in (150, 330):
        draw.ellipse((x - 35, 200, x + 35, 280), fill=(30, 30, 30))
    draw.arc((130, 300, 350, 460), 20, 160, fill=(30, 30, 30), width=18)
    return picture.resize((240, 300), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    main()
