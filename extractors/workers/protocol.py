"""The protocol between a worker process and its parent: packets, one line of JSON each, and files of results.

A task names its kind under "do". The packets about it are "started", any number of "progress" and, last, one of
`AnswerKind`. "cancel" stops the running task at its next progress report.
"""

from __future__ import annotations

from typing import Any, Literal

from extractors.storage.feature_files import SUFFIX

Packet = dict[str, Any]

TaskKind = Literal["check", "extract", "noise", "reread", "stills", "warm"]
AnswerKind = Literal["done", "cancelled", "media", "transcript", "asset", "unforeseen", "unwritten"]

# Files in the private folder of a task.
FEATURES = f"features{SUFFIX}"  # of a clip (`extractors.storage.feature_files`)
READINGS = f"readings{SUFFIX}"  # of one modality, several times over (`save_steps`)


def still_file(index: int) -> str:
    """Return the name of the file that holds a still."""
    return f"{index}.jpg"
