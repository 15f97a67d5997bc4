"""Markdown files of the project, for the screen."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMENT = re.compile(r"<!--.*?-->\n?", re.DOTALL)
HEADING = re.compile(r"^(#+) ", re.MULTILINE)


def read(path: Path, *, below: int = 0) -> str:
    """Return a file's text without comments, its headings moved down.

    Args:
        path: Of a Markdown file.
        below: Levels by which headings sink.

    Raises:
        FileNotFoundError: If it is not there.
    """
    text = COMMENT.sub("", path.read_text(encoding="utf-8"))
    return HEADING.sub(lambda found: "#" * min(6, len(found[1]) + below) + " ", text)


def section(path: Path, title: str) -> str:
    """Return the section under a heading of the second level.

    Raises:
        ValueError: If there is no such heading.
    """
    parts = re.split(r"^## (.+)$", read(path), flags=re.MULTILINE)
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    if title not in found:
        raise ValueError(f"{path.name}: no section {title!r}, expected one of {list(found)}")
    return found[title].strip()
