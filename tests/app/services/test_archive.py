"""ZIP archives: what is accepted comes out whole, and each trick is refused with a sentence, alone."""

from __future__ import annotations

import io
import random
import stat
import struct
import zipfile
import zlib

import pytest

from app.services import batch
from app.services.batch import Batch, Status, archive
from app.services.batch.archive import Archive, Entry
from app.services.errors import PlainError
from tests.app.app_pages.test_analyse import movie
from tests.app.app_pages.test_batch import File

CLIP = movie(seconds=1)
CENTRAL, LOCAL = b"PK\x01\x02", b"PK\x03\x04"


def packed(*files: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as made:
        for name, content in files:
            made.writestr(name, content)
    return file.getvalue()


def one(data: bytes) -> Entry:
    (entry,) = Archive.open(data).entries()
    return entry


def forged(data: bytes, *, signature: bytes, offset: int, number: int, size: str = "<I") -> bytes:
    """An archive with a number in the first header of a kind replaced."""
    place = data.index(signature) + offset
    return data[:place] + struct.pack(size, number) + data[place + struct.calcsize(size) :]


def test_clips_come_out_whole_and_in_order():
    data = packed(("anna/one.mp4", CLIP), ("ben/two.mp4", CLIP[::-1]), method=zipfile.ZIP_STORED)
    entries = list(Archive.open(data).entries())
    assert [entry.name for entry in entries] == ["anna/one.mp4", "ben/two.mp4"]
    assert [entry.unpack() for entry in entries] == [CLIP, CLIP[::-1]]
    assert one(packed(("one.mp4", CLIP))).unpack() == CLIP


def test_folders_and_what_systems_add_are_passed_over():
    files = [("a/", b""), ("__MACOSX/._one.mp4", b"x"), ("a/.DS_Store", b"x"), (".hidden/one.mp4", b"x")]
    assert not list(Archive.open(packed(*files)).entries())


@pytest.mark.parametrize(
    "name", ["../one.mp4", "a/../../one.mp4", "/one.mp4", "\\one.mp4", "C:\\one.mp4", "a\\..\\one.mp4"]
)
def test_a_path_out_of_the_archive_is_refused(name):
    info = zipfile.ZipInfo("x")
    info.filename = info.orig_filename = name
    entry = one(packed((info, CLIP)))
    with pytest.raises(PlainError, match="outside the archive"):
        entry.unpack()


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_links_and_devices_are_refused(kind):
    info = zipfile.ZipInfo("one.mp4")
    info.external_attr = (kind | 0o777) << 16
    with pytest.raises(PlainError, match="link or a device"):
        one(packed((info, b"/etc/passwd"))).unpack()


@pytest.mark.parametrize("flag", [0x1, 0x41])
def test_an_encrypted_clip_is_refused(flag):
    data = packed(("one.mp4", CLIP))
    data = forged(data, signature=CENTRAL, offset=8, number=flag, size="<H")
    with pytest.raises(PlainError, match="encrypted"):
        one(forged(data, signature=LOCAL, offset=6, number=flag, size="<H")).unpack()


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_unpack_any_number_of_bytes_at_once_are_refused(method):
    with pytest.raises(PlainError, match="method"):
        one(packed(("one.mp4", bytes(100_000)), method=method)).unpack()


@pytest.mark.parametrize("name", ["more.zip", "more.tar.gz", "more.7z", "MORE.RAR"])
def test_an_archive_within_an_archive_is_refused(name):
    entry = one(packed((name, packed(("one.mp4", CLIP)))))
    assert entry.kind == "clip", "it gets a row with a sentence"
    with pytest.raises(PlainError, match="within an archive"):
        entry.unpack()


def test_an_archive_that_is_named_as_a_clip_is_refused_by_its_content():
    mixed = Batch()
    mixed.add([File("all.zip", packed(("one.mp4", packed(("two.mp4", CLIP)))))])
    mixed.start()
    mixed.advance()
    (row,) = mixed.rows.values()
    assert row.status == Status.FAILED
    assert "a ZIP archive" in row.error


def test_a_clip_that_says_it_is_too_large_is_not_unpacked(monkeypatch):
    monkeypatch.setattr(Archive, "unpack", None)
    with pytest.raises(PlainError, match="more than 1 MB"):
        one(packed(("one.mp4", bytes(1_000_001)))).unpack(most=1_000_000)


def test_bytes_are_counted_where_the_header_lies():
    """Both headers say 1 kB: no more is taken out than they say, and the checksum tells."""
    data = packed(("one.mp4", random.Random(1).randbytes(5_000_000)))
    data = forged(data, signature=CENTRAL, offset=24, number=1000)
    entry = one(forged(data, signature=LOCAL, offset=22, number=1000))
    with pytest.raises(PlainError, match="damaged"):
        entry.unpack(most=2_000_000)
    assert sum(entry.archive.unpacked.values()) <= 1000


def test_a_bomb_ends_at_its_ratio():
    entry = one(packed(("one.mp4", bytes(49_000_000))))
    assert entry.info.file_size > archive.MAX_RATIO * entry.info.compress_size
    with pytest.raises(PlainError, match="far more than a recording"):
        entry.unpack()
    assert sum(entry.archive.unpacked.values()) < 4_000_000, "it is stopped on the way, not after"


def test_a_bomb_that_claims_many_packed_bytes_ends_too():
    """The ratio is that of the bytes that were read, whatever the header says that there are."""
    data = packed(("one.mp4", bytes(49_000_000)))
    data = forged(data, signature=CENTRAL, offset=20, number=2_000_000_000)
    with pytest.raises(PlainError, match=r"far more than a recording|damaged"):
        entry = one(forged(data, signature=LOCAL, offset=18, number=2_000_000_000))
        entry.unpack()


def test_files_that_share_their_bytes_count_each_time(monkeypatch):
    """Many names for one packed file: all of them together unpack to no more than the limit."""
    content = random.Random(2).randbytes(400_000)
    whole = packed(("0.mp4", content), method=zipfile.ZIP_STORED)
    start, end = whole.index(CENTRAL), whole.index(b"PK\x05\x06")
    header = whole[start:end]
    copies = 4
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, copies, copies, copies * len(header), start, 0)
    entries = list(Archive.open(whole[:start] + header * copies + tail).entries())
    assert len(entries) == copies
    monkeypatch.setattr(archive, "MAX_UNPACKED_BYTES", 1_000_000)
    out = 0
    for entry in entries:
        try:
            out += len(entry.unpack())
        except PlainError as error:
            assert "damaged" in str(error) or "left out" in str(error)
    assert out <= 1_000_000


