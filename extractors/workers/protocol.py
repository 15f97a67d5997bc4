"""The protocol between a worker process and its parent: packets, one line of JSON each, and files of results.

A task names its kind under "do". The packets about it are "started", any number of "progress" and, last, one of
`AnswerKind`. "cancel" stops the running task at its next progress report.
"""

from __future__ import annotations

from typing import Any, Literal

from extractors.storage.feature_files import SUFFIX

Packet = dict[str, Any]

TaskKind = Literal["check", "extract", "noise", "overlay", "reread", "stills", "warm"]
AnswerKind = Literal["done", "cancelled", "media", "transcript", "asset", "unforeseen", "unwritten"]

# Files in the private folder of a task.
FEATURES = f"features{SUFFIX}"  # of a clip (`extractors.storage.feature_files`)
READINGS = f"readings{SUFFIX}"  # of one modality, several times over (`save_steps`)
OVERLAID = "overlaid.mp4"  # a clip with its overlay
LEFT_OUT = "left_out.json"  # how many captions are not in it


def still_file(index: int) -> str:
    """Return the name of the file that holds a still."""
    return f"{index}.jpg"
