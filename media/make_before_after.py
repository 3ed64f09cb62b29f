"""Makes the README's picture, before_after.jpg: group.jpg beside what `face_tiny` makes of it."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from dp2 import load_anonymizer

HERE = Path(__file__).resolve().parent
WIDTH, GAP, QUALITY = 800, 8, 85


def side_by_side(before: Image.Image, after: Image.Image) -> Image.Image:
    """Both at `WIDTH` pixels, with a white line between them."""
    size = (WIDTH, round(before.height * WIDTH / before.width))
    sheet = Image.new("RGB", (2 * WIDTH + GAP, size[1]), "white")
    for place, picture in enumerate((before, after)):
        sheet.paste(picture.resize(size, Image.Resampling.LANCZOS), (place * (WIDTH + GAP), 0))
    return sheet


def main() -> None:
    before = Image.open(HERE / "group.jpg").convert("RGB")
    after = load_anonymizer("face_tiny")(before)
    side_by_side(before, after).save(HERE / "before_after.jpg", quality=QUALITY)


if __name__ == "__main__":
    main()
