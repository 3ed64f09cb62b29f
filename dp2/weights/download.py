"""One file from one URL, resumed where a former attempt broke off.

Libraries for downloads, such as pooch, start from zero each time and throw away what arrived; checkpoints of hundreds
of megabytes need HTTP ranges, so the transfer is written here on requests.
"""

from __future__ import annotations

import errno
import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import requests
import urllib3

from dp2 import __version__
from dp2.errors import DownloadError, one_line

Progress = Callable[[int, int | None], None]
"""Called with the bytes on disk and the bytes of the whole file, None where the server does not say."""

_ATTEMPTS = 6
_CHUNK = 1 << 18
_SLOWEST = 1024  # bytes/s; slower than this over a whole time-out counts as stalled
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class DiskFull(DownloadError):
    """There is no room for the file; another mirror would not help."""


class _BrokenOffError(Exception):
    """The connection ended before the file did; what arrived is kept."""


def download(url: str, part: Path, *, checked: bool, timeout: float, progress: Progress) -> None:
    """Fetch `url` into `part`, going on from the bytes that are there already.

    Args:
        url: http(s).
        part: grows as bytes arrive and stays when the transfer breaks off; beside it lies `part`.json, which says
            where its bytes came from.
        checked: the caller will compare a checksum, so bytes of another mirror may be continued. Otherwise only those
            of the same URL and the same entity tag are.
        timeout: seconds without a byte after which the server is given up.

    Raises:
        DiskFull: nothing is left behind.
        DownloadError: says why this URL failed; `part` is kept for the next attempt.
    """
    reason = ""
    for _ in range(_ATTEMPTS):
        before = _size(part)
        try:
            _transfer(url, part, checked=checked, timeout=timeout, progress=progress)
            return
        except _BrokenOffError as error:
            reason = str(error)
            if _size(part) <= before:  # no headway, so the same again would not help
                break
        except requests.RequestException as error:
            raise DownloadError(_reason(error, timeout)) from error
        except OSError as error:
            raise _disk_error(error, part) from error
    raise DownloadError(f"{reason}; {_size(part)} bytes are kept for the next attempt")


def forget(part: Path) -> None:
    """Remove a partial file and the note beside it."""
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)


def _transfer(url: str, part: Path, *, checked: bool, timeout: float, progress: Progress) -> None:
    start, tag = _resume_point(url, part, checked=checked)
    headers = {"Accept-Encoding": "identity", "User-Agent": f"dp2/{__version__}"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if tag:
            headers["If-Range"] = tag
    with requests.get(url, headers=headers, stream=True, timeout=timeout) as response:
        _refuse_downgrade(response)
        if response.status_code == 416 and start:
            if _range(response) != (None, start):  # else every byte is here already
                forget(part)
                _transfer(url, part, checked=checked, timeout=timeout, progress=progress)
            return
        if response.status_code not in (200, 206):
            raise DownloadError(f"HTTP {response.status_code} {response.reason}")
        if response.status_code == 200 or _range(response)[0] != start:
            if response.status_code == 206:
                forget(part)
                raise DownloadError("the server sent another range than was asked for")
            start = 0
        total = _total(response, start)
        _require_room(part, total, start)
        _write_note(part, url, response.headers.get("ETag"))
        done = start
        with part.open("ab" if start else "wb") as file:
            for chunk in _chunks(response, timeout):
                file.write(chunk)
                done += len(chunk)
                progress(done, total)
    if total is not None and done != total:
        raise _BrokenOffError(f"the connection broke after {done} of {total} bytes")


def _chunks(response: requests.Response, timeout: float) -> Iterator[bytes]:
    """Bytes as they arrive. A server that drips never runs into the socket's time-out, so the pace is watched too."""
    since, arrived = time.monotonic(), 0
    while True:
        try:
            chunk = response.raw.read1(_CHUNK, decode_content=False)
        except urllib3.exceptions.ReadTimeoutError as error:
            raise _BrokenOffError(f"no byte came for {timeout:g} s") from error
        except (urllib3.exceptions.HTTPError, ConnectionError) as error:
            raise _BrokenOffError("the connection broke") from error
        if not chunk:
            return
        yield chunk
        arrived += len(chunk)
        if time.monotonic() - since > timeout:
            if arrived < _SLOWEST * timeout:
                raise DownloadError(f"slower than {_SLOWEST} bytes/s for {timeout:g} s")
            since, arrived = time.monotonic(), 0


def _resume_point(url: str, part: Path, *, checked: bool) -> tuple[int, str | None]:
    """How many bytes may be kept, and the entity tag that makes the server check that the file is still the same."""
    size = _size(part)
    if not size:
        return 0, None
    note: dict[str, Any] = {}
    with suppress(OSError, ValueError):
        note = json.loads(_note(part).read_text(encoding="utf-8"))
    same = isinstance(note, dict) and note.get("url") == url
    tag = note.get("etag") if same else None
    if isinstance(tag, str) and tag.startswith('"'):  # a weak tag (W/"…") does not promise equal bytes
        return size, tag
    return (size, None) if checked else (0, None)


def _write_note(part: Path, url: str, tag: str | None) -> None:
    part.parent.mkdir(parents=True, exist_ok=True)
    _note(part).write_text(json.dumps({"url": url, "etag": tag}), encoding="utf-8")


def _note(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _range(response: requests.Response) -> tuple[int | None, int | None]:
    """First byte and total length of a Content-Range."""
    match = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", response.headers.get("Content-Range", "").strip())
    if match is None:
        return None, None
    first, total = match.groups()
    return (int(first) if first else None), (int(total) if total != "*" else None)


def _total(response: requests.Response, start: int) -> int | None:
    length = response.headers.get("Content-Length", "")
    return start + int(length) if length.isdigit() else None


def _require_room(part: Path, total: int | None, start: int) -> None:
    part.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(part.parent).free
    if total is not None and total - start > free:
        forget(part)
        raise DiskFull(
            f"the disk of {part.parent} is full: {total - start} bytes are needed, {free} are free; "
            "make room, or set DP2_HOME to another disk."
        )


def _refuse_downgrade(response: requests.Response) -> None:
    urls = [step.url for step in (*response.history, response)]
    if urls[0].startswith("https:") and not all(url.startswith("https:") for url in urls):
        raise DownloadError(f"redirected to an unencrypted address, {urls[-1]}")


def _reason(error: requests.RequestException, timeout: float) -> str:
    if isinstance(error, requests.Timeout):
        return f"no answer within {timeout:g} s"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return one_line(error)


def _disk_error(error: OSError, part: Path) -> DownloadError:
    if error.errno in _FULL:
        with suppress(OSError):
            forget(part)
        return DiskFull(f"the disk of {part.parent} is full; make room, or set DP2_HOME to another disk.")
    return DownloadError(f"{part} cannot be written ({error.strerror}); set DP2_HOME to a folder that can.")
