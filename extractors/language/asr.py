"""Speech recognition: Whisper, by way of faster-whisper."""

from __future__ import annotations

import bisect
import functools
import itertools
import logging
import math
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32

from extractors.assets.device import default_device, is_out_of_memory, load_cublas
from extractors.assets.hashes import Stamp, files_sha256, stamps
from extractors.assets.registry import ASSETS, AssetError, asset
from extractors.audio import voice_activity
from extractors.language import speech_languages
from extractors.language.speech_languages import Run
from extractors.language.transcript import MAX_WORDS, Transcript, has_letters, printable
from extractors.media.audio import SAMPLE_RATE
from extractors.messages import Message, Value
from extractors.schema import Word

if TYPE_CHECKING:
    from faster_whisper import WhisperModel
    from faster_whisper.transcribe import Segment

RECOGNISER = "whisper_base"
NEEDED = ("model.bin", "config.json", "tokenizer.json")
FILES = (*NEEDED, "preprocessor_config.json", "vocabulary.json", "vocabulary.txt")  # what a model's folder may hold
BEAM_SIZE = 5
TEMPERATURE = 0.0  # one only: the library's fallback to higher ones samples without a seed
OPTIONS = {
    "beam_size": BEAM_SIZE,
    "temperature": TEMPERATURE,
    "word_timestamps": True,
    "vad_filter": True,  # else silence is recognised as "You"
    "condition_on_previous_text": False,  # else one mistake repeats itself
}
NO_WORD = 0.15  # seconds at the beginning of a voiced segment that a word needs
IN_PAUSE = 0.05  # seconds after a voiced segment, from which a word is taken to reach into the pause
SURE_LANGUAGE = 0.5  # probability from which a detected language other than English is believed

Progress = Callable[[int, int], None]  # completed, total

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Recogniser:
    """A loaded Whisper model.

    Attributes:
        whisper: The model.
        name: Of the asset or the folder it comes from.
        device: "cpu", "cuda", or "cuda:1" and so on.
        compute_type: How its numbers are kept: "int8" on a CPU, "float16" on most GPUs.
        fallback: Why it is not on the GPU that was to be used, if it is not.
    """

    whisper: WhisperModel
    name: str
    device: str
    compute_type: str
    fallback: str | None = None


_lock = threading.Lock()


def load(source: str = RECOGNISER) -> Recogniser:
    """Return a recogniser, loaded once per process from local files only, on a GPU where one works.

    Args:
        source: A name in `extractors.assets.registry.ASSETS`, or a folder with a Whisper model in CTranslate2's format.

    Raises:
        AssetError: If the model files cannot be had or are none.
    """
    with _lock:
        return _load(source, () if source in ASSETS else stamps(Path(source), FILES))


def fingerprint(source: str = RECOGNISER) -> dict[str, str]:
    """Return the SHA-256 of every file that decides what a recogniser returns.

    Raises:
        AssetError: If one cannot be read.
    """
    if source in ASSETS:
        return {file.name: file.sha256 for file in ASSETS[source].files}
    try:
        return files_sha256(Path(source), FILES)
    except OSError as error:
        raise AssetError(Message("recogniser_unreadable", {"source": source, "error": str(error)})) from error


@functools.lru_cache(maxsize=2)
def _load(source: str, changed: tuple[Stamp | None, ...]) -> Recogniser:
    """Load a recogniser; `changed` makes one whose files have changed another one."""
    folder = asset(source) if source in ASSETS else Path(source)
    # Without its tokenizer.json the library would ask the network for one.
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    if missing:
        values = {"source": source, "file": missing[0], "names": str(sorted(ASSETS))}
        raise AssetError(Message("recogniser_incomplete", values))
    failed = None
    for device, compute_type in devices():
        try:
            recogniser = _loaded_on(folder, source, device, compute_type)
        except (RuntimeError, ValueError) as error:  # a GPU whose libraries are missing says so only when it computes
            if device == "cpu":
                values = {"source": source, "error": str(error)}
                raise AssetError(Message("recogniser_not_loaded", values)) from error
            log.warning("the speech recogniser runs on the CPU, because the GPU failed: %s", error)
            failed = str(error)
        else:
            log.info("speech recogniser %s on %s, %s", source, device, compute_type)
            return replace(recogniser, fallback=failed)
    raise AssertionError("unreachable: the CPU returns or raises")


