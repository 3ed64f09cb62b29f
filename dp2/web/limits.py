"""What one server takes on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Everything beyond these is refused with a reason.

    Attributes:
        upload_bytes: of one file.
        pixels: of one picture or frame.
        video_seconds: of one video.
        session_bytes: of all uploads and results of one session; also the largest file that a worker may write.
        session_media, session_jobs: uploads and jobs, finished ones included, that one session may hold.
        waiting: jobs that wait, of all sessions.
        sessions: that hold anything.
        inspect_seconds: a worker may take to look at an upload.
        job_seconds: a job may run.
        live_seconds: a camera may use the worker while others wait for it.
        keep_seconds: after this without use uploads and results are deleted.
    """

    upload_bytes: int = 500_000_000
    pixels: int = 50_000_000
    video_seconds: float = 600.0
    session_bytes: int = 2_000_000_000
    session_media: int = 200
    session_jobs: int = 300
    waiting: int = 500
    sessions: int = 200
    inspect_seconds: float = 60.0
    job_seconds: float = 3600.0
    live_seconds: float = 900.0
    keep_seconds: float = 3600.0
