"""The one tree of errors. A message says what failed, on which file, and what to do about it."""

from __future__ import annotations


def one_line(error: BaseException, limit: int = 300) -> str:
    """What an error says, on one line of at most `limit` characters; its class where it says nothing."""
    return " ".join(str(error).split())[:limit] or type(error).__name__


class Dp2Error(Exception):
    """Base of every error that dp2 raises on purpose.

    `exit_code` is what the command line exits with when nothing catches the error earlier.
    """

    exit_code = 1


class UsageError(Dp2Error):
    """The caller asked for something that cannot be: a wrong option, path or combination."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration file or an override cannot be read or has no such key."""


class MissingExtra(UsageError):
    """An optional part of dp2 is not installed; the message names the command that installs it."""


class MediaError(Dp2Error):
    """Something about an input or output file."""


class UnreadableMedia(MediaError):
    """A file cannot be decoded, or not to its end."""


class UnsupportedMedia(MediaError):
    """A file is of a kind, size or layout that dp2 does not process."""


class OutputError(MediaError):
    """The result cannot be written. Nothing is left behind under the output's name."""


class DetectionError(Dp2Error):
    """A detector failed on a frame; the frame must not be written out."""


class DetectionFileError(MediaError):
    """A file of stored detections is malformed or belongs to other media."""


class SynthesisError(Dp2Error):
    """A region could not be made unrecognisable by any synthesizer, the fallback included."""


class EngineError(Dp2Error):
    """An inference engine, execution provider or device is missing or failed."""


class WeightsError(Dp2Error):
    """Base of errors about published checkpoints."""


class MissingWeights(WeightsError):
    """A checkpoint is not on this machine and cannot be fetched."""


class DownloadError(WeightsError):
    """A download failed on every mirror, or was refused."""


class ChecksumMismatch(WeightsError):
    """A file does not have the checksum that the registry names."""


class UnsafeCheckpoint(WeightsError):
    """A checkpoint holds something other than tensors; it was not executed."""


class UnreadableCheckpoint(WeightsError):
    """A checkpoint is damaged, or of a format that dp2 does not read."""


class CheckpointMismatch(WeightsError):
    """The keys or shapes of a checkpoint differ from the network's."""


class TrackingError(Dp2Error):
    """The tracker was fed frames out of order or boxes it cannot use."""


class DisplayError(Dp2Error):
    """A preview window cannot be opened."""


class DatasetError(Dp2Error):
    """Training data is missing, damaged, or not of the format that it is read as."""


class TrainingError(Dp2Error):
    """A training run cannot start, go on, or came to values that are not finite."""


class JobError(Dp2Error):
    """A job of the server did not end well; the message may be shown to whoever asked for it."""


class JobCancelled(JobError):
    """Nobody wants the result of a job any more."""


class JobTimeout(JobError):
    """A job took longer than it may."""


class WorkerDied(JobError):
    """The process that worked on a job is gone: killed, crashed, or out of memory."""
