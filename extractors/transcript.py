"""Transcripts: words with their times, recognised from the sound, typed or corrected by the user."""

from __future__ import annotations

import functools
import logging
import math
import threading
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32

from extractors.assets import ASSETS, AssetError, asset
from extractors.schema import Word

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

SAMPLE_RATE = 16_000  # Hz
RECOGNISER = "whisper_base"
MAX_WORDS = 1_000
MAX_CHARACTERS = 20_000
BEAM_SIZE = 5
SURE_LANGUAGE = 0.5  # probability from which a detected language other than English is believed
PAUSE_MS = 300  # silence that parts two stretches of voice
PAD_MS = 50  # added to both ends of a stretch, for soft consonants
FASTEST_SPEECH = 40.0  # characters per second
USUAL_SPEECH = 15.0  # characters per second

Progress = Callable[[int, int], None]  # completed, total

log = logging.getLogger(__name__)


class TranscriptError(ValueError):
    """A typed transcript cannot be used; the message is for the user."""


@dataclass(frozen=True, kw_only=True)
class Transcript:
    """Words in time order.

    Attributes:
        words: With times in seconds from the start of the clip.
        source: "given", "recognised" or "none".
        notes: Sentences for the user about how it was made.
    """

    words: tuple[Word, ...]
    source: str
    notes: tuple[str, ...] = ()


_lock = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Recogniser:
    """A loaded Whisper model.

    Attributes:
        whisper: The model.
        name: Of the asset or the folder it comes from.
        device: "cpu" or "cuda".
        compute_type: How its numbers are kept: "int8" on a CPU, "float16" on most GPUs.
    """

    whisper: WhisperModel
    name: str
    device: str
    compute_type: str


def load(source: str = RECOGNISER) -> Recogniser:
    """Return a recogniser, loaded once per process from local files only, on a GPU where one works.

    Args:
        source: A name in `extractors.assets.ASSETS`, or a folder with a Whisper model in CTranslate2's format.

    Raises:
        AssetError: If the model files cannot be had or are none.
    """
    with _lock:
        return _load(source)


@functools.lru_cache(maxsize=2)
def _load(source: str) -> Recogniser:
    folder = asset(source) if source in ASSETS else Path(source)
    # Without its tokenizer.json the library would ask the network for one.
    missing = [name for name in ("model.bin", "config.json", "tokenizer.json") if not (folder / name).is_file()]
    if missing:
        raise AssetError(
            f"The speech recogniser {source} has no {missing[0]}. Name one of {sorted(ASSETS)} that recognises speech, "
            "or a folder with a Whisper model in CTranslate2's format."
        )
    for device, compute_type in _devices():
        try:
            recogniser = _loaded_on(folder, source, device, compute_type)
        except (RuntimeError, ValueError) as error:  # a GPU whose libraries are missing says so only when it computes
            if device == "cpu":
                raise AssetError(f"The speech recogniser {source} cannot be loaded: {error}") from error
            log.warning("the speech recogniser runs on the CPU, because the GPU failed: %s", error)
        else:
            log.info("speech recogniser %s on %s, %s", source, device, compute_type)
            return recogniser
    raise AssertionError("unreachable: the CPU returns or raises")


def _devices() -> list[tuple[str, str]]:
    """Return (device, compute type) in the order in which to try them."""
    import ctranslate2

    devices = [("cpu", "int8")]
    if ctranslate2.get_cuda_device_count():
        supported = ctranslate2.get_supported_compute_types("cuda")
        devices.insert(0, ("cuda", "float16" if "float16" in supported else "float32"))
    return devices


def _loaded_on(folder: Path, source: str, device: str, compute_type: str) -> Recogniser:
    from faster_whisper import WhisperModel

    whisper = WhisperModel(str(folder), device=device, compute_type=compute_type, local_files_only=True)
    if device != "cpu":
        segments, _ = whisper.transcribe(np.zeros(SAMPLE_RATE, np.float32), language="en")
        list(segments)
    name = source if source in ASSETS else folder.name
    return Recogniser(whisper=whisper, name=name, device=device, compute_type=compute_type)


