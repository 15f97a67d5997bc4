"""JSON files from anywhere: bounded before they are read, and one kind of error whatever is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MAX_BYTES = 4_000_000  # of a file; the largest that this project writes has a tenth of that


def read(path: Path, *, max_bytes: int = MAX_BYTES) -> Any:
    """Read a JSON file.

    Args:
        path: An ordinary file: to open a pipe would wait for ever.
        max_bytes: A longer file is refused unread.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is not an ordinary file, too long, unreadable, too deep, or not JSON.
    """
    check_file(path, max_bytes=max_bytes)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path.name} is damaged ({error})") from error
    except RecursionError as error:
        raise ValueError(f"{path.name} is damaged (it is nested too deeply)") from error


def check_file(path: Path, *, max_bytes: int) -> None:
    """Check a file before it is opened.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is not an ordinary file, or too long.
    """
    size = path.stat().st_size
    if not path.is_file():
        raise ValueError(f"{path.name} is not an ordinary file")
    if size > max_bytes:
        raise ValueError(f"{path.name} has {size:,} bytes, expected at most {max_bytes:,}")
