"""Errors of extractions in worker processes, and the packets that report them."""

from __future__ import annotations

import traceback
from typing import Literal, get_args

from extractors.assets.registry import AssetError
from extractors.language.transcript import TranscriptError
from extractors.media.probe import MediaError
from extractors.messages import Message, MessageError
from extractors.workers.protocol import AnswerKind, Packet

AbortKind = Literal["crash", "timeout", "memory", "cpu"]


class CancelledError(Exception):
    """The caller has cancelled the extraction."""


class WorkerError(RuntimeError):
    """An extraction failed through no fault of the clip; the message is for the log."""


class StartError(WorkerError):
    """A worker process ended before it began its task."""


class StorageError(WorkerError):
    """The private folder of a task cannot be made or written: the disk is full, or may not be written."""


class UnforeseenError(WorkerError):
    """An extraction met an error that nobody foresaw; the message is its traceback.

    Attributes:
        sentence: Type and message of the error.
    """

    def __init__(self, sentence: str, detail: str) -> None:
        super().__init__(detail)
        self.sentence = sentence


class AbortedError(MediaError):
    """A clip crashed its worker process or went beyond the budget.

    Attributes:
        kind: What happened.
    """

    def __init__(self, kind: AbortKind, message: Message, detail: str) -> None:
        super().__init__(message, detail)
        self.kind = kind


class WriteError(Exception):
    """Results cannot be written to the private folder of a task; its cause is the `OSError`."""


MESSAGE_ERRORS: dict[AnswerKind, type[MessageError]] = {
    "media": MediaError,
    "transcript": TranscriptError,
    "asset": AssetError,
}


def to_packet(error: Exception) -> Packet:
    """Return the last packet about a task that raised an error; call it while the error is handled."""
    kind: AnswerKind
    match error:
        case MemoryError():
            return to_packet(MediaError(Message("clip_needs_memory"), str(error)))
        case MediaError():
            kind = "media"
        case TranscriptError():
            kind = "transcript"
        case AssetError():
            kind = "asset"
        case CancelledError():
            kind = "cancelled"
        case WriteError():
            kind = "unwritten"
        case _:
            kind = "unforeseen"
            return {"kind": kind, "sentence": f"{type(error).__name__}: {error}", "detail": traceback.format_exc()}
    if isinstance(error, MessageError):
        return {"kind": kind, "message": error.message.to_dict(), "detail": error.detail}
    return {"kind": kind, "sentence": str(error)}


def from_packet(packet: Packet) -> Exception:
    """Return the error that `to_packet` was given, or the one that stands for it on the parent's side."""
    kind = packet["kind"]
    if kind in MESSAGE_ERRORS:
        return MESSAGE_ERRORS[kind](Message.from_dict(packet["message"]), packet["detail"])
    match kind:
        case "cancelled":
            return CancelledError(packet["sentence"])
        case "unforeseen":
            return UnforeseenError(packet["sentence"], packet["detail"])
        case "unwritten":
            return StorageError(packet["sentence"])
    raise ValueError(f"kind: {kind!r}, expected one of {get_args(AnswerKind)}")
