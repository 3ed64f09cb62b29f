"""Makes the pictures and the clip of this folder again: two public-domain portraits, and a composed photo and clip.

    pip install openpeople==0.1.2 && dp2 weights fetch selfie_segmentation
    python media/make_media.py

The portraits lie inside the wheels of scikit-image (astronaut.png: NASA, Eileen Collins) and matplotlib
(grace_hopper.jpg: US Navy), the AI-made people in that of openpeople; see README.md beside this file for the credits.
"""

from __future__ import annotations

from pathlib import Path

import make_group
import make_walk
from cutouts import packaged

HERE = Path(__file__).resolve().parent


def main() -> None:
    packaged("skimage", "data/astronaut.png").save(HERE / "astronaut.jpg", quality=92)
    packaged("matplotlib", "mpl-data/sample_data/grace_hopper.jpg").save(HERE / "grace_hopper.jpg", quality=92)
    make_group.main()
    make_walk.main()


if __name__ == "__main__":
    main()