def recognise(
    samples: Float32[np.ndarray, " samples"],
    *,
    start: float = 0.0,
    progress: Progress = lambda completed, total: None,
    recogniser: str = RECOGNISER,
) -> Transcript:
    """Recognise speech; another language than English is translated into English.

    Args:
        samples: Mono at 16 kHz, full scale 1.
        start: Seconds from the start of the clip to the first sample.
        progress: Told of recognised and of all whole seconds.
        recogniser: As in `load`.

    Returns:
        The words, none where nothing was said.

    Raises:
        AssetError: If the model files cannot be had.
    """
    stretches = voice_stretches(samples, start=start)
    if not stretches:
        return Transcript(words=(), source="none")
    loaded = load(recogniser)
    model = loaded.whisper
    options = {
        "beam_size": BEAM_SIZE,
        "word_timestamps": True,
        "vad_filter": True,  # else silence is heard as "You"
        "condition_on_previous_text": False,  # else one mistake repeats itself
    }
    segments, info = model.transcribe(samples, **options)
    notes = []
    if recogniser != RECOGNISER or loaded.device != "cpu":
        notes.append(f"Speech was recognised by {loaded.name} on {loaded.device} ({loaded.compute_type}).")
    if info.language != "en":
        foreign = info.language_probability >= SURE_LANGUAGE
        task, language = ("translate", info.language) if foreign else ("transcribe", "en")
        segments, info = model.transcribe(samples, task=task, language=language, **options)
        if foreign:
            notes.append(
                f"The speech is not English (detected language: {language}); the transcript is a machine translation. "
                "The times of its words are rough, and so are the alignment maps."
            )
    words = []
    total = math.ceil(len(samples) / SAMPLE_RATE)
    for segment in segments:
        words += [Word(text=word.word, start=word.start, end=word.end) for word in segment.words or ()]
        progress(min(int(segment.end), total), total)
    progress(total, total)
    words = _tidied(words, start, stretches)
    if len(words) > MAX_WORDS:
        notes.append(f"Only the first {MAX_WORDS} recognised words are used.")
    if not words:
        return Transcript(words=(), source="none")
    return Transcript(words=words[:MAX_WORDS], source="recognised", notes=tuple(notes))


def typed(text: str, samples: Float32[np.ndarray, " samples"], *, start: float = 0.0, duration: float) -> Transcript:
    """Give a typed transcript's words times: they share the stretches of voice by their numbers of characters.

    Args:
        text: What the user typed.
        samples: The clip's sound, mono at 16 kHz; empty without sound.
        start: Seconds from the start of the clip to the first sample.
        duration: Seconds of the clip, which the words share where there is no voice.

    Returns:
        The words, with a note on where their times come from.

    Raises:
        TranscriptError: If the text is too long or holds no word.
    """
    texts = split_words(text)
    stretches = voice_stretches(samples, start=start)
    if sum(map(len, texts)) <= FASTEST_SPEECH * sum(end - begin for begin, end in stretches):
        note = "The words' times are estimated: the typed words share the stretches of voice by their length."
    else:
        stretches = [(0.0, duration)]
        note = "The words' times are estimated: too little voice was found, so the typed words share the whole clip."
    return Transcript(words=spread(texts, stretches), source="given", notes=(note,))


def clamped(transcript: Transcript, *, duration: float) -> Transcript:
    """Check a transcript made elsewhere and fit its times to a clip.

    Args:
        transcript: At most `MAX_WORDS` words in time order.
        duration: Seconds of the clip.

    Raises:
        TranscriptError: If it holds too many words, or times that are no numbers or fall.
    """
    words = transcript.words
    times = np.array([(word.start, word.end) for word in words], float).reshape(-1, 2)
    if len(words) > MAX_WORDS:
        raise TranscriptError(f"The transcript has {len(words):,} words; the limit is {MAX_WORDS:,}.")
    if not np.isfinite(times).all() or (np.diff(times[:, 0]) < 0).any() or (times[:, 1] < times[:, 0]).any():
        raise TranscriptError("The transcript's times are not in order: starts must not fall, and end >= start.")
    fitted = [
        replace(word, start=float(start), end=float(end))
        for word, (start, end) in zip(words, np.clip(times, 0, duration), strict=True)
    ]
    return replace(transcript, words=tuple(fitted))


