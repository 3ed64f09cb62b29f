"""What a decoder must know of a sound stream, built anew from known fields: containers keep it as opaque private data,
in which encoders and tagging programs put names, dates and pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress

from dp2.sink.bits import Bits
from dp2.sink.vorbis_headers import without_comments

_LONGEST = 1 << 16  # bytes; the headers of Vorbis, the longest, take some thousand
_PLAIN_AAC = {1, 2, 3, 4}  # Main, LC, SSR, LTP: whose configuration is read here
_SBR, _PS = 5, 29
_EXTENDED = {_SBR, _PS}

# Whole in their packets: their private data, if there is any, says nothing that a decoder needs.
_NOTHING_NEEDED = frozenset(["ac3", "eac3", "mp1", "mp2", "mp3", "dts", "truehd", "mlp", "amr_nb", "amr_wb"])

# Some numbers in a fixed place each; bytes.
_NUMBERS = {"wmav1": 4, "wmav2": 10, "wmapro": 18, "tta": 22, "wavpack": 2, "adpcm_ima_wav": 2, "adpcm_ms": 32}


def is_pcm(codec: str) -> bool:
    """Whether a codec is samples one after the other; `codec` as FFmpeg names it."""
    return codec.startswith("pcm_") and codec not in {"pcm_bluray", "pcm_dvd", "pcm_vidc"}


def safe_header(codec: str, private: bytes | None) -> bytes | None:
    """The private data of a sound stream, built anew.

    Args:
        codec: FFmpeg's name.
        private: what the container holds.

    Returns:
        None where none is needed.

    Raises:
        ValueError: it cannot be told from other things that may be in it; the sound must be coded again.
    """
    if is_pcm(codec) or codec in _NOTHING_NEEDED:
        return None
    if private is not None and len(private) == _NUMBERS.get(codec):
        return private
    build = _BUILDERS.get(codec)
    if not private:
        if build is None or codec == "aac":  # of which each packet may carry its configuration (ADTS)
            return None
        raise ValueError("its header is missing")
    if build is None or len(private) > _LONGEST:
        raise ValueError("its header is of no known form")
    return build(private)


def _opus(private: bytes) -> bytes:
    """RFC 7845, 5.1."""
    if len(private) < 19 or private[:8] != b"OpusHead" or private[8] != 1:
        raise ValueError("not the header of Opus")
    channels, family = private[9], private[18]
    size = 19 if family == 0 else 21 + channels
    if (family == 0 and channels > 2) or family not in {0, 1, 255} or len(private) < size:
        raise ValueError("not the header of Opus")
    return private[:size]


def _flac(private: bytes) -> bytes:
    """STREAMINFO (RFC 9639, 8.2), alone or the first block of a file's beginning. Its digest of the samples goes too:
    it tells which recording this is."""
    if private[:4] == b"fLaC":
        if len(private) < 42 or private[4] & 0x7F != 0 or private[5:8] != b"\0\0\x22":
            raise ValueError("not the header of FLAC")
        private = private[8:]
    if len(private) < 34:
        raise ValueError("not the header of FLAC")
    return private[:18] + bytes(16)


def _alac(private: bytes) -> bytes:
    """An atom `alac` with 24 bytes of configuration."""
    if private[4:8] == b"alac" and len(private) >= 36:
        private = private[12:]
    elif len(private) != 24:
        raise ValueError("not the header of ALAC")
    return (36).to_bytes(4, "big") + b"alac" + bytes(4) + private[:24]


def _aac(private: bytes) -> bytes:
    """AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1) without comments and without what may follow."""
    bits = Bits(private)
    kind = bits.read(5)
    _skip_rate(bits)
    channels = bits.read(4)
    if kind in _EXTENDED:
        _skip_rate(bits)
    if (bits.read(5) if kind in _EXTENDED else kind) not in _PLAIN_AAC:
        raise ValueError("AAC of another kind")
    bits.skip(1)
    if bits.read(1):
        bits.skip(14)
    if bits.read(1):
        raise ValueError("AAC of another kind")
    if channels:
        return _extended(bits, private, b"", 0) if kind not in _EXTENDED else bits.before()
    _skip_channels(bits)
    bits.align()
    start = bits.before() + b"\0"  # a comment of no bytes
    bits.skip(8 * bits.read(8))
    return _extended(bits, private, start, bits.position // 8) if kind not in _EXTENDED else start


def _extended(bits: Bits, private: bytes, start: bytes, after: int) -> bytes:
    """`start` and what was read since byte `after`, with the extensions that say whether SBR and PS are in use."""
    end = bits.position
    with suppress(ValueError):
        if bits.read(11) == 0x2B7 and bits.read(5) == _SBR:
            if bits.read(1):
                _skip_rate(bits)
            end = bits.position
            if bits.read(11) == 0x548:
                bits.skip(1)
                end = bits.position
    rest = Bits(private[after:])
    rest.position = end - 8 * after
    return start + rest.before()


def _skip_rate(bits: Bits) -> None:
    if bits.read(4) == 15:
        bits.skip(24)


def _skip_channels(bits: Bits) -> None:
    """A program_config_element (4.4.1.1) up to its comment."""
    bits.skip(4 + 2 + 4)
    front, side, back = bits.read(4), bits.read(4), bits.read(4)
    low, associated, coupling = bits.read(2), bits.read(3), bits.read(4)
    for length in (4, 4, 3):  # mixdown to mono, to stereo, by matrix
        if bits.read(1):
            bits.skip(length)
    bits.skip(5 * (front + side + back + coupling) + 4 * (low + associated))


_BUILDERS: Mapping[str, Callable[[bytes], bytes]] = {
    "aac": _aac,
    "alac": _alac,
    "flac": _flac,
    "opus": _opus,
    "vorbis": without_comments,
}
