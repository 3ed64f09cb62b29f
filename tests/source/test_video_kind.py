from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from dp2.source.folder import kind_of
from dp2.source.motion_jpeg import is_motion_jpeg
from dp2.source.video import VideoSource
from dp2.source.video_kind import is_video


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.avi", "a.ts", "a.webm", "a.flv"])
def test_video_is_known_by_its_content_under_any_name(clips, name: str) -> None:
    codec = "libvpx-vp9" if name == "a.webm" else "libx264"
    path = clips.make(name, 5, codec=codec)
    assert is_video(path)
    assert is_video(path.rename(path.with_name("photo.jpg")))


def test_picture_is_no_video_under_any_name(tmp_path: Path) -> None:
    image = Image.fromarray(np.zeros((8, 8, 3), np.uint8))
    for kind in ("png", "jpeg", "gif", "webp", "bmp", "tiff", "avif"):
        path = tmp_path / f"{kind}.mp4"
        image.save(path, kind)
        assert not is_video(path), kind


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_animation_is_a_video(tmp_path: Path, kind: str) -> None:
    images = [Image.fromarray(np.full((8, 8, 3), 99 * i, np.uint8)) for i in range(3)]
    images[0].save(tmp_path / f"a.{kind}", save_all=True, append_images=images[1:])
    assert is_video(tmp_path / f"a.{kind}")


def test_unknown_content_counts_by_name(tmp_path: Path) -> None:
    for name, expected in {"a.mp4": True, "a.txt": False, "a.jpg": False}.items():
        (tmp_path / name).write_text("Good morning, good day. " * 40)
        assert is_video(tmp_path / name) is expected
    assert is_video(tmp_path / "missing.mkv")


def jpeg(shade: int, size: tuple[int, int] = (64, 48), **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (shade, shade, shade)).save(buffer, "JPEG", **options)
    return buffer.getvalue()


@pytest.mark.parametrize("suffix", [".mjpeg", ".mjpg", ".avi", ".MJPEG"])
def test_jpeg_pictures_one_after_the_other_are_a_video(tmp_path: Path, suffix: str, exif) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"".join(jpeg(40 + 10 * i, exif=exif(1) if i == 0 else b"") for i in range(7)))
    assert is_video(path)
    assert kind_of(path) == "video"
    frames = list(VideoSource(path))
    assert [round(float(frame.image.mean()), -1) for frame in frames] == [40 + 10 * i for i in range(7)]


def test_one_jpeg_or_a_photo_with_more_inside_is_a_photo(tmp_path: Path, exif) -> None:
    one, several = jpeg(40, exif=exif(1)), tmp_path / "a.jpg"
    several.write_bytes(one + jpeg(80))  # as photos with a second picture for depth or brightness
    (tmp_path / "a.mjpeg").write_bytes(one)
    (tmp_path / "b.mjpeg").write_bytes(one + b"trailer")
    for path in tmp_path.iterdir():
        assert not is_video(path), path
        assert kind_of(path) == "image", path


def test_upload_is_judged_by_the_name_that_it_had(tmp_path: Path) -> None:
    path = tmp_path / "source"
    path.write_bytes(jpeg(40) + jpeg(50))
    assert kind_of(path, ".mjpeg") == "video"
    assert kind_of(path, ".jpg") == "image"
    assert kind_of(path) == "image"


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"\xff\xd8" + b"\xff" * 5000, b"\xff\xd8\xff\xe0\xff\xff" * 99])
def test_damaged_jpeg_is_no_motion_jpeg(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.mjpeg").write_bytes(data)
    assert not is_motion_jpeg(tmp_path / "a.mjpeg")


def test_shared_mjpeg(shared_cases: Path) -> None:
    assert kind_of(shared_cases / "stream.mjpeg") == "video"
    assert len(list(VideoSource(shared_cases / "stream.mjpeg"))) == 31


def test_dv(tmp_path: Path) -> None:
    path = tmp_path / "a.dv"
    with av.open(str(path), "w", format="dv") as out:
        stream = out.add_stream("dvvideo", rate=25)
        stream.width, stream.height, stream.pix_fmt = 720, 576, "yuv420p"
        for index in range(5):
            picture = np.full((576, 720, 3), 50 + 20 * index, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        out.mux(stream.encode())
    assert kind_of(path) == "video"
    assert is_video(path.rename(tmp_path / "unknown"))
    source = VideoSource(tmp_path / "unknown")
    assert [round(float(frame.image.mean()), -1) for frame in source] == [50, 70, 90, 110, 130]
    assert (source.info.average_rate, source.info.frames, source.info.pixel_aspect.numerator) == (25, 5, 16)


def test_motion_jpeg_2000(tmp_path: Path) -> None:
    path = tmp_path / "a.mj2"
    options = {"brand": "mjp2", "movflags": "frag_keyframe+empty_moov+default_base_moof"}
    with av.open(str(path), "w", format="mp4", options=options) as out:
        stream = out.add_stream("jpeg2000", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(5):
            picture = np.full((48, 64, 3), 50 + 20 * index, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        out.mux(stream.encode())
    path.write_bytes(bytes.fromhex("0000000c6a5020200d0a870a") + path.read_bytes())  # ISO/IEC 15444-3: its signature
    assert kind_of(path) == "video"
    assert is_video(path.rename(tmp_path / "unknown"))
    assert len(list(VideoSource(tmp_path / "unknown"))) == 5


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_orientation_in_the_exif_of_motion_jpeg(tmp_path: Path, orientation: int, exif) -> None:
    """FFmpeg makes a display matrix of it; PyAV stumbles over the EXIF itself."""
    picture = Image.new("RGB", (64, 48), (30, 30, 30))
    picture.paste((230, 230, 230), (0, 0, 24, 24))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", exif=exif(orientation))
    (tmp_path / "a.mjpeg").write_bytes(buffer.getvalue() * 3)
    source = VideoSource(tmp_path / "a.mjpeg")
    turned = {
        1: picture,
        3: picture.rotate(180),
        6: picture.rotate(-90, expand=True),
        8: picture.rotate(90, expand=True),
    }
    expected = np.asarray(turned[orientation]).astype(int)
    for frame in source:
        assert frame.image.shape == expected.shape == (source.info.height, source.info.width, 3)
        assert np.abs(frame.image - expected).mean() < 5