def split_words(text: str) -> list[str]:
    """Split what a user typed into words; what holds neither letter nor digit is dropped.

    Args:
        text: Any text; control and format characters are removed.

    Returns:
        At least one and at most `MAX_WORDS` words.

    Raises:
        TranscriptError: If the text is too long or holds no word.
    """
    if len(text) > MAX_CHARACTERS:
        raise TranscriptError(
            f"The transcript has {len(text):,} characters; the limit is {MAX_CHARACTERS:,}. "
            "Give only what is said in the clip."
        )
    words = clean_words(text)
    if len(words) > MAX_WORDS:
        raise TranscriptError(
            f"The transcript has {len(words):,} words; the limit is {MAX_WORDS:,}. Give only what is said in the clip."
        )
    if not words:
        raise TranscriptError(
            "The transcript holds no word. Type what is said, or leave it empty to have it recognised."
        )
    return words


def clean_words(text: str) -> list[str]:
    """Split a text into printable words; what holds neither letter nor digit is dropped."""
    return [word for word in _printable(text).split() if _has_letters(word)]


def edit(words: Sequence[Word], text: str, *, duration: float) -> tuple[Word, ...]:
    """Correct a transcript without losing its times.

    Words that stay, be it in another spelling of case and punctuation, keep theirs. Words in place of others share
    the others' time, one for one where they are as many. Words put in get the pause there, or, where it is too short
    for them, share the time of the word before (at the very beginning: after) them.

    Args:
        words: As they were, in time order.
        text: As it shall be.
        duration: Seconds of the clip.

    Returns:
        The words of `text` in time order.

    Raises:
        TranscriptError: If the text is too long or holds no word.
    """
    texts = split_words(text)
    old, new = list(words), []
    for kind, first, last, begin, until in _changes([word.text for word in old], texts):
        put = texts[begin:until]
        if kind == "equal" or (kind == "replace" and last - first == until - begin):
            new += [replace(word, text=said) for word, said in zip(old[first:last], put, strict=True)]
        elif kind == "replace":
            follows = old[last].start if last < len(old) else duration
            end = min(max(word.end for word in old[first:last]), follows)
            new += spread(put, [(old[first].start, max(end, old[first].start))])
        elif kind == "insert":
            _insert(put, new, old, first, duration)
    return tuple(new)


def _changes(old: Sequence[str], new: Sequence[str]) -> list[tuple[str, int, int, int, int]]:
    """Return difflib's opcodes from one list of words to another, blind to case and punctuation.

    Common ends are taken off first: what is left is short, and difflib may ignore frequent words in it, without which
    a hostile text would cost it minutes.
    """
    a, b = ([_plain(word) for word in words] for words in (old, new))
    shorter = min(len(a), len(b))
    head = next((index for index in range(shorter) if a[index] != b[index]), shorter)
    tail = next((index for index in range(shorter - head) if a[-1 - index] != b[-1 - index]), shorter - head)
    middle = SequenceMatcher(a=a[head : len(a) - tail], b=b[head : len(b) - tail]).get_opcodes()
    codes = [("equal", 0, head, 0, head)]
    codes += [(kind, head + i, head + j, head + k, head + m) for kind, i, j, k, m in middle]
    return [*codes, ("equal", len(a) - tail, len(a), len(b) - tail, len(b))]


def _plain(word: str) -> str:
    return "".join(character for character in word.casefold() if character.isalnum())


