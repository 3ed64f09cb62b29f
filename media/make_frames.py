"""Makes frames.jpg and pipeline.jpg: what docs/frames.md and docs/pipelines.md do, shown on pan.mp4."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import av
from PIL import Image

HERE = Path(__file__).resolve().parent
FRAME = 92
GAP = 8  # pixels
PIPELINE = "nodes:\n- input.visual\n- model.mtcnn\n- dabble.fps\n- draw.mosaic_bbox\n- draw.legend\n- output.screen\n"


def dp2(folder: Path, *words: str) -> None:
    command = [sys.executable, "-c", "from dp2.cli import main; main()", *words]
    subprocess.run(command, cwd=folder, env={**os.environ, "PYTHONPATH": str(HERE.parent)}, check=True)


def main() -> None:
    clip, name = str(HERE / "pan.mp4"), f"frame_{FRAME + 1:010}.png"
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        dp2(folder, "frames", "split", clip, "frames", "--width", "320")
        dp2(folder, "anonymize", "-i", "frames", "-o", "out", "--debug")
        panes = [Image.open(folder / part / name) for part in ("frames", "out", "out/debug")]
        width, height = panes[0].size
        sheet = Image.new("RGB", (len(panes) * (width + GAP) - GAP, height), "white")
        for column, pane in enumerate(panes):
            sheet.paste(pane, (column * (width + GAP), 0))
        sheet.save(HERE / "frames.jpg", quality=85)
        (folder / "pipeline.yml").write_text(PIPELINE, encoding="utf-8")
        dp2(folder, "run", "pipeline.yml", f"input.source={clip}", "-o", "safe.mp4")
        with av.open(str(folder / "safe.mp4")) as video:
            frames = list(video.decode(video=0))
        frames[FRAME].to_image().save(HERE / "pipeline.jpg", quality=82)


if __name__ == "__main__":
    main()
