"""Private folders for clips at work, and a sweep of those that a killed process left behind.

Each is locked for as long as its process lives; the system lets go of the lock however the process ends. So a sweep
can tell what is stale from what is at work, in this process or another. Without such locks (Windows) nothing is swept.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

PREFIX = "alignmamba-"
DRAFT_PREFIX = ".alignmamba-"  # of a folder that is not locked yet, and empty
DRAFT_SECONDS = 60.0  # after which it is stale

log = logging.getLogger(__name__)
_own: set[Path] = set()  # folders of this process


@contextmanager
def private_folder() -> Iterator[Path]:
    """Make a folder that only this user can open; it is removed at the end of the block, also after an error.

    Raises:
        OSError: If it cannot be made.
    """
    draft = Path(tempfile.mkdtemp(prefix=DRAFT_PREFIX))
    folder = draft.with_name(f"{PREFIX}{draft.name.removeprefix(DRAFT_PREFIX)}")
    with contextlib.ExitStack() as stack:
        _own.add(folder)
        stack.callback(_own.discard, folder)
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stack.callback(_remove_draft, draft)
        if fcntl is not None:
            lock = os.open(draft, os.O_RDONLY)
            stack.callback(os.close, lock)
            fcntl.flock(lock, fcntl.LOCK_EX)
        draft.rename(folder)  # a sweep sees it from here on, locked
        yield folder


def _remove_draft(draft: Path) -> None:
    """Remove a draft, which is still there where it could not be locked; unlike rmtree, without a file handle."""
    with contextlib.suppress(OSError):
        draft.rmdir()


def clear() -> None:
    """Remove all folders of this process, which is about to end with work still in them."""
    for folder in tuple(_own):
        shutil.rmtree(folder, ignore_errors=True)


def sweep() -> int:
    """Remove the folders of this user's processes that are no more.

    Returns:
        How many there were.
    """
    if fcntl is None:
        return 0
    removed = 0
    for folder in Path(tempfile.gettempdir()).iterdir():
        if folder.name.startswith((PREFIX, DRAFT_PREFIX)):
            removed += _remove_if_stale(folder)
    if removed:
        log.warning("removed %d folders that a killed process had left behind", removed)
    return removed


def _remove_if_stale(folder: Path) -> bool:
    try:
        found = folder.lstat()
        if found.st_uid != os.geteuid():
            return False
        if folder.name.startswith(DRAFT_PREFIX) and time.time() - found.st_mtime < DRAFT_SECONDS:
            return False
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:  # it has gone, or is no folder
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
        return not folder.exists()
    except OSError:  # a living process holds it
        return False
    finally:
        os.close(lock)
