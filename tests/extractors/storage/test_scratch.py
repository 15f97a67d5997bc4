"""A sweep removes the folders of killed processes, and no others."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from extractors.storage import scratch

HOLD = """
import tempfile, time
from extractors.storage.scratch import private_folder

with private_folder() as folder:
    (folder / "clip.bin").write_bytes(b"private")
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_folder_is_private_and_goes(temporary):
    with pytest.raises(ZeroDivisionError), scratch.private_folder() as folder:
        (folder / "clip.bin").write_bytes(b"private")
        assert folder.stat().st_mode & 0o077 == 0
        raise ZeroDivisionError
    assert not list(temporary.iterdir())


@pytest.mark.skipif(scratch.fcntl is None, reason="there are no such locks here")
def test_a_folder_that_cannot_be_locked_goes(temporary, monkeypatch):
    """As where the process has no file handle left."""

    def refuse(*arguments):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(scratch.os, "open", refuse)
    with pytest.raises(OSError, match="Too many"), scratch.private_folder():
        raise AssertionError("made")
    monkeypatch.undo()
    assert not list(temporary.iterdir())


def test_all_folders_of_a_process_that_ends_go(temporary):
    with scratch.private_folder() as folder, scratch.private_folder():
        (folder / "clip.bin").write_bytes(b"private")
        scratch.clear()
        assert not list(temporary.iterdir())
    scratch.clear()


@pytest.mark.skipif(scratch.fcntl is None, reason="there are no such locks here")
def test_a_killed_process_is_swept_up_after_and_a_living_one_is_not(temporary):
    held = subprocess.Popen(
        [sys.executable, "-c", HOLD],
        stdout=subprocess.PIPE,
        text=True,
        env={**scratch.os.environ, "TMPDIR": str(temporary)},
    )
    with held, scratch.private_folder() as mine:
        try:
            theirs = Path(held.stdout.readline().strip())
            assert theirs.parent == temporary
            (temporary / "alignmamba-note.txt").write_text("no folder")
            (temporary / "alignmamba-link").symlink_to(mine)
            assert scratch.sweep() == 0
            assert theirs.exists()
        finally:
            held.send_signal(signal.SIGKILL)
        held.wait()
        assert (theirs / "clip.bin").exists(), "the test would not have seen it"
        assert scratch.sweep() == 1
        assert not theirs.exists()
        assert mine.exists()
        assert (temporary / "alignmamba-link").exists()
