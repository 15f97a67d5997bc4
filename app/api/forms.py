"""Forms: a multipart body, parsed in chunks; bounded in every part, and UTF-8 only.

Starlette's parser decodes text with whatever codec the client names, on the event loop: a megabyte as "punycode" takes
minutes there, and a codec that always fails is an unforeseen error.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

CHARSETS = (b"utf-8", b"utf8", b"us-ascii")  # the last is a part of the first
BOUNDARY_CHARACTERS = 70  # RFC 2046, 5.1.1
HEADERS = 8  # of a part
HEADER_BYTES = 4_096
UNREADABLE = "Its parts cannot be separated."


class FormError(ValueError):
    """A form that cannot be read; the message says why."""


class FieldSizeError(FormError):
    """A field of text that is too long."""


@dataclass
class Part:
    """A part of a form.

    Attributes:
        name: Of the field.
        filename: As sent; None for text.
        data: Its content.
    """

    name: str
    filename: str | None
    data: bytearray = field(default_factory=bytearray)

    def text(self) -> str:
        """Return the content as text.

        Raises:
            FormError: If it is not UTF-8.
        """
        return _decoded(bytes(self.data))


class FormParser:
    """Parses a form chunk by chunk.

    Args:
        content_type: Header of the request.
        max_parts: More are refused.
        text_bytes: Most bytes of a part that is not a file.

    Raises:
        FormError: If the header names no boundary, or a charset other than UTF-8.
    """

    def __init__(self, content_type: str, *, max_parts: int, text_bytes: int) -> None:
        options = _options(content_type)
        boundary = options.get(b"boundary", b"")
        if not 0 < len(boundary) <= BOUNDARY_CHARACTERS:
            raise FormError(f"Its boundary has {len(boundary)} characters, expected 1 to {BOUNDARY_CHARACTERS}.")
        self._max_parts, self._text_bytes = max_parts, text_bytes
        self._parts: list[Part] = []
        self._name, self._value = bytearray(), bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._began = self._ended = False
        self._expected = b"--" + boundary  # what is left of the first boundary, with which a form begins
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._headers.clear,
                "on_header_field": lambda data, start, end: self._name.extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_finished,
                "on_part_data": self._part_data,
                "on_end": self._end,
            },
            max_header_count=HEADERS,
            max_header_size=HEADER_BYTES,
        )

    def feed(self, chunk: bytes) -> None:
        """Parse the next bytes of the body; takes time in proportion to them, so call it in a thread.

        Raises:
            FormError: If they cannot be part of an acceptable form.
        """
        self._began = self._began or bool(chunk)
        if self._expected:  # where it begins otherwise, the library's answer would depend on how the body is cut
            ours, self._expected = self._expected[: len(chunk)], self._expected[len(chunk) :]
            if not chunk.startswith(ours):
                raise FormError(UNREADABLE)
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise FormError(UNREADABLE) from error

    def finish(self) -> list[Part]:
        """Return the parts, once the body has ended; none for an empty body.

        Raises:
            FormError: If the form is cut off.
        """
        if self._began and not self._ended:
            raise FormError("It ends before its closing boundary.")
        return self._parts

    def _header_end(self) -> None:
        self._headers[bytes(self._name).lower()] = bytes(self._value)
        self._name.clear()
        self._value.clear()

    def _headers_finished(self) -> None:
        if len(self._parts) == self._max_parts:
            raise FormError(f"It has more than {self._max_parts} parts.")
        _options(self._headers.get(b"content-type", b"").decode("latin-1"))
        options = _options(self._headers.get(b"content-disposition", b"").decode("latin-1"))
        if b"name" not in options:
            raise FormError("A part has no name.")
        filename = options.get(b"filename")
        self._parts.append(Part(_decoded(options[b"name"]), None if filename is None else _decoded(filename)))

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        part = self._parts[-1]
        if part.filename is None and len(part.data) + end - start > self._text_bytes:
            raise FieldSizeError(f"A field of text has more than {self._text_bytes:,} bytes.")
        part.data += memoryview(data)[start:end]

    def _end(self) -> None:
        self._ended = True


def names_other_charset(content_type: str) -> bool:
    """Whether a content type names a charset other than UTF-8."""
    _kind, options = parse_options_header(content_type)
    return options.get(b"charset", CHARSETS[0]).strip().lower() not in CHARSETS


def _options(header: str) -> dict[bytes, bytes]:
    if names_other_charset(header):
        raise FormError("It names another charset than UTF-8, which is the only one that is read.")
    _kind, options = parse_options_header(header)
    return options


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormError("A name or a field of text is not UTF-8.") from error
