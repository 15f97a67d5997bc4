"""Text files: bytes to text, whatever encoding they are in."""

from __future__ import annotations

import codecs

from extractors.language.transcript import TranscriptError
from extractors.messages import Message

SAMPLE_BYTES = 50_000  # by which a code page is determined
MARKS = (  # UTF-32 first: its mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
# Code pages of texts that people have; those beside them only make a short text ambiguous.
CODE_PAGES = [
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "cp874"),
    *("gb18030", "big5", "cp932", "cp949", "koi8_r"),
]

WESTERN = "cp1252"
LATIN = frozenset({"cp1250", "cp1252", "cp1254", "cp1257", "cp1258"})
TURKISH_LETTERS = frozenset("ğşĞŞ".encode("cp1254"))  # Icelandic ones in cp1252
HEBREW_LETTERS = frozenset(range(0xE0, 0xFB))  # in cp1255; in cp1251 small Russian letters but the last five


def decode(data: bytes) -> str:
    """Return the text of a file: UTF-8, UTF-16, UTF-32, or a code page of Windows.

    >>> decode("schön".encode("utf-16")), decode("schön".encode("cp1252"))
    ('schön', 'schön')

    Args:
        data: All bytes of the file.

    Raises:
        TranscriptError: If they are no text.
    """
    for encoding in [name for mark, name in MARKS if data.startswith(mark)][:1] + _wide(data):
        try:
            return _checked(data.decode(encoding))
        except UnicodeDecodeError as error:
            raise TranscriptError(Message("subtitles_bytes_unreadable"), str(error)) from error
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode(_code_page(data), errors="replace")
    return _checked(text)


def _checked(text: str) -> str:
    """Refuse what has decoded but is no text."""
    controls = sum(letter < " " and not letter.isspace() for letter in text)
    if "\x00" in text or controls * 20 > len(text):
        raise TranscriptError(Message("subtitles_bytes_unreadable"), f"{controls} control characters")
    return text


def _wide(data: bytes) -> list[str]:
    """Return UTF-16's name where a text without a mark has a zero in every other of most pairs of bytes."""
    pairs = max(1, len(data[:SAMPLE_BYTES]) // 2)
    low, high = data[:SAMPLE_BYTES:2].count(0), data[1:SAMPLE_BYTES:2].count(0)
    if high > pairs / 3 and low < pairs / 20:
        return ["utf-16-le"]
    return ["utf-16-be"] if low > pairs / 3 and high < pairs / 20 else []


def _code_page(data: bytes) -> str:
    """Return the likeliest code page of a text that is not UTF-8; Western Europe's where several are as likely.

    What charset-normalizer finds equally likely is decided by what people write: Western European rather than Central
    European, Turkish rather than Icelandic, Hebrew where no letter is one of the last five of the Russian alphabet.
    """
    from charset_normalizer import from_bytes

    lines = [line for line in data.splitlines() if not line.isascii()]  # the rest decides nothing
    deciding = b"\n".join(lines)[:SAMPLE_BYTES]
    found = list(from_bytes(deciding, cp_isolation=CODE_PAGES, enable_fallback=False))
    if not found:
        return WESTERN
    likeliest = [match for match in found if match.chaos <= found[0].chaos]
    names = {name for match in likeliest for name in match.could_be_from_charset}
    high = bytes(byte for byte in deciding if byte >= 0x80)
    if WESTERN in names and found[0].encoding in LATIN:
        return "cp1254" if set(high) & TURKISH_LETTERS and "cp1254" in names else WESTERN
    if "cp1255" in names and len(high) >= 8 and set(high) <= HEBREW_LETTERS:
        return "cp1255"
    return found[0].encoding
