"""How right the times of words after silence are: read sentences, glued with pauses and recognised as one clip.

`python -m benchmarks.speech.words FOLDER` writes results/speech/words-cpu.json. FOLDER holds sentences as 16-kHz WAV
files without long pauses, such as LibriVox's, and a file `transcription` with a line
"<s> words </s> (name-of-the-file)" for each.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from extractors.assets.hashes import file_sha256
from extractors.language import asr
from extractors.media.audio import SAMPLE_RATE, decode_audio
from extractors.schema import Word
from training.reporting.result_files import SPEECH_RESULTS, write

PAUSES = (0.4, 0.8, 1.5, 3.0, 6.0)  # seconds, one before each sentence, in turn
HISS = 1e-3  # of full scale, in every other round's pauses; the others are silent
ONSET_DB = -30.0  # against the loudest 10 ms, from which sound counts as speech
FRAME = SAMPLE_RATE // 100  # samples, 10 ms
SEED = 1111


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """A recording of a sentence.

    Attributes:
        samples: From its first sound to its last.
        words: In lower case.
    """

    samples: Float32[np.ndarray, " samples"]
    words: tuple[str, ...]


def sentences(folder: Path) -> list[Sentence]:
    """Read the recordings that a folder's `transcription` names."""
    found = []
    for line in (folder / "transcription").read_text().splitlines():
        if match := re.fullmatch(r"<s> (.+) </s> \(.*?([0-9]+)\)", line.strip()):
            sound = decode_audio(folder / f"{match[2]}.wav")
            if sound is not None:
                found.append(Sentence(samples=trimmed(sound.samples), words=tuple(match[1].split())))
    return found


def trimmed(samples: Float32[np.ndarray, " samples"]) -> Float32[np.ndarray, " samples"]:
    """Cut silence off both ends, to within 10 ms."""
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    energy = np.square(frames).mean(axis=1)
    loud = np.flatnonzero(energy > energy.max() * 10 ** (ONSET_DB / 10))
    return samples[loud[0] * FRAME : (loud[-1] + 1) * FRAME]


def glued(
    parts: Sequence[Sentence], pauses: Sequence[float], hiss: float
) -> tuple[Float32[np.ndarray, " samples"], list[float]]:
    """Put a pause before each sentence: the sound, and where the sentences begin in seconds."""
    noise = np.random.default_rng(SEED)
    pieces, starts, position = [], [], 0
    for part, pause in zip(parts, pauses, strict=True):
        silence = noise.normal(0, hiss, round(pause * SAMPLE_RATE)).astype(np.float32)
        pieces += [silence, part.samples]
        starts.append((position + len(silence)) / SAMPLE_RATE)
        position += len(silence) + len(part.samples)
    return np.concatenate(pieces), starts


def matched(heard: Sequence[Word], wanted: Sequence[str]) -> dict[int, Word]:
    """Return, by its place among the wanted words, each that was heard."""
    plain = [re.sub(r"[^a-z]", "", word.text.lower()) for word in heard]
    blocks = SequenceMatcher(a=plain, b=list(wanted), autojunk=False).get_matching_blocks()
    return {block.b + i: heard[block.a + i] for block in blocks for i in range(block.size)}


def measure(parts: Sequence[Sentence], rounds: int) -> list[dict[str, Any]]:
    """Return a row per pause for first words and a row for all others: errors of their starts in seconds.

    Args:
        parts: The sentences.
        rounds: How many clips are glued, each in another order and with other pauses.
    """
    alone = [matched(asr.recognise(part.samples).words, part.words) for part in parts]
    first: list[tuple[float, float]] = []  # pause, error
    others: list[float] = []
    for turn in range(rounds):
        order = [(turn + index) % len(parts) for index in range(len(parts))]
        pauses = [PAUSES[(turn * 2 + index) % len(PAUSES)] for index in range(len(parts))]
        sound, starts = glued([parts[index] for index in order], pauses, HISS * (turn % 2))
        heard = matched(asr.recognise(sound).words, [word for index in order for word in parts[index].words])
        place = 0
        for index, pause, start in zip(order, pauses, starts, strict=True):
            for number in range(len(parts[index].words)):
                word = heard.get(place + number)
                if word is not None and number == 0:
                    first.append((pause, word.start - start))
                elif word is not None and number in alone[index]:
                    others.append(word.start - start - alone[index][number].start)
            place += len(parts[index].words)
    rows = [
        {"words": "first after a pause", "pause_s": pause, **errors([error for at, error in first if at == pause])}
        for pause in sorted({at for at, _ in first})
    ]
    rows.append({"words": "first after a pause", "pause_s": None, **errors([error for _, error in first])})
    return [*rows, {"words": "others, against the sentence alone", "pause_s": None, **errors(others)}]


def errors(found: Sequence[float]) -> dict[str, Any]:
    """Summarise errors in seconds: their number, median, and percentiles of their sizes."""
    sizes = np.abs(found)
    return {
        "count": len(found),
        "median_error_s": round(float(np.median(found)), 3),
        "p50_s": round(float(np.percentile(sizes, 50)), 3),
        "p90_s": round(float(np.percentile(sizes, 90)), 3),
        "largest_s": round(float(sizes.max()), 3),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Measure the times of recognised words after silence.")
    parser.add_argument("folder", type=Path, help="sentences as WAV files, and their `transcription`")
    parser.add_argument("--out", type=Path, default=SPEECH_RESULTS, help="folder for the result file")
    parser.add_argument("--rounds", type=int, default=5, help="clips to glue, each in another order")
    arguments = parser.parse_args()
    rows = measure(sentences(arguments.folder), arguments.rounds)
    for row in rows:
        print(row, flush=True)
    hashes = {path.name: file_sha256(path) for path in sorted(arguments.folder.glob("*.wav"))}
    print(
        write(
            "words",
            f"python -m benchmarks.speech.words FOLDER --rounds {arguments.rounds}",
            rows,
            "cpu",
            hashes,
            [SEED],
            folder=arguments.out,
        )
    )


if __name__ == "__main__":
    main()
