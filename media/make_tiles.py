"""Makes the pictures that the page of `dp2 serve` is shipped with, from group.jpg, into dp2/web/page/.

    python media/make_tiles.py

`start_before.webp` and `start_after.webp` show what will happen; `tile_<name>.webp` what each anonymizer does whose
weights are on this machine, to one and the same face or person.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from dp2 import load_anonymizer
from dp2.errors import Dp2Error
from dp2.web.workers.catalogue import offered
from dp2.weights.needs import ready_anonymizers
from dp2.weights.store import Store

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "dp2" / "web" / "page"
START, START_SIZE = (240, 86, 720, 356), (480, 270)  # part of group.jpg, and its size on the page
FACES, BODIES = (255, 130, 395, 235), (964, 120, 1278, 356)
TILE = (240, 180)


def save(picture: Image.Image, part: tuple[int, int, int, int], size: tuple[int, int], name: str) -> None:
    picture.crop(part).resize(size, Image.Resampling.LANCZOS).save(PAGE / name, quality=74, method=6)


def main() -> None:
    photo = Image.open(HERE / "group.jpg").convert("RGB")
    save(photo, START, START_SIZE, "start_before.webp")
    save(load_anonymizer("face_tiny")(photo), START, START_SIZE, "start_after.webp")
    for row in offered(set(ready_anonymizers(Store().locate))):
        if not row["ready"] or row["rare"]:
            continue
        try:
            changed = Image.fromarray(np.asarray(load_anonymizer(row["name"])(photo)))
        except Dp2Error as error:
            print(f"{row['name']}: {error}")
            continue
        save(changed, BODIES if row["group"] == "Whole people" else FACES, TILE, f"tile_{row['name']}.webp")


if __name__ == "__main__":
    main()
