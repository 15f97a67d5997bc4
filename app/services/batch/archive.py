"""ZIP archives of clips: listed within limits, and unpacked one clip at a time.

Nothing is believed that a header says of itself: the directory is read up to a limit, the bytes of a clip are counted
while they are unpacked, and so are the packed bytes that they come from. Names in an archive are shown and matched, and
never become a path.
"""

from __future__ import annotations

import io
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal

from app.i18n.translate import _
from app.services import upload
from app.services.errors import PlainError
from extractors.media.probe import LIMITS

SUFFIX = ".zip"
LIST_SUFFIX = ".csv"
ARCHIVES = (SUFFIX, ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst")
MAX_ARCHIVE_BYTES = 500_000_000  # as the server's `maxUploadSize`
MAX_ENTRIES = 2_000  # with folders and what other systems add
MAX_READ_BYTES = 1 << 20  # at once; so the archive's own list of what it holds has no more
MAX_UNPACKED_BYTES = 1_000_000_000  # of all clips of an archive together
MAX_RATIO = 50  # unpacked to packed bytes; what is compressed as sound or video hardly shrinks again
SMALL_BYTES = 1_000_000  # unpacked, up to which the ratio may be any: a short silence shrinks to nothing
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others unpack any number of bytes from one read
ENCRYPTED = 0x1 | 0x40  # flags
# What a damaged or forged archive makes `zipfile` raise.
DAMAGED = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OverflowError, RuntimeError, ValueError, OSError)

Kind = Literal["clip", "list", "other"]


class _CountedFile(io.BytesIO):
    """The bytes of an archive; what is read of them is counted, and no read may be larger than one that is needed."""

    read_bytes = 0

    def read(self, size: int | None = -1) -> bytes:
        """Read as `io.BytesIO` does.

        Raises:
            PlainError: If so much is asked for at once that it can only be an oversized directory.
        """
        if size is not None and size > MAX_READ_BYTES:
            raise PlainError(_too_many())
        content = super().read(size)
        self.read_bytes += len(content)
        return content


@dataclass(frozen=True, kw_only=True, eq=False)
class Entry:
    """A file in an archive, still packed.

    Attributes:
        archive: That holds it.
        info: Its place there.
        name: With its folders, for the screen.
    """

    archive: Archive
    info: zipfile.ZipInfo
    name: str

    @property
    def kind(self) -> Kind:
        """What its name says that it is."""
        if self.name.lower().endswith(LIST_SUFFIX):
            return "list"
        named_so = upload.media_type(self.name) is not None or self.name.lower().endswith(ARCHIVES)
        return "clip" if named_so else "other"

    def check(self) -> None:
        """Check what the archive says of this file, before any of it is unpacked.

        Raises:
            PlainError: If it is not a plain file with a plain name, or cannot be unpacked.
        """
        written = self.info.orig_filename
        parts = re.split(r"[/\\]", written)
        if written.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", written) or ".." in parts or "\0" in written:
            raise PlainError(_("Its name points outside the archive, so it is not unpacked."))
        mode = self.info.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            raise PlainError(_("It is a link or a device and not a file, so it is not unpacked."))
        if self.info.flag_bits & ENCRYPTED:
            raise PlainError(_("It is encrypted. Pack it without a password and try again."))
        if self.info.compress_type not in METHODS:
            raise PlainError(_("It is packed by a method that is not accepted, expected Deflate or none."))
        if self.name.lower().endswith(ARCHIVES):
            raise PlainError(_("An archive within an archive is not opened. Put its clips beside the others."))

    def unpack(self, *, most: int = LIMITS.file_bytes) -> bytes:
        """Return the file's bytes.

        Args:
            most: Bytes that it may have.

        Raises:
            PlainError: If `check` refuses it, it is damaged, or it unpacks to more than it may.
        """
        self.check()
        if self.info.file_size > most:
            raise PlainError(_too_large(most))
        return self.archive.unpack(self, most=most)


@dataclass(kw_only=True)
class Archive:
    """A ZIP archive in memory.

    Attributes:
        size: Its bytes.
        unpacked: Bytes that each file unpacked to; files that share their packed bytes count each.
    """

    size: int
    unpacked: dict[zipfile.ZipInfo, int] = field(default_factory=dict)
    _file: _CountedFile
    _zip: zipfile.ZipFile

    @classmethod
    def open(cls, data: bytes) -> Archive:
        """Read the list of what an archive holds.

        Args:
            data: The bytes of the file.

        Raises:
            PlainError: If it is no ZIP archive, is damaged, or holds too much.
        """
        if len(data) > MAX_ARCHIVE_BYTES:
            raise PlainError(
                _("The archive has {size:.0f} MB; the limit is {limit} MB.").format(
                    size=len(data) / upload.MEGABYTE, limit=MAX_ARCHIVE_BYTES // upload.MEGABYTE
                )
            )
        file = _CountedFile(data)
        try:
            opened = zipfile.ZipFile(file)
        except PlainError:
            raise
        except DAMAGED as error:
            raise PlainError(_("This is no ZIP archive, or it is damaged.")) from error
        if len(opened.infolist()) > MAX_ENTRIES:
            raise PlainError(_too_many())
        return cls(size=len(data), _file=file, _zip=opened)

    def entries(self) -> Iterator[Entry]:
        """Yield the files in the archive's order; folders and what systems add by themselves are passed over."""
        for info in self._zip.infolist():
            name = "".join(letter for letter in info.filename.replace("\\", "/") if letter.isprintable())
            parts = PurePosixPath(name).parts
            own = any(part.startswith(".") and part != ".." for part in parts) or "__MACOSX" in parts
            if parts and not name.endswith("/") and not own:
                yield Entry(archive=self, info=info, name=name)

    def unpack(self, entry: Entry, *, most: int) -> bytes:
        """Return a file's bytes, counted while they are unpacked; see `Entry.unpack`."""
        before = self._file.read_bytes
        left = MAX_UNPACKED_BYTES - sum(size for other, size in self.unpacked.items() if other is not entry.info)
        content = bytearray()
        try:
            with self._zip.open(entry.info) as stream:
                while part := stream.read(MAX_READ_BYTES):
                    content += part
                    self.unpacked[entry.info] = len(content)
                    if len(content) > most:
                        raise PlainError(_too_large(most))
                    if len(content) > left:
                        raise PlainError(
                            _("The clips of this archive unpack to more than {limit} MB; this one is left out.").format(
                                limit=MAX_UNPACKED_BYTES // upload.MEGABYTE
                            )
                        )
                    if len(content) > max(SMALL_BYTES, MAX_RATIO * (self._file.read_bytes - before)):
                        raise PlainError(_("It unpacks to far more than a recording would, so it is refused."))
        except PlainError:
            raise
        except DAMAGED as error:
            raise PlainError(_("It is damaged in the archive and cannot be unpacked.")) from error
        return bytes(content)


def _too_many() -> str:
    return _("The archive holds too many files: at most {count} are accepted.").format(count=MAX_ENTRIES)


def _too_large(most: int) -> str:
    return _("It unpacks to more than {limit} MB.").format(limit=most // upload.MEGABYTE)