def devices() -> list[tuple[str, str]]:
    """Return (device, compute type) in the order in which to try them."""
    import ctranslate2

    order = [("cpu", "int8")]
    device = default_device(gpu=ctranslate2.get_cuda_device_count() > 0)
    if device != "cpu":
        kind, index = _split(device)
        supported = ctranslate2.get_supported_compute_types(kind, index)
        order.insert(0, (device, "float16" if "float16" in supported else "float32"))
    return order


def _split(device: str) -> tuple[str, int]:
    """Split "cuda:1" into the kind and the index that CTranslate2 wants."""
    kind, _, index = device.partition(":")
    return kind, int(index or 0)


def _loaded_on(folder: Path, source: str, device: str, compute_type: str) -> Recogniser:
    from faster_whisper import WhisperModel

    from extractors.language.spectrogram import BlockSpectrogram

    kind, index = _split(device)
    if device != "cpu":
        load_cublas()
    whisper = WhisperModel(
        str(folder), device=kind, device_index=index, compute_type=compute_type, local_files_only=True
    )
    whisper.feature_extractor = BlockSpectrogram(**whisper.feat_kwargs)
    if device != "cpu":
        segments, _ = whisper.transcribe(np.zeros(SAMPLE_RATE, np.float32), language="en", temperature=TEMPERATURE)
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
        progress: Called with the recognised and with all whole seconds.
        recogniser: As in `load`.

    Returns:
        The words, none where nothing was said.

    Raises:
        AssetError: If the model files cannot be had.
    """
    voiced = voice_activity.segments(samples, start=start)
    if not voiced:
        return Transcript(words=(), source="none")
    loaded = load(recogniser)
    try:
        return _transcript(samples, loaded, start, progress, voiced, own=recogniser != RECOGNISER)
    except RuntimeError as error:
        if loaded.device == "cpu" or not is_out_of_memory(error):
            raise
        log.warning("the speech recogniser goes on on the CPU, because the GPU is out of memory: %s", error)
        failed = str(error)
    folder = asset(recogniser) if recogniser in ASSETS else Path(recogniser)
    loaded = replace(_loaded_on(folder, recogniser, "cpu", "int8"), fallback=failed)
    return _transcript(samples, loaded, start, progress, voiced, own=True)


def _transcript(
    samples: Float32[np.ndarray, " samples"],
    loaded: Recogniser,
    start: float,
    progress: Progress,
    voiced: Sequence[tuple[float, float]],
    *,
    own: bool,
) -> Transcript:
    """Recognise with a loaded model; with `own`, which is not the default one, the model is noted."""
    model = loaded.whisper
    total = math.ceil(len(samples) / SAMPLE_RATE)
    segments, info = model.transcribe(samples, **OPTIONS)
    language: str = info.language
    notes: list[Message] = []
    if own or loaded.device != "cpu":
        values = {"model": loaded.name, "device": loaded.device, "type": loaded.compute_type}
        notes.append(Message("recogniser_used", values))
    if loaded.fallback is not None:
        notes.append(Message("recogniser_not_on_gpu", {"error": loaded.fallback}))
    if language != "en":
        language = language if info.language_probability >= SURE_LANGUAGE else "en"
        segments = _segments(model, samples, language)
    found: list[Word] = []
    for segment in segments:
        found += [Word(text=word.word, start=word.start, end=word.end) for word in segment.words or ()]
        progress(min(int(segment.end), total), total)
    here = [(begin - start, end - start) for begin, end in voiced]
    found, runs = _with_other_languages(model, samples, here, found, language, info.language_probability)
    progress(total, total)
    onsets = voice_activity.with_onsets(samples, here)
    found = _after_pauses(sorted(found, key=lambda word: word.start), onsets)
    words = _tidied(found, start, [(start + begin, start + end) for begin, end in onsets])
    if not words:
        return Transcript(words=(), source="none")
    notes += _translations(runs, found, language, start)
    if len(words) > MAX_WORDS:
        notes.append(Message("recognised_words_left_out", {"count": MAX_WORDS}))
    return Transcript(words=words[:MAX_WORDS], source="recognised", notes=tuple(notes))


def _segments(model: WhisperModel, samples: np.ndarray, language: str) -> Iterable[Segment]:
    """Recognise English, or translate another language into it."""
    task = "transcribe" if language == "en" else "translate"
    segments: Iterable[Segment] = model.transcribe(samples, task=task, language=language, **OPTIONS)[0]
    return segments


def _with_other_languages(
    model: WhisperModel,
    samples: np.ndarray,
    voiced: Sequence[tuple[float, float]],
    words: list[Word],
    language: str,
    probability: float,
) -> tuple[list[Word], list[Run]]:
    """Recognise again, each run by itself, where the speech switches its language.

    Returns:
        All words, and the runs that were recognised by themselves.
    """
    doubtful = speech_languages.doubtful(voiced, words, probability=probability)
    if not doubtful or not model.model.is_multilingual:
        return words, []
    runs = speech_languages.runs(
        samples, doubtful, usual=language, detect=lambda part: model.detect_language(audio=part)[:2]
    )
    if all(run.language == language for run in runs):
        return words, []
    for run in runs:
        begin, end = (round(edge * SAMPLE_RATE) for edge in (run.start, run.end))
        heard = [word for segment in _segments(model, samples[begin:end], run.language) for word in segment.words or ()]
        kept = [word for word in words if not run.start <= (word.start + word.end) / 2 < run.end]
        kept += [Word(text=word.word, start=run.start + word.start, end=run.start + word.end) for word in heard]
        words = sorted(kept, key=lambda word: word.start)
    return words, runs


def _translations(runs: Sequence[Run], words: Sequence[Word], language: str, start: float) -> list[Message]:
    """Return a note on each language that was translated: the clip's own, and those of runs by themselves."""
    notes = []
    middles = [(word.start + word.end) / 2 for word in words]
    told = {run.language for run in runs}  # a word invented in a pause lies in none of them
    if language not in ("en", *told) and not all(
        any(run.start <= middle < run.end for run in runs) for middle in middles
    ):
        notes.append(Message("speech_translated", {"language": language}))
    for foreign in dict.fromkeys(run.language for run in runs if run.language != "en"):
        parts = [run for run in runs if run.language == foreign]
        values: dict[str, Value] = {
            "language": foreign,
            "seconds": round(sum(run.end - run.start for run in parts)),
            "start": round(start + parts[0].start),
        }
        notes.append(Message("speech_partly_translated", values))
    return notes


