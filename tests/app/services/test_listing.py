"""Lists of clips: speakers and labels by the names of files, whatever spreadsheet wrote them."""

from __future__ import annotations

import pytest

from app.services.batch import listing
from app.services.batch.listing import Listing
from app.services.errors import PlainError


def read(text: str | bytes) -> Listing:
    found = Listing()
    found.read(text if isinstance(text, bytes) else text.encode())
    return found


def test_speakers_and_labels_are_found_with_fewer_folders():
    found = read("file,speaker,label\nanna/1.mp4,Anna,positive\n2.mp4,Ben,-2.5\n")
    assert found.speaker_of("study/anna/1.mp4") == ("Anna", "list")
    assert found.label_of("study/anna/1.mp4") == 1.5
    assert found.speaker_of("ben/2.mp4") == ("Ben", "list")
    assert found.label_of("ben/2.mp4") == -2.5
    assert found.speaker_of("study/carl/1.mp4") == ("carl", "folder"), "another anna/1.mp4"
    assert found.speaker_of("3.mp4") == (None, None)


def test_semicolons_a_byte_order_mark_and_backslashes_of_a_spreadsheet():
    found = read("\ufeffFile;Label;Speaker\r\nanna\\1.mp4;1,5;Anna, the first\r\n".encode())
    assert found.speaker_of("anna/1.mp4") == ("Anna, the first", "list")
    assert found.label_of("anna/1.mp4") == 1.5


def test_labels_that_are_none_are_counted():
    found = read("file,label\n1.mp4,7\n2.mp4,so-so\n3.mp4,\n4.mp4,0\n")
    assert (found.unreadable, found.labels) == (2, {"4.mp4": 0.0})


def test_files_that_are_not_there_are_counted():
    found = read("file,speaker\nanna/1.mp4,Anna\n2.mp4,Ben\n")
    assert found.unmatched(["all/anna/1.mp4"]) == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "lacks a column"),
        (b"file\n1.mp4\n", "lacks a column"),
        (b"name,speaker\n1.mp4,Anna\n", "lacks a column"),
        ("file,speaker\n1.mp4,Zoë\n".encode("latin-1"), "UTF-8"),
        (b"file,speaker\n1.mp4," + b"x" * 200_000 + b"\n", "no CSV file"),
        (b"x" * (listing.MAX_BYTES + 1), "MB"),
    ],
    ids=["empty", "one column", "no file", "latin-1", "a long cell", "large"],
)
def test_what_is_no_list_is_refused(content, reason):
    with pytest.raises(PlainError, match=reason):
        read(content)


def test_names_of_speakers_are_short_and_printable():
    found = read("file,speaker\n1.mp4,A\u202eB" + "x" * 100 + "\n")
    speaker, _origin = found.speaker_of("1.mp4")
    assert speaker.startswith("ABx") and len(speaker) == listing.SPEAKER_CHARACTERS
