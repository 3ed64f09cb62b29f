"""The worker process: `python -m dp2.web.workers.child`. Reads JSON lines from its input and answers with JSON lines.

A request is {"task": name, "arguments": {…}}. While it runs come {"frame": base64} for a camera and {"cancel": true};
it answers {"event": "progress" | "frame" | "ready", …} and at last one of {"event": "done", "result": {…}},
{"event": "failed", "error": text} and {"event": "cancelled"}. Nothing else is ever read by the server, and nothing of
it is executed: a decoder that was taken over by a file can say untrue things, not run code in the server.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from dp2.errors import Dp2Error, JobCancelled

_CLEARINGS, _PAUSE = 20, 0.2  # seconds


class Line:
    """The connection to the server, seen from the worker.

    Args:
        answers: where answers go.
        root: the server's folder.
    """

    def __init__(self, answers: TextIO, root: Path | None = None) -> None:
        self._answers = answers
        self._root = root
        self._requests: queue.Queue[dict[str, Any]] = queue.Queue()
        self._frames: queue.Queue[str | None] = queue.Queue(maxsize=2)
        self._cancelled = threading.Event()

    def listen(self) -> None:
        """Read until the server is gone, then end the process: nobody wants the result any more.

        A server that was killed could not delete what was uploaded, so that is done here.
        """
        for text in sys.stdin:
            message = json.loads(text)
            if "cancel" in message:
                self._cancelled.set()
                self._push(None)
            elif "frame" in message:
                self._push(message["frame"])
            else:
                self._cancelled.clear()
                self._requests.put(message)
        if self._root is not None:
            _clear(self._root)
        os._exit(0)

    def request(self) -> dict[str, Any]:
        """The next request; waits for it."""
        request = self._requests.get()
        with contextlib.suppress(queue.Empty):
            while True:
                self._frames.get_nowait()  # of a camera that is gone
        return request

    def frame(self) -> str | None:
        """The next picture of the camera, base64; None when it has ended."""
        return self._frames.get()

    def say(self, event: str, **values: Any) -> None:
        """Answer.

        Raises:
            JobCancelled: nobody wants the answer.
        """
        if self._cancelled.is_set() and event not in ("cancelled", "failed"):
            raise JobCancelled("the job was cancelled.")
        self._answers.write(json.dumps({"event": event, **values}) + "\n")
        self._answers.flush()

    def _push(self, frame: str | None) -> None:
        """The newest picture wins."""
        while True:
            try:
                self._frames.put_nowait(frame)
            except queue.Full:
                with contextlib.suppress(queue.Empty):
                    self._frames.get_nowait()
            else:
                return


def serve(line: Line, device: str | None) -> None:
    """Do one task after the other, for ever."""
    from dp2.web.workers.tasks import TASKS, Workshop

    workshop = Workshop(device)
    while True:
        request = line.request()
        try:
            result = TASKS[request["task"]](workshop, line, request["arguments"])
            line.say("done", result=result)
        except JobCancelled:
            line.say("cancelled")
        except MemoryError:
            workshop.forget()
            line.say("failed", error="there is not enough memory for this; try a smaller file.")
        except Dp2Error as error:
            line.say("failed", error=_shown(str(error), request["arguments"]))
        except Exception as error:  # whatever it is, the job fails and the next one is done
            workshop.forget()
            line.say("failed", error=_shown(f"{type(error).__name__}: {error}", request["arguments"]))


def _clear(root: Path) -> None:
    """Delete the folder of a server that is no more; again while another worker still writes there."""
    from dp2.web.store import delete_if_abandoned

    for _ in range(_CLEARINGS):
        delete_if_abandoned(root)
        if not root.exists():
            return
        time.sleep(_PAUSE)


def _shown(text: str, arguments: Mapping[str, Any]) -> str:
    """A message without the server's own paths: the user's name of the file in their place."""
    own = [(arguments.get(key), arguments.get("name", "the file")) for key in ("target", "detections", "source")]
    for path, name in (*own, *arguments.get("references", ())):
        if isinstance(path, str) and path:
            text = text.replace(path, str(name)).replace(str(Path(path).parent) + os.sep, "")
    return text


def _confine(largest_file: int | None, memory: int | None) -> None:
    """No core files (they hold pictures), no endless files; first to go when the machine runs out of memory."""
    with contextlib.suppress(ImportError, ValueError, OSError):  # Windows has none of it
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if largest_file:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
        if memory:
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")


def main() -> None:
    """Arguments: JSON with `device`, `root`, `largest_file` and `memory` in bytes; null = no limit."""
    settings = json.loads(sys.argv[1])
    os.umask(0o077)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which then closes the connection
    _confine(settings.get("largest_file"), settings.get("memory"))
    # What libraries print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    root = settings.get("root")
    line = Line(answers, None if root is None else Path(root))
    threading.Thread(target=serve, args=(line, settings.get("device")), daemon=True).start()
    line.listen()


if __name__ == "__main__":
    main()
