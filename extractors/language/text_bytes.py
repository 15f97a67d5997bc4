"""Text files: bytes to text, whatever encoding they are in."""

from __future__ import annotations

import codecs
import unicodedata
from collections.abc import Mapping

from extractors.language.languages import identify
from extractors.language.transcript import TranscriptError
from extractors.messages import Message

SAMPLE_BYTES = 50_000  # by which UTF-16 without a mark is recognised
DECIDING_BYTES = 4_000  # of lines that are not ASCII, by which a code page is recognised
MARKS = (  # UTF-32 first: its mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
# Code page -> languages that are written in it, and how much likelier than another its text must be: what is rare, or
# gives sensible letters for any bytes, needs more.
CODE_PAGES: Mapping[str, tuple[str, float]] = {
    "cp1252": ("en de fr es it pt nl sv da no nn fi is ca gl eu af id ms", 0.0),
    "cp1250": ("pl cs sk hu sl hr bs ro sq sh", 0.12),
    "cp1251": ("ru uk be bg mk sr", 0.0),
    "gb18030": ("zh wuu", 0.0),
    "big5": ("zh yue", 0.0),
    "cp932": ("ja", 0.0),
    "cp949": ("ko", 0.0),
    "cp1253": ("el", 0.0),
    "cp1254": ("tr az", 0.0),
    "cp1256": ("ar arz fa ur ckb", 0.0),
    "cp1255": ("he yi", 0.01),
    "koi8_r": ("ru", 0.02),
    "iso8859_2": ("pl cs sk hu sl hr bs", 0.15),
    "cp866": ("ru uk", 0.1),
    "euc_jp": ("ja", 0.1),
    "cp874": ("th", 0.1),
    "cp1257": ("lt lv et", 0.25),
    "cp1258": ("vi", 0.25),
}
WESTERN = "cp1252"
ACCENTED = 0.5  # of the Latin letters, more than which no language puts accents on
ACCENTED_ODDITY = 0.6  # that such a text counts
QUOTES = frozenset("–—‘’“”„…«»‹›‚¿¡、。！？，「」：；（）")


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
    """Return the likeliest code page of a text that is not UTF-8: the one in which it is a language that it is for.

    Statistics of bytes, as charset-normalizer has them, do not tell the code pages of a few words apart.
    """
    lines = [line for line in data.splitlines() if not line.isascii()]  # the rest decides nothing
    deciding = b"\n".join(lines)[:DECIDING_BYTES]
    likelihoods = {}
    for name, (written, handicap) in CODE_PAGES.items():
        try:
            text = deciding.decode(name)
        except UnicodeDecodeError as error:
            if error.start < DECIDING_BYTES - 4:  # else the sample ends within a letter
                continue
            text = deciding[: error.start].decode(name)
        found = dict(identify(text))
        likelihoods[name] = sum(found.get(code, 0.0) for code in written.split()) - 2 * _oddity(text) - handicap
    return max(likelihoods, key=likelihoods.__getitem__, default=WESTERN)


def _oddity(text: str) -> float:
    """Return the share of a text's letters beyond ASCII that stand where no language has them."""
    around = zip(f" {text}", text, f"{text[1:]} ", strict=False)
    odd = [_is_odd(*letters) for letters in around if not letters[1].isascii()]
    latin = [letter for letter in text if unicodedata.name(letter, "").startswith("LATIN")]
    accented = sum(not letter.isascii() for letter in latin)
    unlikely = accented > 2 and accented > ACCENTED * len(latin)
    return sum(odd) / max(1, len(odd)) + ACCENTED_ODDITY / 2 * unlikely


def _is_odd(before: str, letter: str, after: str) -> bool:
    """Whether a letter is a capital after a small one, of another script than its neighbours, or a stray sign."""
    kind, name = unicodedata.category(letter)[0], unicodedata.name(letter, "")
    ascii_beside = any(beside.isascii() and beside.isalpha() for beside in (before, after))
    if kind == "L":
        return (letter.isupper() and before.islower()) or (not name.startswith("LATIN") and ascii_beside)
    if kind == "M":  # an accent of Vietnamese, or a vowel of Thai or Hebrew
        return not (before.isalpha() or unicodedata.category(before)[0] == "M") or (
            not name.startswith("COMBINING") and before.isascii()
        )
    if letter in QUOTES:
        return letter != "’" and before.isalpha() and after.isalpha()
    return True
