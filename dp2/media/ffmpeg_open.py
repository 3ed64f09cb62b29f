"""The one door through which FFmpeg opens anything, so that no name and no content leads it elsewhere.

FFmpeg takes what it is given for a URL: `http:host`, `concat:a|b` and even `12:30.mp4` name protocols. Some of its
formats are texts that name further files or hosts (ffconcat, HLS, DASH, SDP). So files are always given as `file:`
with their absolute path, protocols are listed, and so are formats.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

# Formats that hold everything in one file. Not here: texts that name other files, devices, single pictures, and
# formats that draw text files (tty, ansi).
_FORMATS = (
    # containers
    "mov mp4 m4a 3gp 3g2 mj2 matroska webm avi mpegts mpeg asf asf_o flv live_flv ogg rm ivr nut mxf gxf lxf wtv ty "
    "dhav kux nsv nuv pva mpjpeg swf yuv4mpegpipe ivf obu dv vividas vivo "
    # bare streams of one codec
    "h264 hevc vvc evc av1 m4v mpegvideo mjpeg mjpeg_2000 smjpeg h261 h263 vc1 vc1test dirac dnxhd cavsvideo avs2 avs3 "
    "apv amv "
    # of games, old systems and measuring devices
    "4xm bethsoftvid bfi bink bmv c93 cdxl cine dfa dsicin dxa ea film_cpk filmstrip flic gdv hnm idcin iff ipu "
    "ipmovie iv8 jv lmlm4 lvf mgsts mlv mm moflex msnwctcp mtv mv mvi paf pmp psxstr r3d rl2 roq rpl ser sga siff smk "
    "smush thp tiertexseq tmv usm vc1test vmd wc3movie wsvqa xmv yop gif apng webp "
    # sound
    "aac ac3 ac4 aiff amr ape au caf dts dtshd eac3 flac loas mlp mp3 mpc mpc8 oma tak truehd tta voc w64 wav wv xwma"
)
_FILE: Mapping[str, str] = {"protocol_whitelist": "file", "format_whitelist": ",".join(_FORMATS.split())}

# Of cameras and servers: what each kind of address may lead to. Never to files.
_HTTP = "http,https,httpproxy,tcp,tls,crypto"
_RTP = "rtp,rtsp,udp,tcp,tls,srtp,crypto"
_PROTOCOLS = {
    "http": _HTTP,
    "https": _HTTP,
    "rtsp": f"{_RTP},{_HTTP}",
    "rtsps": f"{_RTP},{_HTTP}",
    "rtp": _RTP,
    "udp": "udp",
    "tcp": "tcp",
    "srt": "srt",
    "rtmp": "rtmp,tcp",
    "rtmps": "rtmps,tls,tcp",
}
STREAM_SCHEMES = frozenset(_PROTOCOLS)
_STREAM_FORMATS = f"{_FILE['format_whitelist']},rtsp,rtp,hls,mpegtsraw"


def open_media(path: Path, demuxer: str | None = None) -> InputContainer:
    """Open a media file for reading.

    Args:
        path: the file.
        demuxer: FFmpeg's name of its format, where its content alone would not tell.

    Raises:
        av.FFmpegError: it is missing, damaged, or of a format that is not opened.
    """
    return av.open(file_url(path), format=demuxer, metadata_errors="replace", container_options=dict(_FILE))


def open_stream(url: str, timeout: float) -> InputContainer:
    """Open a camera or server by its address, of a scheme in `STREAM_SCHEMES`.

    Raises:
        ValueError: another scheme.
        av.FFmpegError: there is nothing to be had.
    """
    scheme = urlsplit(url).scheme.lower()
    if scheme not in STREAM_SCHEMES:
        raise ValueError(f"{scheme!r} is no scheme of a stream")
    options: dict[str, Any] = {"protocol_whitelist": _PROTOCOLS[scheme], "format_whitelist": _STREAM_FORMATS}
    if scheme in {"rtsp", "rtsps"}:
        options["rtsp_transport"] = "tcp"
    return av.open(url, container_options=options, timeout=timeout)


def chosen_video(container: InputContainer) -> VideoStream | None:
    """The video stream that is meant: the one marked as default, else the first. Cover pictures do not count."""
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    return next((stream for stream in streams if stream.disposition & Disposition.default), next(iter(streams), None))


def file_url(path: Path) -> str:
    """A path as FFmpeg takes it for nothing else, whatever its name looks like."""
    return f"file:{os.path.abspath(path)}"