def _tidied(words: Sequence[Word], start: float, voiced: Sequence[tuple[float, float]]) -> tuple[Word, ...]:
    """Clean recognised words: printable, whole, with letters, plain floats, starts that never fall."""
    tidy: list[Word] = []
    last = start
    for word in words:
        text = "".join(printable(word.text).split())
        begin, end = _voiced_part(start + float(word.start), start + float(word.end), voiced)
        begin = max(begin, last)
        end = max(begin, end)
        if tidy and not word.text.startswith(" "):  # the rest of a word, as ".C." after "D"
            tidy[-1] = replace(tidy[-1], text=tidy[-1].text + text, end=max(tidy[-1].end, end))
        elif has_letters(text):
            tidy.append(Word(text=text, start=begin, end=end))
        last = begin
    return tuple(tidy)


def _after_pauses(words: Sequence[Word], voiced: Sequence[tuple[float, float]]) -> list[Word]:
    """Let words that reach from one voiced segment over the pause to the next begin where the next one does.

    Whisper lets the first word after a pause begin early, within the pause. Its time may then be carried to the end of
    the segment before.
    """
    placed = list(words)
    for (first, last), (onset, end) in itertools.pairwise(voiced):
        index = bisect.bisect_left([word.start for word in placed], onset) - 1
        if index < 0:
            continue
        word = placed[index]
        limit = min(placed[index + 1].start if index + 1 < len(placed) else end, end)
        inside = max(0.0, min(word.end, last) - max(word.start, first))
        over = word.end > last + IN_PAUSE and inside < (word.end - word.start) / 2
        if over and limit > onset + NO_WORD:  # and no other word is where the segment begins
            placed[index] = replace(word, start=onset, end=limit)
    return placed


def _voiced_part(begin: float, end: float, voiced: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Cut a word to the voiced segment it overlaps most: Whisper lets words begin in the pause before them."""
    parts = [(max(begin, first), min(end, final)) for first, final in voiced]
    longest = max(parts, key=lambda part: part[1] - part[0])
    return longest if longest[1] > longest[0] else (begin, end)
