"""Private data of sound is built anew: what decoders need is in it, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dp2.sink.bits import Bits
from dp2.sink.sound_headers import safe_header
from dp2.sink.sound_packets import PacketCleaner

STREAMINFO = bytes.fromhex("1000 1000 00000e 000010 0bb802f0 0005dc00".replace(" ", "")) + b"MD5 OF THE SOUND"
COMMENT = b"\x04\0\0\x06SECRET" + b"\x86\0\0\x06SECRET"  # VORBIS_COMMENT and, last, PICTURE
ALAC = bytes.fromhex("00001000 00 10 28 0a 0e 02 00ff 00000000 00000000 0000bb80".replace(" ", ""))
OPUS = b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0"


def packed(text: str) -> bytes:
    text = text.replace(" ", "")
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big")


@pytest.mark.parametrize("private", [STREAMINFO, b"fLaC\0\0\0\x22" + STREAMINFO + COMMENT, STREAMINFO + COMMENT])
def test_flac_keeps_its_parameters_only(private: bytes) -> None:
    assert safe_header("flac", private) == STREAMINFO[:18] + bytes(16)


@pytest.mark.parametrize(
    "private", [ALAC, b"\0\0\0\x24alac\0\0\0\0" + ALAC, b"\0\0\0\x2aalac\0\0\0\0" + ALAC + b"SECRET"]
)
def test_alac_keeps_its_parameters_only(private: bytes) -> None:
    assert safe_header("alac", private) == b"\0\0\0\x24alac\0\0\0\0" + ALAC


def test_opus_keeps_its_parameters_only() -> None:
    assert safe_header("opus", OPUS + b"\0SECRET") == OPUS + b"\0"
    six = b"\x04\x02\0\x04\x01\x02\x03\x05"
    assert safe_header("opus", OPUS[:9] + b"\x06" + OPUS[10:] + b"\x01" + six + b"SECRET") == (
        OPUS[:9] + b"\x06" + OPUS[10:] + b"\x01" + six
    )


@pytest.mark.parametrize(
    ("private", "kept"),
    [
        ("00010 0011 0010 0 0 0", "00010 0011 0010 0 0 0"),  # LC, 48 kHz, stereo
        ("00010 1111 000000001111101000000000 0001 0 0 0", "00010 1111 000000001111101000000000 0001 0 0 0"),
        ("00010 0110 0010 0 0 0 01010110111 00101 1 0011", "00010 0110 0010 0 0 0 01010110111 00101 1 0011"),
        ("00010 0110 0010 0 0 0 01010110111 00101 1 0011 10101001000 1",
         "00010 0110 0010 0 0 0 01010110111 00101 1 0011 10101001000 1"),
        ("00101 0110 0010 0011 00010 0 0 0", "00101 0110 0010 0011 00010 0 0 0"),  # HE-AAC
        # channels named one by one, with a comment of six bytes
        ("00010 0011 0000 0 0 0" "0000 01 0011 0001 0000 0000 00 000 0000 0 0 0" "1 0000" "0 00000110"
         + "".join(f"{byte:08b}" for byte in b"SECRET"),
         "00010 0011 0000 0 0 0" "0000 01 0011 0001 0000 0000 00 000 0000 0 0 0" "1 0000" "0 00000000"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("rest", [b"", b"SECRET"])
def test_aac_keeps_its_configuration_only(private: str, kept: str, rest: bytes) -> None:
    bits = packed(private)
    header = safe_header("aac", bits + rest)
    assert header == packed(kept)
    assert b"SECRET" not in header


@pytest.mark.parametrize(
    ("codec", "private"),
    [
        ("aac", packed("10111 0011 0010 0")),  # ER AAC LD
        ("aac", b"\x11"),
        ("flac", STREAMINFO[:20]),
        ("flac", b"fLaC\x04\0\0\x22" + STREAMINFO),
        ("alac", ALAC[:20]),
        ("opus", b"OpusTags" + bytes(20)),
        ("opus", OPUS[:9] + b"\xff" + OPUS[10:] + b"\x01\0\0"),
        ("vorbis", b"\x02\x1e\x10" + bytes(60)),
        ("vorbis", b"\x02" + b"\xff" * 400),
        ("vorbis", b"\x02" + bytes(1 << 17)),
        ("wmav2", bytes(16)),
        ("speex", bytes(80)),
        ("cook", b"SECRET"),
        ("flac", None),
        ("vorbis", b""),
    ],
)
def test_what_cannot_be_told_from_other_data_is_refused(codec: str, private: bytes | None) -> None:
    with pytest.raises(ValueError, match=r"."):
        safe_header(codec, private)


def test_sound_that_needs_no_private_data_gets_none() -> None:
    for codec in ("mp3", "ac3", "pcm_s16le", "pcm_u8"):
        assert safe_header(codec, b"SECRET") is None
    assert safe_header("aac", None) is None  # ADTS


@given(st.sampled_from(["aac", "alac", "flac", "opus", "vorbis"]), st.binary(max_size=300))
def test_any_private_data_is_built_anew_or_refused(codec: str, private: bytes) -> None:
    try:
        header = safe_header(codec, private)
    except ValueError:
        return
    assert header is None or len(header) <= max(len(private), 40)
    assert header is None or safe_header(codec, header) == header


@given(st.binary(max_size=300))
def test_truncated_and_altered_headers_of_vorbis_end_in_time(shared_vorbis: bytes, noise: bytes) -> None:
    for private in (shared_vorbis[: len(noise) * 13], shared_vorbis[:900] + noise + shared_vorbis[900 + len(noise) :]):
        try:
            header = safe_header("vorbis", private)
        except ValueError:
            continue
        assert header is not None
        assert b"SECRET" not in header[:60]


@pytest.fixture(scope="session")
def shared_vorbis(shared_cases: Path) -> bytes:
    with av.open(str(shared_cases / "vorbis_comment_in_codec_private.mkv")) as container:
        return container.streams.audio[0].codec_context.extradata or b""


def test_bits_in_both_orders() -> None:
    highest, lowest = Bits(b"\xa5\x0f"), Bits(b"\xa5\x0f", lowest_first=True)
    assert [highest.read(3), highest.read(7), highest.before()] == [0b101, 0b0010100, b"\xa5\x00"]
    assert [lowest.read(3), lowest.read(7), lowest.before()] == [0b101, 0b1110100, b"\xa5\x03"]
    with pytest.raises(ValueError, match="ends early"):
        highest.read(7)


def frame(content: bytes) -> bytes:
    """A frame of MPEG 1, layer 3, 128 kbit/s, 48 kHz: 384 bytes."""
    return b"\xff\xfb\x94\x00" + bytes(32) + content + bytes(348 - len(content))


@pytest.mark.parametrize(
    ("data", "kept"),
    [
        (frame(b"sound"), frame(b"sound")),
        (frame(b"sound") + b"TAGSECRET", frame(b"sound")),
        (frame(b"a") + frame(b"b"), frame(b"a") + frame(b"b")),
        (b"ID3\x04\0\0\0\0\0\x06\xff\xfb\x94SECR" + frame(b"sound"), frame(b"sound")),
        (b"APETAGEX\xff\xff\xff SECRET" + frame(b"a") + frame(b"b"), frame(b"a") + frame(b"b")),
        (frame(b"Xing SECRET"), frame(b"")),
        (frame(b"a") + frame(b"sound")[:100], frame(b"a")),
        (b"\xff" * 50_000, b""),
        (b"SECRET", b""),
    ],
)
def test_packets_of_mp3_hold_frames_only(data: bytes, kept: bytes) -> None:
    packet: Any = av.Packet(data)
    packet.time_base = 1
    cleaned = PacketCleaner("mp3", None)(packet)
    assert (b"" if cleaned is None else bytes(cleaned)) == kept