def _insert(put: Sequence[str], new: list[Word], old: list[Word], index: int, duration: float) -> None:
    """Append words to `new` before `old[index]`, in the pause there or in a share of a neighbour's time."""
    characters = sum(map(len, put))
    begin = new[-1].end if new else 0.0
    follows = old[index].start if index < len(old) else max(duration, begin)
    if not (new or index < len(old)) or follows - begin >= characters / FASTEST_SPEECH:
        length = min(follows - begin, characters / USUAL_SPEECH)
        # What is put before the first word is said right before it, anything else right after the word before.
        start = begin if new or index == len(old) else follows - length
        new += spread(put, [(start, start + length)])
    elif new:
        before = new.pop()
        end = max(min(before.end, follows), before.start)
        new += spread([before.text, *put], [(before.start, end)])
    else:
        after = old[index]
        limit = old[index + 1].start if index + 1 < len(old) else duration
        end = max(min(after.end, limit), after.start)
        *added, old[index] = spread([*put, after.text], [(after.start, end)])
        new += added


def voice_stretches(samples: Float32[np.ndarray, " samples"], *, start: float = 0.0) -> list[tuple[float, float]]:
    """Find where there is voice (Silero VAD, the one inside faster-whisper).

    Args:
        samples: Mono at 16 kHz.
        start: Seconds from the start of the clip to the first sample.

    Returns:
        (start, end) of each stretch in seconds.
    """
    if not len(samples):
        return []
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    options = VadOptions(min_silence_duration_ms=PAUSE_MS, speech_pad_ms=PAD_MS)
    return [
        (start + stretch["start"] / SAMPLE_RATE, start + stretch["end"] / SAMPLE_RATE)
        for stretch in get_speech_timestamps(samples, options)
    ]


def _printable(text: str) -> str:
    """Turn controls into spaces; drop format characters, surrogates and what is unassigned."""
    normal = unicodedata.normalize("NFC", text)
    kinds = ((character, unicodedata.category(character)) for character in normal)
    return "".join(" " if kind == "Cc" else character for character, kind in kinds if kind == "Cc" or kind[0] != "C")


def _has_letters(word: str) -> bool:
    return any(character.isalnum() for character in word)


def _tidied(words: Sequence[Word], start: float, stretches: Sequence[tuple[float, float]]) -> tuple[Word, ...]:
    """Clean recognised words: printable, whole, with letters, plain floats, starts that never fall."""
    tidy: list[Word] = []
    last = start
    for word in words:
        text = "".join(_printable(word.text).split())
        begin, end = _voiced_part(start + float(word.start), start + float(word.end), stretches)
        begin = max(begin, last)
        end = max(begin, end)
        if tidy and not word.text.startswith(" "):  # the rest of a word, as ".C." after "D"
            tidy[-1] = replace(tidy[-1], text=tidy[-1].text + text, end=max(tidy[-1].end, end))
        elif _has_letters(text):
            tidy.append(Word(text=text, start=begin, end=end))
        last = begin
    return tuple(tidy)


def _voiced_part(begin: float, end: float, stretches: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Cut a word to the stretch of voice it overlaps most: Whisper lets words begin in the pause before them."""
    parts = [(max(begin, first), min(end, final)) for first, final in stretches]
    longest = max(parts, key=lambda part: part[1] - part[0])
    return longest if longest[1] > longest[0] else (begin, end)


def spread(texts: Sequence[str], stretches: Sequence[tuple[float, float]]) -> tuple[Word, ...]:
    """Lay words one after the other over stretches of time, as long as they have characters.

    Args:
        texts: At least one, none empty.
        stretches: (start, end) in seconds, at least one, in time order.

    Returns:
        One word per text.
    """
    lengths = np.array([len(text) for text in texts], float)
    edges = np.concatenate([[0], np.cumsum(lengths)]) / lengths.sum()  # share of the voiced time
    begins, ends = np.array(stretches).T
    voiced = np.concatenate([[0], np.cumsum(ends - begins)])  # voiced seconds before each stretch
    spoken = edges * voiced[-1]
    first = np.clip(np.searchsorted(voiced, spoken[:-1], side="right") - 1, 0, len(begins) - 1)
    final = np.clip(np.searchsorted(voiced, spoken[1:], side="left") - 1, 0, len(begins) - 1)
    return tuple(
        Word(
            text=text,
            start=float(begins[i] + spoken[index] - voiced[i]),
            end=float(begins[j] + spoken[index + 1] - voiced[j]),
        )
        for index, (text, i, j) in enumerate(zip(texts, first, final, strict=True))
    )
