"""Markdown files of the project, for the screen."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

README = Path(__file__).resolve().parents[2] / "README.md"
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
    return _without_comments(path.read_text(encoding="utf-8"), below=below)


def readme() -> str:
    """Return README.md: of the checkout, else as the installed package carries it in its description."""
    if README.is_file():
        return README.read_text(encoding="utf-8")
    return str(metadata.metadata("alignmamba").get_payload())


def section(text: str, title: str) -> str:
    """Return the section of a Markdown text under a heading of the second level, without comments.

    Raises:
        ValueError: If there is no such heading.
    """
    parts = re.split(r"^## (.+)$", _without_comments(text), flags=re.MULTILINE)
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    if title not in found:
        raise ValueError(f"no section {title!r}, expected one of {list(found)}")
    return found[title].strip()


def _without_comments(text: str, *, below: int = 0) -> str:
    return HEADING.sub(lambda found: "#" * min(6, len(found[1]) + below) + " ", COMMENT.sub("", text))
