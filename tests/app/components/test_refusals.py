"""Errors that visitors see: a sentence, without where on the machine anything is."""

from __future__ import annotations

import errno
import tempfile

import pytest

from app.components.result import annotations
from app.services import errors, model


def test_a_damaged_checkpoint_is_named_without_its_place(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(model, "FOLDER", tmp_path)
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"none")
    with pytest.raises(errors.PlainError, match="could not be loaded") as caught:
        model.load.__wrapped__("other")
    assert "other" in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
    assert str(tmp_path) in caplog.text


def test_annotations_on_a_full_disk_are_a_sentence(monkeypatch):
    def refuse(**arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    grid = b'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n1\n<exists>\n0\n'
    with pytest.raises(errors.StorageError):
        annotations._tiers(grid)
