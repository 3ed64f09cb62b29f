"""Behind the sound of MP3 nothing is left, and the sound is the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dp2.sink.mp3_frames import AncillaryEraser, _zero_bits


def encoded(path: Path, rate: int, layout: str, options: dict[str, str], kind: str) -> list[bytes]:
    """Packets of two seconds of a tone that comes and goes, noise, or silence in between."""
    time = np.arange(2 * rate) / rate
    wave = {
        "tone": 0.4 * np.sin(2 * np.pi * 440 * time) * (np.sin(5 * time) > 0),
        "noise": np.random.default_rng(0).normal(0, 0.2, len(time)) * (np.sin(9 * time) > -0.5),
        "silence": np.zeros(len(time)),
    }[kind]
    channels = {"mono": 1, "stereo": 2}[layout]
    with av.open(str(path), "w", format="mp3") as out:
        stream: Any = out.add_stream("libmp3lame", rate=rate, options=options)
        stream.codec_context.layout = layout
        frame = av.AudioFrame.from_ndarray(np.stack([wave] * channels).astype(np.float32), "fltp", layout)
        frame.sample_rate = rate
        resampler = av.AudioResampler(stream.codec_context.format, layout, rate, 1152 if rate >= 32_000 else 576)
        packets = [p for piece in resampler.resample(frame) for p in stream.encode(piece)]
        packets += [p for piece in resampler.resample(None) for p in stream.encode(piece)] + stream.encode(None)
    return [bytes(packet) for packet in packets]


def decoded(packets: list[bytes]) -> np.ndarray:
    context: Any = av.CodecContext.create("mp3float", "r")
    frames = [frame for data in packets for frame in context.decode(av.Packet(data))]
    return np.concatenate([frame.to_ndarray() for frame in [*frames, *context.decode(None)]], axis=1)


def erased(packets: list[bytes]) -> list[bytes]:
    eraser: AncillaryEraser[int] = AncillaryEraser()
    final = [item for number, data in enumerate(packets) for item in eraser.push(number, data)]
    final += eraser.flush()
    assert [number for number, _ in final] == list(range(len(packets)))
    return [data for _, data in final]


@pytest.mark.parametrize("kind", ["tone", "noise", "silence"])
@pytest.mark.parametrize("layout", ["mono", "stereo"])
@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100])
@pytest.mark.parametrize("options", [{"b": "64000"}, {"q": "4"}, {"b": "320000"}, {"b": "96000", "reservoir": "0"}])
def test_sound_is_the_same_and_encoders_are_not_named(
    tmp_path: Path, rate: int, layout: str, options: dict[str, str], kind: str
) -> None:
    if rate < 32_000 and options.get("b") == "320000":
        options = {"b": "64000" if rate == 8_000 else "160000"}
    packets = encoded(tmp_path / "a.mp3", rate, layout, options, kind)
    cleaned = erased(packets)
    assert [len(data) for data in cleaned] == [len(data) for data in packets]
    assert np.array_equal(decoded(cleaned), decoded(packets))
    assert b"LAME" not in b"".join(cleaned)


def test_what_was_written_behind_the_sound_is_gone(tmp_path: Path) -> None:
    packets = encoded(tmp_path / "a.mp3", 44_100, "stereo", {"b": "320000"}, "silence")
    assert sum(b"LAME" in data for data in packets) > 10
    hiding = [data.replace(b"LAME", b"SECR") for data in packets]
    assert b"SECR" not in b"".join(erased(hiding))


@given(st.lists(st.binary(max_size=500), max_size=8))
def test_anything_else_goes_through_in_order_and_at_its_length(packets: list[bytes]) -> None:
    damaged = [b"\xff\xfb\x90\x00" + data for data in packets]
    assert [len(data) for data in erased(damaged)] == [len(data) for data in damaged]


@given(st.integers(0, 40), st.integers(0, 40))
def test_bits_are_zeroed_exactly(one: int, other: int) -> None:
    start, end = sorted((one, other))
    data = bytearray(b"\xff" * 5)
    _zero_bits(data, start, end)
    assert "".join(f"{byte:08b}" for byte in data) == "1" * start + "0" * (end - start) + "1" * (40 - end)
