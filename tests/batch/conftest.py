"""A small clip of irregular rate with sound, its frames, and an anonymizer that processes of the tests can build."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from dp2.anonymizer import Anonymizer, load_anonymizer
from dp2.sink.frame_folder import FrameFolderSink
from dp2.source.video import VideoSource

HERE = Path(__file__).parent
COUNT = 40
TIMES = [40 * index + (index % 3) * 7 for index in range(COUNT)]  # milliseconds
CONFIG = """
from dp2.anonymizer import Anonymizer
from dp2.config import L
from dp2.synthesize.redact import Redaction
from dp2.track.tracker import Tracking

batch_size = 2
detector = L("blob.Squares")(scales=[1.0])
synthesizer = L(Redaction)(fill=L("blob.Slow")(seconds=0.0), shape="box", mask_scale=1.2, feather=0.0)
anonymizer = L(Anonymizer)(
    detector="${detector}", synthesizers={"face": "${synthesizer}"}, fallback="${synthesizer}",
    tracker=L(Tracking)(), seed=0, batch_size="${batch_size}",
)
"""


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key that seals folders of frames is made anew for each test."""
    monkeypatch.setenv("DP2_HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.delenv("DP2_FRAMES_KEY", raising=False)


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 frames of 64x48, a white square walking to the right."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25, options={"crf": "10", "bf": "0"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.codec_context.time_base = video.time_base = Fraction(1, 1000)
        sound = out.add_stream("aac", rate=8000)
        for index, milliseconds in enumerate(TIMES):
            image = np.full((48, 64, 3), 20, np.uint8)
            image[:8, :8] = 4 * index + 2
            image[18:30, 4 + index : 16 + index] = 255
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts, frame.time_base = milliseconds, Fraction(1, 1000)
            out.mux(video.encode(frame))
        out.mux(video.encode())
        for start in range(0, 12_000, 1000):
            tone = 0.1 * np.sin(np.arange(start, start + 1000, dtype=np.float32) / 3)[None]
            piece = av.AudioFrame.from_ndarray(tone, "fltp", "mono")
            piece.sample_rate, piece.pts, piece.time_base = 8000, start, Fraction(1, 8000)
            out.mux(sound.encode(piece))
        out.mux(sound.encode())
    return path


@pytest.fixture
def frames(clip: Path, tmp_path: Path) -> Path:
    """The clip as a folder."""
    source = VideoSource(clip)
    sink = FrameFolderSink(tmp_path / "frames", source.info)
    for frame in source:
        sink.write(frame)
    sink.finish()
    return tmp_path / "frames"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "squares.py"
    path.write_text(CONFIG, encoding="utf-8")
    return path


@pytest.fixture
def squares(config: Path, monkeypatch: pytest.MonkeyPatch) -> Anonymizer:
    """The anonymizer of `config`, in this process."""
    monkeypatch.syspath_prepend(HERE)
    monkeypatch.delitem(sys.modules, "blob", raising=False)
    return load_anonymizer(config)