def test_all_clips_together_unpack_to_no_more_than_the_limit(monkeypatch):
    monkeypatch.setattr(archive, "MAX_UNPACKED_BYTES", 250_000)
    parts = [(f"{number}.mp4", random.Random(number).randbytes(100_000)) for number in range(3)]
    first, second, third = Archive.open(packed(*parts)).entries()
    for _again in range(3):  # a clip that is unpacked again, after a stop, counts once
        assert len(first.unpack()) == len(second.unpack()) == 100_000
    with pytest.raises(PlainError, match="unpack to more than"):
        third.unpack()


def test_too_many_files_are_refused():
    names = [(f"{number}.txt", b"") for number in range(archive.MAX_ENTRIES + 1)]
    with pytest.raises(PlainError, match="too many files"):
        Archive.open(packed(*names))


def test_a_directory_of_many_megabytes_is_not_read():
    """The end record claims a directory of 100 MB, and the file has as many bytes."""
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 65535, 65535, 100_000_000, 0, 0)
    with pytest.raises(PlainError, match="too many files"):
        Archive.open(bytes(100_000_000) + end)


def test_an_archive_that_is_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(archive, "MAX_ARCHIVE_BYTES", 1000)
    with pytest.raises(PlainError, match="limit"):
        Archive.open(bytes(1001))


