"""Whether packets of AAC hold sound alone, or elements with other data too: anything fits into those.

Where elements begin in a packet only its decoding tells. FFmpeg's decoder names them while it decodes, in messages
that must be switched on for the whole process; so it is asked in a process of its own.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import av.logging

from dp2.ffmpeg_open import open_media

_SECONDS = 900  # decoding takes about a hundredth of the sound's length
_DATA, _CHANNELS, _FILL = 4, 5, 6  # ISO/IEC 14496-3, table 4.85
_SBR = {13, 14}  # table 4.121: the upper half of the spectrum, of which fill elements are made too
_ELEMENT = re.compile(r"Elem type:([0-9a-f]+) id:|extension type: (\d+) len:(\d+)")
_ENCODER = re.compile(rb".{1,3}Lavc[\d.]{0,12}", re.DOTALL)  # FFmpeg's signs its first packet
_ONLY_SOUND, _OTHER = 0, 3


def holds_only_sound(path: Path, index: int) -> bool:
    """Whether a stream of AAC is known to hold nothing but sound, and the name of its encoder.

    Args:
        path: the file.
        index: of the stream.
    """
    root = str(Path(__file__).resolve().parents[2])
    search = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", __name__, str(path.absolute()), str(index)]
    try:
        done = subprocess.run(
            command, env={**os.environ, "PYTHONPATH": search}, capture_output=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == _ONLY_SOUND


def _main(path: Path, index: int) -> int:
    av.logging.set_level(av.logging.DEBUG)
    av.logging.set_skip_repeated(False)
    with open_media(path) as container:
        stream: Any = container.streams[index]
        stream.codec_context.options = {"debug": "startcode"}
        named = False
        for packet in container.demux(stream):
            with av.logging.Capture() as messages:
                try:
                    stream.codec_context.decode(packet)
                except av.InvalidDataError:
                    return _OTHER
            said = [message for _, _, message in messages]
            named = named or any(_ELEMENT.search(message) for message in said)
            if _other_data(said, bytes(packet)):
                return _OTHER
    return _ONLY_SOUND if named else _OTHER  # a decoder that names nothing cannot be asked


def _other_data(messages: list[str], packet: bytes) -> bool:
    found = [match for message in messages for match in _ELEMENT.finditer(message)]
    for kind, extension, size in _pairs(found):
        if kind in {_DATA, _CHANNELS}:
            return True
        if kind == _FILL and extension not in _SBR and size > 0:
            return not (_ENCODER.match(packet) and size <= 20)
    return False


def _pairs(found: list[re.Match[str]]) -> Iterator[tuple[int, int, int]]:
    """Each element with the kind and size of its extension, if it is one."""
    for position, match in enumerate(found):
        if match[1] is None:
            continue
        following = found[position + 1] if position + 1 < len(found) else None
        extension = (-1, 0) if following is None or following[2] is None else (int(following[2]), int(following[3]))
        yield int(match[1], 16), *extension


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1]), int(sys.argv[2])))
