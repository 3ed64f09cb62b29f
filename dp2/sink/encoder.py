"""How video is encoded: codec, quality and speed, also from deface's --ffmpeg-config."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from fractions import Fraction
from types import MappingProxyType
from typing import Any

from dp2.errors import UsageError


@dataclass(frozen=True)
class _Defaults:
    """Measured for libx264 on a 720p street scene: veryfast at crf 22 has a higher PSNR than deface's medium at crf 25
    (40.9 against 40.3 dB) at 2.6 times its speed and 1.24 times its size."""

    crf: float | None = None
    preset: str | None = None
    quantizer: int | None = None
    options: tuple[tuple[str, str], ...] = ()


_DEFAULTS = {
    "libx264": _Defaults(crf=22, preset="veryfast"),
    "libx265": _Defaults(crf=25, preset="veryfast", options=(("x265-params", "log-level=error:info=0"),)),
    "libvpx-vp9": _Defaults(crf=31, options=(("deadline", "realtime"), ("cpu-used", "6"), ("row-mt", "1"))),
    "libsvtav1": _Defaults(crf=32, preset="10"),
    "mpeg4": _Defaults(quantizer=3),
    "mjpeg": _Defaults(quantizer=3),
}
# x264's AVX-512 code gives other pictures when the machine is busy, on one thread too (seen with PyAV 18's).
_STEADY_X264 = "asm=avx2,fma3,bmi2"
_AVX512 = 256  # OpenCV's CPU_AVX512_SKX
_NAMES = {"h264": "libx264", "h265": "libx265", "hevc": "libx265", "vp9": "libvpx-vp9", "av1": "libsvtav1"}

# imageio-ffmpeg's keys, which deface passes on, and the plain names of what they stand for
_KEYS = frozenset(
    {"codec", "quality", "crf", "preset", "bitrate", "pixelformat", "macro_block_size", "fps"}
    | {"ffmpeg_params", "output_params", "input_params", "ffmpeg_log_level", "audio_path", "audio_codec"}
)
_FLAGS = {
    "-c:v": "codec",
    "-vcodec": "codec",
    "-codec:v": "codec",
    "-crf": "crf",
    "-preset": "preset",
    "-b:v": "bitrate",
    "-pix_fmt": "pixelformat",
    "-r": "fps",
}


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """Settings of a video encoder; None leaves the choice to the container or the codec.

    Attributes:
        codec: FFmpeg's name of an encoder.
        crf: constant quality, lower is better; the scale is the codec's.
        quantizer: the same for codecs without crf (mpeg4, mjpeg): 1-31.
        bitrate: bits a second, instead of constant quality.
        preset: speed of the encoder.
        pixel_format: FFmpeg's name.
        macro_block_size: frames are scaled up to multiples of this many pixels.
        fps: constant rate to which the source is to be resampled.
        options: more options of the encoder.
    """

    codec: str | None = None
    crf: float | None = None
    quantizer: int | None = None
    bitrate: int | None = None
    preset: str | None = None
    pixel_format: str | None = None
    macro_block_size: int = 1
    fps: Fraction | None = None
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def from_options(
        cls,
        *,
        codec: str | None = None,
        crf: float | None = None,
        preset: str | None = None,
        ffmpeg_config: str | Mapping[str, Any] | None = None,
    ) -> Encoding:
        """From command line options; named ones go before those of `ffmpeg_config`.

        Raises:
            UsageError: `ffmpeg_config` is no JSON object, or has a key or value that is not known.
        """
        encoding = cls() if ffmpeg_config is None else cls.from_ffmpeg_config(ffmpeg_config)
        named = {"codec": codec and _NAMES.get(codec, codec), "crf": crf, "preset": preset}
        encoding = replace(encoding, **{key: value for key, value in named.items() if value is not None})  # type: ignore[arg-type]
        return encoding if crf is None else replace(encoding, quantizer=None, bitrate=None)

    @classmethod
    def from_ffmpeg_config(cls, config: str | Mapping[str, Any]) -> Encoding:
        """From deface's --ffmpeg-config: keys and meaning as in imageio-ffmpeg.

        Raises:
            UsageError: no JSON object, or a key or value that is not known.
        """
        keys = dict(_parsed(config))
        _refuse_unknown(keys)
        for name in ("output_params", "ffmpeg_params"):
            keys = {**keys, **_from_flags(keys.pop(name, None) or [], name)}
        codec = keys.get("codec")
        codec = None if codec is None else _NAMES.get(str(codec), str(codec))
        crf, quantizer = _number(keys, "crf", float), None
        bitrate = None if keys.get("bitrate") is None else _bits(keys["bitrate"])
        quality = _number(keys, "quality", float)
        if quality is not None and bitrate is None and crf is None:
            crf, quantizer = _imageio_quality(quality, codec or "libx264")
        return cls(
            codec=codec,
            crf=crf,
            quantizer=quantizer,
            bitrate=bitrate,
            preset=None if keys.get("preset") is None else str(keys["preset"]),
            pixel_format=None if keys.get("pixelformat") is None else str(keys["pixelformat"]),
            macro_block_size=max(1, _number(keys, "macro_block_size", int) or 1),
            fps=_rate(keys.get("fps")),
            options=MappingProxyType(keys.get("options", {})),
        )

    def codec_options(self, codec: str) -> dict[str, str]:
        """Options for FFmpeg's encoder `codec`, defaults filled in."""
        defaults = _DEFAULTS.get(codec, _Defaults())
        options = dict(defaults.options)
        crf = self.crf if self.crf is not None or self.bitrate is not None else defaults.crf
        preset = self.preset or defaults.preset
        if crf is not None:
            options["crf"] = f"{crf:g}"
        if preset is not None:
            options["preset"] = preset
        options |= self.options
        if codec == "libx264" and _has_avx512():
            given = options.get("x264-params")
            options["x264-params"] = _STEADY_X264 if given is None else f"{_STEADY_X264}:{given}"
        if codec == "libx265" and "x265-params" in self.options:
            options["x265-params"] = (
                f"log-level=error:{self.options['x265-params']}:info=0"  # no settings in the stream
            )
        return options

    def codec_quantizer(self, codec: str) -> int | None:
        """The quantizer for FFmpeg's encoder `codec`, its default filled in."""
        if self.quantizer is not None or self.bitrate is not None:
            return self.quantizer
        return _DEFAULTS.get(codec, _Defaults()).quantizer