@pytest.mark.parametrize("data", [b"", b"PK", bytes(1000), CLIP, packed(("one.mp4", CLIP))[:-30]])
def test_what_is_no_archive_is_refused(data):
    with pytest.raises(PlainError, match="no ZIP archive"):
        Archive.open(data)


def test_a_damaged_clip_fails_and_the_others_do_not():
    data = bytearray(packed(("one.mp4", CLIP), ("two.mp4", CLIP), method=zipfile.ZIP_STORED))
    data[data.index(CLIP) + 100] ^= 0xFF
    damaged, whole = Archive.open(bytes(data)).entries()
    with pytest.raises(PlainError, match="damaged"):
        damaged.unpack()
    assert whole.unpack() == CLIP


def test_any_damage_ends_in_a_sentence():
    """Bytes of an archive are changed at random: whatever comes of it is the clips or a sentence."""
    draw = random.Random(1111)
    whole = packed(("a/one.mp4", CLIP[:2000]), ("b/two.mp4", bytes(3000)), ("list.csv", b"file,speaker\n"))
    headers = [place for place in range(len(whole)) if whole[place : place + 2] == b"PK"]
    for _round in range(3000):
        data = bytearray(whole)
        for _change in range(draw.randint(1, 6)):
            near = draw.choice(headers) + draw.randint(0, 60)
            data[min(near, len(data) - 1)] = draw.choice([0, 1, 255, draw.randrange(256)])
        try:
            for entry in Archive.open(bytes(data[: draw.choice([len(data), draw.randrange(len(data))])])).entries():
                try:
                    assert len(entry.unpack()) <= 3000
                except PlainError:
                    pass
        except PlainError:
            pass


def test_a_batch_takes_an_archive_clip_by_clip(monkeypatch):
    files = [
        ("all/anna/one.mp4", CLIP),
        ("all/ben/two.mp4", CLIP),
        ("all/../three.mp4", CLIP),
        ("all/read me.txt", b"x"),
    ]
    listed = b"file;speaker;label\r\nanna/one.mp4;Anna K.;1,5\r\nnobody.mp4;x;\r\n"
    mixed = Batch()
    mixed.add([File("all.zip", packed(*files, ("all/list.csv", listed)))])
    assert [(row.name, row.status) for row in mixed.rows.values()] == [
        ("all/anna/one.mp4", Status.WAITING),
        ("all/ben/two.mp4", Status.WAITING),
        ("all/../three.mp4", Status.FAILED),
    ]
    assert [(row.speaker, row.speaker_from, row.label) for row in mixed.rows.values()][:2] == [
        ("Anna K.", "list", 1.5),
        ("ben", "folder", None),
    ]
    assert mixed.passed_over == 1
    assert mixed.listing.unmatched(row.name for row in mixed.rows.values()) == 1
    assert all(isinstance(row.clip, Entry) for row in list(mixed.rows.values())[:2]), "nothing is unpacked yet"
    mixed.add([File("again.zip", packed(*files, ("all/list.csv", listed)))])
    assert mixed.duplicates == 2

    monkeypatch.setattr(batch, "MAX_CLIPS", 4)
    more = packed(*((f"{number}.mp4", CLIP) for number in range(5)))
    mixed.add([File("more.zip", more)])
    assert len(mixed.of(Status.WAITING)) == 3
    assert "left out of this archive: 4" in next(row.error for row in mixed.rows.values() if row.name == "more.zip")


def test_the_bytes_of_an_archive_count_once_for_all_its_clips(monkeypatch):
    first = packed(("one.mp4", CLIP), ("two.mp4", CLIP), method=zipfile.ZIP_STORED)
    second = packed(("three.mp4", CLIP), method=zipfile.ZIP_STORED)
    monkeypatch.setattr(batch, "MAX_BYTES", len(first) + len(second))
    mixed = Batch()
    mixed.add([File("first.zip", first), File("second.zip", second), File("third.mp4", CLIP)])
    assert [row.status for row in mixed.rows.values()] == [Status.WAITING] * 3 + [Status.FAILED]
    assert zlib.crc32(CLIP) == zlib.crc32(mixed.rows[next(iter(mixed.rows))].clip.unpack())
