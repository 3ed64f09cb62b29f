"""Sound that is kept says nothing but what is heard, and sounds the same."""

from __future__ import annotations

import random
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from dp2.errors import UnsupportedMedia
from dp2.sink.video import VideoSink
from dp2.source.video import VideoSource

Change = Callable[[bytes, int], bytes]


def copy(path: Path, target: Path, **options: Any) -> tuple[str, ...]:
    """The notes of copying a video with its sound."""
    source = VideoSource(path)
    sink = VideoSink(target, source.info, keep_audio=True, **options)
    try:
        for frame in source:
            sink.write(frame)
        sink.finish()
    except BaseException:
        sink.discard()
        raise
    return sink.notes


def heard(path: Path, stream: int = 0) -> np.ndarray:
    """(channels, N): all samples."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray() for frame in container.decode(container.streams.audio[stream])]
    return np.concatenate(frames, axis=1)


def codec(path: Path) -> str:
    with av.open(str(path)) as container:
        return container.streams.audio[0].codec_context.name


def clip(path: Path, sound: str, *, rate: int = 48_000, layout: str = "stereo", form: str | None = None) -> Path:
    """Half a second of video with a tone."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=30)
        video.codec_context.width, video.codec_context.height, video.codec_context.pix_fmt = 64, 48, "yuv420p"
        audio: Any = out.add_stream(sound, rate=rate)
        audio.codec_context.layout = layout
        audio.codec_context.flags |= 1 << 23  # no name of the encoder
        if sound == "wmav2":
            audio.codec_context.bit_rate = 128_000
        if form is not None:
            audio.codec_context.format = form
        for index in range(15):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 10 * index, np.uint8), "rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 30)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        channels = audio.codec_context.layout.nb_channels
        resampler = av.AudioResampler(audio.codec_context.format, layout, rate, audio.codec_context.frame_size or 1024)
        time = np.arange(rate // 2) / rate
        wave = np.stack([0.3 * np.sin(2 * np.pi * (300 + 200 * number) * time) for number in range(channels)])
        tone = av.AudioFrame.from_ndarray(wave.astype(np.float32), "fltp", layout)
        tone.sample_rate, tone.pts, tone.time_base = rate, 0, Fraction(1, rate)
        for piece in [*resampler.resample(tone), *resampler.resample(None)]:
            out.mux(audio.encode(piece))
        out.mux(audio.encode(None))
    return path


def rewritten(path: Path, target: Path, *, header: Callable[[bytes], bytes] | None = None,
              packets: Change | None = None, before: tuple[bytes, ...] = ()) -> Path:  # fmt: skip
    """A copy with another private data of the sound, other packets of it, and packets before them."""
    with av.open(str(path)) as source, av.open(str(target), "w") as out:
        added = {stream.index: out.add_stream_from_template(stream) for stream in source.streams}
        audio = source.streams.audio[0]
        if header is not None:
            added[audio.index].codec_context.extradata = header(audio.codec_context.extradata or b"")
        out.start_encoding()
        number = 0
        for packet in source.demux():
            if not packet.size:
                continue
            data = [bytes(packet)]
            if packet.stream.index == audio.index:
                data = [packets(data[0], number) if packets is not None else data[0]]
                data = [*before, *data] if number == 0 else data
                number += 1
            for place, piece in enumerate(data):
                made: Any = av.Packet(piece)
                if place == len(data) - 1 and packet.has_sidedata("skip_samples"):
                    made.set_sidedata(packet.get_sidedata("skip_samples"))
                made.pts, made.dts, made.duration = packet.pts, packet.dts, packet.duration
                made.time_base, made.is_keyframe = packet.time_base, packet.is_keyframe
                made.stream = added[packet.stream.index]
                out.mux(made)
    return target


@pytest.mark.parametrize("suffix", [".mkv", ".webm"])
def test_comments_of_vorbis_go_and_the_sound_is_the_same(shared_cases: Path, tmp_path: Path, suffix: str) -> None:
    source, target = shared_cases / "vorbis_comment_in_codec_private.mkv", tmp_path / f"a{suffix}"
    assert b"SECRET" in source.read_bytes()
    assert copy(source, target) == ()
    assert b"SECRET" not in target.read_bytes()
    assert np.array_equal(heard(target), heard(source))


@pytest.mark.parametrize(
    ("name", "sound", "form"),
    [
        ("a.mkv", "libopus", None),
        ("a.mp4", "libopus", None),
        ("a.mkv", "flac", "s16"),
        ("a.mp4", "flac", "s16"),
        ("a.mkv", "alac", "s16p"),
        ("a.mov", "alac", "s16p"),
        ("a.mkv", "aac", None),
        ("a.mov", "aac", None),
        ("a.mkv", "libmp3lame", None),
        ("a.mp4", "libmp3lame", None),
        ("a.mkv", "pcm_s24le", None),
        ("a.mov", "pcm_s16be", None),
        ("a.mkv", "ac3", None),
        ("a.avi", "pcm_s16le", None),
    ],
)
def test_sound_is_bit_for_bit_the_same(tmp_path: Path, name: str, sound: str, form: str | None) -> None:
    source, target = clip(tmp_path / name, sound, form=form), tmp_path / f"b{Path(name).suffix}"
    assert copy(source, target) == ()
    assert np.array_equal(heard(target), heard(source))


@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1"])
def test_padding_of_opus_is_zeroed(tmp_path: Path, layout: str) -> None:
    def padded(data: bytes, _: int) -> bytes:
        # One frame of code 0 becomes code 3 with padding; in 5.1 it is the last of four streams, which is left alone.
        return data if data[0] & 3 or layout == "5.1" else bytes([data[0] | 3, 65, 6]) + data[1:] + b"SECRET"

    plain = clip(tmp_path / "plain.mkv", "libopus", layout=layout)
    source = rewritten(plain, tmp_path / "a.mkv", header=lambda header: header + b"SECRET", packets=padded)
    assert b"SECRET" in source.read_bytes()
    copy(source, tmp_path / "b.mkv")
    assert b"SECRET" not in (tmp_path / "b.mkv").read_bytes()
    assert np.array_equal(heard(tmp_path / "b.mkv"), heard(plain))


def test_what_follows_the_configuration_of_aac_goes(tmp_path: Path) -> None:
    plain = clip(tmp_path / "plain.mp4", "aac")
    source = rewritten(plain, tmp_path / "a.mkv", header=lambda header: header + b"SECRET")
    assert b"SECRET" in source.read_bytes()
    assert copy(source, tmp_path / "b.mkv") == ()
    assert b"SECRET" not in (tmp_path / "b.mkv").read_bytes()
    assert np.array_equal(heard(tmp_path / "b.mkv"), heard(source))


def bits(data: bytes) -> str:
    return "".join(f"{byte:08b}" for byte in data)


def packed(text: str) -> bytes:
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big")


def data_element(payload: bytes) -> str:
    """A data_stream_element, not aligned (ISO/IEC 14496-3, 4.4.1.1)."""
    return "100" + "0000" + "0" + f"{len(payload):08b}" + bits(payload)


def fill_element(payload: bytes) -> str:
    """A fill_element of kind 0."""
    count = len(payload) + 1
    return "110" + (f"{count:04b}" if count < 15 else "1111" + f"{count - 14:08b}") + "0000" + "0000" + bits(payload)


@pytest.mark.parametrize("element", [data_element, fill_element])
@pytest.mark.parametrize("first", [True, False])
def test_aac_that_carries_data_is_coded_again(tmp_path: Path, element: Callable[[bytes], str], first: bool) -> None:
    payload = b"SECRET PICTURE " * 3

    def carrying(data: bytes, number: int) -> bytes:
        if number != 7:
            return data
        if first:
            return packed(element(payload) + bits(data))
        return packed(bits(data).rstrip("0").removesuffix("111") + element(payload) + "111")

    plain = clip(tmp_path / "plain.mp4", "aac")
    source = rewritten(plain, tmp_path / "a.mp4", packets=carrying)
    assert np.array_equal(heard(source), heard(plain))
    (note,) = copy(source, tmp_path / "b.mp4")
    assert "coded again as AAC" in note
    with av.open(str(tmp_path / "b.mp4")) as container:
        text = "".join(bits(bytes(packet)) for packet in container.demux(audio=0))
    assert bits(b"SECRET") not in text
    again, original = heard(tmp_path / "b.mp4")[0], heard(plain)[0]
    shared = min(len(again), len(original)) - 4096
    assert np.corrcoef(again[2048:shared], original[2048:shared])[0, 1] > 0.99


def test_tags_between_frames_of_mp3_go(tmp_path: Path) -> None:
    tags = (b"ID3\x04\0\0\0\0\0\x0aSECRET1234", b"APETAGEX SECRET" + bytes(40))
    plain = clip(tmp_path / "plain.mkv", "libmp3lame")

    def followed(data: bytes, number: int) -> bytes:
        return data + b"TAGSECRET" + bytes(119) if number == 9 else data

    source = rewritten(plain, tmp_path / "a.mkv", packets=followed, before=tags)
    assert source.read_bytes().count(b"SECRET") == 3
    copy(source, tmp_path / "b.mkv")
    assert b"SECRET" not in (tmp_path / "b.mkv").read_bytes()
    assert np.array_equal(heard(tmp_path / "b.mkv"), heard(plain))


def test_numbers_and_names_in_the_first_frame_of_mp3_go(tmp_path: Path) -> None:
    plain = clip(tmp_path / "plain.mkv", "libmp3lame")
    with av.open(str(plain)) as container:
        first = next(bytes(packet) for packet in container.demux(audio=0))
    side = 36  # of MPEG 1, stereo, without a checksum
    silent = first[:4] + bytes(32) + b"Info" + bytes(8) + b"LAME3.100 SECRET"
    silent += bytes(len(first) - len(silent))
    source = rewritten(plain, tmp_path / "a.mkv", before=(silent,))
    assert b"SECRET" in source.read_bytes()
    copy(source, tmp_path / "b.mkv")
    written = (tmp_path / "b.mkv").read_bytes()
    assert b"SECRET" not in written
    assert first[:4] + bytes(side - 4) + bytes(12) in written
    assert np.array_equal(heard(tmp_path / "b.mkv"), heard(source))


def test_sound_with_private_data_of_an_unknown_form_is_coded_again(tmp_path: Path) -> None:
    plain = clip(tmp_path / "plain.avi", "wmav2")
    source = rewritten(plain, tmp_path / "a.avi", header=lambda header: header + b"SECRET")
    assert b"SECRET" in source.read_bytes()
    assert copy(plain, tmp_path / "b.avi") == ()
    (note,) = copy(source, tmp_path / "c.avi")
    assert "(wmav2) was coded again as MP3: its header is of no known form" in note
    assert b"SECRET" not in (tmp_path / "c.avi").read_bytes()
    assert abs(heard(tmp_path / "c.avi").shape[1] - heard(plain).shape[1]) < 3000


def test_pcm_of_the_case_becomes_sound_that_mp4_holds(shared_cases: Path, tmp_path: Path) -> None:
    (note,) = copy(shared_cases / "pcm_sound.avi", tmp_path / "b.mp4")
    assert "cannot hold its sound (pcm_s16le), which became AAC" in note
    assert ".mkv" in note
    assert codec(tmp_path / "b.mp4") == "aac"
    assert (
        abs(float(np.std(heard(tmp_path / "b.mp4"))) - float(np.std(heard(shared_cases / "pcm_sound.avi") / 32768)))
        < 0.02
    )


@pytest.mark.parametrize(
    ("sound", "source", "target", "becomes", "rate", "layout"),
    [
        ("pcm_u8", ".avi", ".mp4", "aac", 11_025, "mono"),
        ("pcm_s24le", ".mkv", ".mp4", "aac", 44_100, "stereo"),
        ("pcm_f32le", ".mkv", ".webm", "opus", 44_100, "stereo"),
        ("pcm_s16le", ".mkv", ".mp4", "aac", 192_000, "5.1"),
        ("pcm_s16le", ".mkv", ".ts", "aac", 8_000, "mono"),
        ("flac", ".mkv", ".mov", "aac", 48_000, "stereo"),
        ("alac", ".mov", ".avi", "mp3float", 48_000, "5.1"),
        ("wmav2", ".asf", ".mp4", "aac", 44_100, "stereo"),
        ("adpcm_ima_wav", ".avi", ".mp4", "aac", 22_050, "mono"),
    ],
)
def test_sound_that_does_not_fit_is_coded_again(
    tmp_path: Path, sound: str, source: str, target: str, becomes: str, rate: int, layout: str
) -> None:
    path = clip(tmp_path / f"a{source}", sound, rate=rate, layout=layout)
    (note,) = copy(path, tmp_path / f"b{target}")
    assert f"({sound})" in note
    assert codec(tmp_path / f"b{target}") in {becomes, f"lib{becomes}"}
    with av.open(str(tmp_path / f"b{target}")) as container:
        frames = list(container.decode(audio=0))
    seconds = sum(frame.samples / frame.sample_rate for frame in frames)
    assert abs(seconds - 0.5) < 0.15
    tone = np.concatenate([frame.to_ndarray() for frame in frames], axis=1)[0].astype(float)
    spectrum = np.abs(np.fft.rfft(tone * np.hanning(len(tone))))
    loudest = np.argmax(spectrum) * frames[0].sample_rate / len(tone)
    assert abs(loudest - 300) < 210 if "5.1" in layout and target == ".avi" else abs(loudest - 300) < 15


def test_sound_coded_again_keeps_its_place_in_a_span(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mkv", "pcm_s16le")
    source = VideoSource(path, start=0.2, end=0.4)
    sink = VideoSink(tmp_path / "b.mp4", source.info, keep_audio=True, start=0.2, end=0.4)
    for frame in source:
        sink.write(frame)
    sink.finish()
    with av.open(str(tmp_path / "b.mp4")) as container:
        times = [frame.time for frame in container.decode(audio=0)]
    assert abs(times[0]) < 0.06
    assert 0.1 < times[-1] < 0.26


def test_sound_with_losses_is_refused_where_it_does_not_fit(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedMedia, match=r"webm cannot hold the sound of a\.mp4 \(mp3"):
        copy(clip(tmp_path / "a.mp4", "libmp3lame"), tmp_path / "b.webm")
    assert not (tmp_path / "b.webm").exists()


def test_tags_of_sound_are_sifted(tmp_path: Path) -> None:
    path, coded = tmp_path / "a.mkv", random.Random(0).randbytes(300).hex()
    with av.open(str(path), "w") as out, av.open(str(clip(tmp_path / "plain.mkv", "aac"))) as plain:
        added = {stream.index: out.add_stream_from_template(stream) for stream in plain.streams}
        added[1].metadata.update({"title": "Anna speaks", "language": "fin", "COVER": coded})
        for packet in plain.demux():
            if packet.size:
                packet.stream = added[packet.stream.index]
                out.mux(packet)
    assert copy(path, tmp_path / "b.mkv") == ()
    (note,) = copy(path, tmp_path / "c.mkv", keep_metadata=True)
    assert "COVER" in note
    assert b"Anna" not in (tmp_path / "b.mkv").read_bytes()
    with av.open(str(tmp_path / "c.mkv")) as container:
        tags = {key.lower(): value for key, value in container.streams.audio[0].metadata.items()}
    assert (tags["title"], tags["language"]) == ("Anna speaks", "fin")
    assert coded.encode() not in (tmp_path / "c.mkv").read_bytes()
