"""How well speakers are told apart: clips composed of turns of two people, of three, and of one.

`python -m benchmarks.speech.speakers DATA` writes results/speech/speakers-cpu.json. DATA holds `speech/` with its
manifests. Clips of the people of "valid" chose the thresholds in `extractors/language/speakers/turns.py`; those of
"test" report. Two people of a clip come from one corpus, so that the room and the microphone do not tell them apart.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32
from scipy.optimize import linear_sum_assignment

from benchmarks.speech.words import trimmed
from extractors.assets.hashes import file_sha256
from extractors.audio import quality, voice_activity
from extractors.language.speakers import turns
from extractors.media.audio import SAMPLE_RATE
from extractors.schema import Turn
from training.data.corpora import speech
from training.data.corpora.speech import Recording
from training.reporting.result_files import SPEECH_RESULTS, write

COLLAR = 0.25  # seconds around each change of the truth that are not scored
STEP = 0.01  # seconds in which errors are counted
CLIPS = 30  # of one speaker, and of two
MORE_CLIPS = 10  # of other kinds, which chose nothing
TURNS = (4, 8)  # of a clip, fewest and most
TURN_SECONDS = (1.5, 5.0)  # of a turn, drawn evenly; it ends with the recording that reaches them
PAUSE = (0.1, 0.6)  # seconds between turns
WITHIN = (0.05, 0.25)  # seconds between recordings of a turn
OVERLAP = (0.5, 1.0)  # seconds for which the next speaker begins before the end, where speech overlaps
SEED = 1126
KINDS = {"one": 1, "two": 2, "three": 3, "two, overlapping": 2}  # name -> speakers
CHOSEN_BY = ("one", "two")  # kinds whose clips of "valid" chose the thresholds

Voices = Mapping[str, Sequence[Recording]]
"""Recordings by speaker."""


@dataclass(frozen=True, kw_only=True)
class Composed:
    """A composed clip.

    Attributes:
        samples: Its sound.
        truth: Who speaks when.
    """

    samples: Float32[np.ndarray, " samples"]
    truth: tuple[Turn, ...]


def error_rate(truth: Sequence[Turn], found: Sequence[Turn], *, collar: float = COLLAR) -> float:
    """Return the diarisation error rate: missed, false and confused speech, against the speech of the truth.

    Speakers are matched one to one so that the rate is lowest. Speech of nobody (None) counts as not found.

    >>> said = [Turn(start=0.0, end=2.0, speaker="a"), Turn(start=2.0, end=4.0, speaker="b")]
    >>> error_rate(said, [Turn(start=0.0, end=4.0, speaker="1")])
    0.5
    """
    end = max((turn.end for turn in (*truth, *found)), default=0.0)
    scored = np.ones(round(end / STEP) + 1, bool)
    for edge in (at for turn in truth for at in (turn.start, turn.end)):
        scored[max(0, round((edge - collar) / STEP)) : round((edge + collar) / STEP)] = False
    ours, theirs = (_active(each, len(scored))[:, scored] for each in (truth, found))
    both = (ours[:, None] & theirs[None]).sum(axis=2)  # steps that a pair of speakers shares
    right = both[linear_sum_assignment(-both)].sum()
    wanted, given = ours.sum(axis=0), theirs.sum(axis=0)
    return float((np.maximum(wanted, given).sum() - right) / max(1, wanted.sum()))


def _active(found: Sequence[Turn], steps: int) -> Bool[np.ndarray, "speakers steps"]:
    names = sorted({turn.speaker for turn in found if turn.speaker is not None})
    active = np.zeros((len(names), steps), bool)
    for turn in found:
        if turn.speaker is not None:
            active[names.index(turn.speaker), round(turn.start / STEP) : round(turn.end / STEP)] = True
    return active


def by_speaker(recordings: Sequence[Recording]) -> dict[str, dict[str, list[Recording]]]:
    """Group recordings by corpus and speaker."""
    found: dict[str, dict[str, list[Recording]]] = {}
    for each in recordings:
        found.setdefault(each.corpus, {}).setdefault(each.speaker, []).append(each)
    return found


def compose(people: Voices, data: Path, random: np.random.Generator, *, overlapping: bool) -> Composed:
    """Let people speak in turns.

    Args:
        people: Each takes the next turn but their own, the first two in order.
        data: Folder of the recordings.
        random: Draws everything.
        overlapping: Whether each turn begins before the one before has ended.
    """
    names = list(people)
    count = int(random.integers(TURNS[0], TURNS[1] + 1))
    order = [names[place % len(names)] for place in range(count)]
    sound, truth, position = np.zeros(0, np.float32), [], 0
    for place, name in enumerate(order):
        said = _turn(people[name], data, random)
        gap = random.uniform(*PAUSE)
        if overlapping and place:
            gap = -min(random.uniform(*OVERLAP), len(said) / SAMPLE_RATE / 2)
        first = max(0, position + round(gap * SAMPLE_RATE))
        position = first + len(said)
        sound = np.pad(sound, (0, max(0, position - len(sound))))
        sound[first:position] += said
        truth.append(Turn(start=first / SAMPLE_RATE, end=position / SAMPLE_RATE, speaker=name))
    return Composed(samples=sound, truth=tuple(truth))


def _turn(recordings: Sequence[Recording], data: Path, random: np.random.Generator) -> Float32[np.ndarray, " samples"]:
    wanted = random.uniform(*TURN_SECONDS) * SAMPLE_RATE
    parts: list[np.ndarray] = []
    while sum(map(len, parts)) < wanted:
        if parts:
            parts.append(np.zeros(round(random.uniform(*WITHIN) * SAMPLE_RATE), np.float32))
        parts.append(trimmed(speech.waveform(data / recordings[int(random.integers(len(recordings)))].path)))
    return np.concatenate(parts)


def clips(data: Path, split: str, kind: str) -> list[Composed]:
    """Compose the clips of one kind from people of one split; the same at every call."""
    random = np.random.default_rng([SEED, *split.encode(), *kind.encode()])
    corpora = by_speaker([each for each in speech.read(data) if each.split == split])
    fitting = [name for name, people in corpora.items() if len(people) >= KINDS[kind]]
    made = []
    for place in range(CLIPS if kind in CHOSEN_BY else MORE_CLIPS):
        people = corpora[fitting[place % len(fitting)]]
        chosen = random.choice(sorted(people), KINDS[kind], replace=False)
        voices = {str(name): people[str(name)] for name in chosen}
        made.append(compose(voices, data, random, overlapping="overlapping" in kind))
    return made


def measure(made: Sequence[Composed], split: str, kind: str) -> dict[str, Any]:
    """Return the row of one kind of clips."""
    rates, counts, unsure, took = [], [], [], 0.0
    for clip in made:
        samples = quality.raised(clip.samples)  # as the extraction does
        segments = voice_activity.segments(samples)
        began = time.process_time()
        found = turns.find(samples, segments).turns or _everything(segments)
        took += time.process_time() - began
        rates.append(error_rate(clip.truth, found))
        counts.append(len({turn.speaker for turn in found if turn.speaker is not None}))
        lengths = [(turn.end - turn.start, turn.speaker is None) for turn in found]
        unsure.append(sum(length for length, nobody in lengths if nobody) / sum(length for length, _ in lengths))
    seconds = sum(len(clip.samples) for clip in made) / SAMPLE_RATE
    return {
        "speakers": kind,
        "people": split,
        "clips": len(made),
        "error_rate": round(float(np.mean(rates)), 4),
        "error_rate_p50": round(float(np.median(rates)), 4),
        "error_rate_p90": round(float(np.percentile(rates, 90)), 4),
        "right_count": sum(count == KINDS[kind] for count in counts),
        "too_few": sum(count < KINDS[kind] for count in counts),
        "too_many": sum(count > KINDS[kind] for count in counts),
        "not_told_apart_share": round(float(np.mean(unsure)), 4),
        "cpu_s_per_clip_s": round(took / seconds, 4),
    }


def _everything(segments: Sequence[tuple[float, float]]) -> tuple[Turn, ...]:
    """Return all speech as one speaker's, which a clip has whose speakers are not told apart."""
    return tuple(Turn(start=begin, end=end, speaker="speaker_1") for begin, end in segments)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Measure how well speakers are told apart.")
    parser.add_argument("data", type=Path, help="folder with speech/ and its manifests")
    parser.add_argument("--out", type=Path, default=SPEECH_RESULTS, help="folder for the result file")
    arguments = parser.parse_args()
    rows = []
    for split, kind in (*(("test", kind) for kind in KINDS), *(("valid", kind) for kind in CHOSEN_BY)):
        rows.append(measure(clips(arguments.data, split, kind), split, kind))
        print(rows[-1], flush=True)
    hashes = {name: file_sha256(arguments.data / name) for name in speech.MANIFESTS}
    command = "python -m benchmarks.speech.speakers DATA"
    print(write("speakers", command, rows, "cpu", hashes, [SEED], folder=arguments.out))


if __name__ == "__main__":
    main()