def _has_avx512() -> bool:
    import cv2

    return bool(cv2.checkHardwareSupport(_AVX512))


def _parsed(config: str | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(config, Mapping):
        return config
    try:
        value = json.loads(config)
    except json.JSONDecodeError as error:
        raise UsageError(f'--ffmpeg-config is not JSON: {error}. Example: \'{{"codec": "libx264"}}\'') from None
    if not isinstance(value, dict):
        raise UsageError('--ffmpeg-config must be a JSON object, as in \'{"codec": "libx264"}\'.')
    return value


def _refuse_unknown(keys: Mapping[str, Any]) -> None:
    for key in keys:
        if key not in _KEYS:
            near = get_close_matches(key, _KEYS, n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise UsageError(f"--ffmpeg-config: unknown key {key!r}{hint}; known are {', '.join(sorted(_KEYS))}.")
    if keys.get("audio_path") or keys.get("audio_codec"):
        raise UsageError("--ffmpeg-config: sound cannot be taken from elsewhere; use --keep-audio.")
    if keys.get("input_params"):
        raise UsageError("--ffmpeg-config: input_params have no meaning here; use --start-time, --end-time or --fps.")


def _from_flags(flags: Sequence[Any], name: str) -> dict[str, Any]:
    """ffmpeg's command line, as far as it speaks of the encoder: pairs of -option value."""
    words = [str(flag) for flag in flags]
    if len(words) % 2 or any(not word.startswith("-") for word in words[::2]):
        raise UsageError(f"--ffmpeg-config: {name} must be pairs of an option and its value, not {' '.join(words)!r}.")
    found: dict[str, Any] = {}
    for flag, value in zip(words[::2], words[1::2], strict=True):
        if flag in {"-vf", "-filter:v", "-af", "-filter_complex", "-map", "-i", "-ss", "-t"}:
            raise UsageError(f"--ffmpeg-config: {name}: {flag} is not possible here, only options of the encoder.")
        if flag in _FLAGS:
            found[_FLAGS[flag]] = value
        else:
            found.setdefault("options", {})[flag.removeprefix("-").removesuffix(":v")] = value
    return found


def _imageio_quality(quality: float, codec: str) -> tuple[float | None, int | None]:
    """imageio-ffmpeg 0.6: 0 (worst) to 10 becomes crf 51-0 for libx264 and a quantizer 31-1 for others."""
    if not 0 <= quality <= 10:
        raise UsageError(f"--ffmpeg-config: quality must lie between 0 and 10, not {quality:g}.")
    worse = 1 - quality / 10
    return (int(worse * 51), None) if _DEFAULTS.get(codec, _Defaults()).crf else (None, int(worse * 30) + 1)


def _number(keys: Mapping[str, Any], key: str, kind: type[float] | type[int]) -> Any:
    value = keys.get(key)
    try:
        return None if value is None else kind(value)
    except (TypeError, ValueError):
        raise UsageError(f"--ffmpeg-config: {key} must be a number, not {value!r}.") from None


def _bits(value: Any) -> int:
    text = str(value).strip().lower()
    factor = {"k": 1_000, "m": 1_000_000}.get(text[-1:], 1)
    try:
        return round(float(text.rstrip("km")) * factor)
    except ValueError:
        raise UsageError(f"--ffmpeg-config: bitrate must be a number like 800k or 2M, not {value!r}.") from None


def _rate(value: Any) -> Fraction | None:
    if value is None:
        return None
    try:
        rate = Fraction(str(value)).limit_denominator(1001)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if rate <= 0:
        raise UsageError(f"--ffmpeg-config: fps must be a positive number, not {value!r}.")
    return rate
