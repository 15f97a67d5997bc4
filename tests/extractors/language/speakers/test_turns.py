"""Turns of speakers, from embeddings made up and from voices heard."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest

from extractors.audio import voice_activity
from extractors.language.speakers import turns, voices
from extractors.language.speakers.turns import Speakers, Windows, from_windows, window_spans
from extractors.media.audio import SAMPLE_RATE, decode_audio
from tests.paths import ROOT, SAMPLES

VOICES = np.eye(4, 192, dtype=np.float32)  # as far apart as voices can be
LOWER = 0.72  # of a voice's pitch and formants: another person's


def heard(*said: tuple[float, float, int | tuple[int, int]]) -> Speakers:
    """Speakers of segments (start, end, voice); two voices in one segment sound alike strongly."""
    segments = [(float(start), float(end)) for start, end, _ in said]
    spans = window_spans(segments)
    random = np.random.default_rng(0)
    vectors = []
    for begin, end in spans:
        (voice,) = (voice for first, last, voice in said if first <= begin and end <= last)
        mixed = VOICES[list(voice) if isinstance(voice, tuple) else [voice]].sum(axis=0)
        mixed = mixed + random.normal(0, 0.02, mixed.shape).astype(np.float32)
        vectors.append(mixed / np.linalg.norm(mixed))
    return from_windows(Windows(spans=tuple(spans), vectors=np.array(vectors, np.float32)), segments)


def order(found: Speakers) -> list[str | None]:
    return [turn.speaker for turn in found.turns]


def test_two_speakers_are_named_as_they_begin():
    found = heard((0.5, 4.0, 2), (4.5, 8.0, 0), (8.4, 12.0, 2))
    assert order(found) == ["speaker_1", "speaker_2", "speaker_1"]
    assert (found.turns[0].start, found.turns[0].end) == (0.5, 4.0)
    assert found.nearest == pytest.approx(1.0, abs=0.1)


def test_three_speakers():
    assert order(heard((0, 4, 0), (5, 9, 1), (10, 14, 2), (15, 18, 1))) == [
        *("speaker_1", "speaker_2", "speaker_3", "speaker_2"),
    ]


def test_one_speaker_has_no_turns():
    assert heard((0, 4, 0), (5, 9, 0), (10, 14, 0)) == Speakers()


@pytest.mark.parametrize("segments", [[], [(0.2, 0.9)], [(0.0, 1.2), (2.0, 3.1)]])
def test_silence_and_little_speech_have_no_turns(segments):
    assert turns.find(np.zeros(4 * SAMPLE_RATE, np.float32), segments) == Speakers()


def test_voices_at_once_are_not_told_apart():
    found = heard((0, 5, 0), (6, 11, 1), (12, 13.5, (0, 1)))
    assert order(found) == ["speaker_1", "speaker_2", None]


def test_a_voice_with_a_very_short_turn_is_no_speaker():
    found = heard((0, 5, 0), (6, 11, 1), (12, 12.6, 2))
    assert set(order(found)) <= {"speaker_1", "speaker_2", None}


def test_turns_change_within_a_segment():
    windows = Windows(
        spans=tuple(window_spans([(0.0, 9.0)])), vectors=np.array([VOICES[0]] * 6 + [VOICES[1]] * 5, np.float32)
    )
    found = from_windows(windows, [(0.0, 9.0)]).turns
    assert [turn.speaker for turn in found if turn.speaker] == ["speaker_1", "speaker_2"]
    assert found[-1].start == pytest.approx(4.9, abs=0.4)
    assert found[0].start == 0 and found[-1].end == 9
    assert all(one.end == other.start for one, other in itertools.pairwise(found))


def test_runs_too_short_for_a_turn_go_to_the_longer_neighbour():
    labels = np.array([0, 0, 0, 0, 1, 0, 0, 2, 2, 2, 2, 2, -1])
    assert turns._without_short(labels, 3.0).tolist() == [0] * 7 + [2] * 6


def test_windows_are_bounded_however_long_the_speech():
    segments = [(60.0 * place, 60.0 * place + 59) for place in range(600)]  # ten hours
    assert len(window_spans(segments)) <= turns.MAX_WINDOWS + len(segments)


def test_speakers_are_bounded():
    vectors = np.repeat(np.eye(12, 192, dtype=np.float32), 4, axis=0)
    segments = [(4.0 * place, 4.0 * place + 3.5) for place in range(12)]
    spans = tuple((start + 0.5 * step, start + 0.5 * step + 1.5) for start, _ in segments for step in range(4))
    found = from_windows(Windows(spans=spans, vectors=vectors), segments)
    assert len({turn.speaker for turn in found.turns} - {None}) == turns.MAX_SPEAKERS


def dialogue() -> np.ndarray:
    """A sample's voice, answered by one with lower pitch and formants, and both again."""
    sound = decode_audio(SAMPLES / "positive.webm")
    assert sound is not None
    first = sound.samples[: 5 * SAMPLE_RATE]
    second = np.interp(np.arange(0, len(first), LOWER), np.arange(len(first)), first).astype(np.float32)
    pause = np.zeros(SAMPLE_RATE // 2, np.float32)
    return np.concatenate([first, pause, second, pause, first, pause, second])


def test_voices_that_are_heard():
    samples = dialogue()
    found = turns.find(samples, voice_activity.segments(samples))
    halves = [(0, 5.0), (5.5, 12.4), (13.0, 18.0), (18.5, 25.4)]
    for place, (start, end) in enumerate(halves):
        inside = [turn for turn in found.turns if start <= (turn.start + turn.end) / 2 < end]
        assert {turn.speaker for turn in inside} == {f"speaker_{place % 2 + 1}"}


def test_a_voice_alone_is_one_speaker():
    sound = decode_audio(SAMPLES / "positive.webm")
    assert sound is not None
    assert turns.find(sound.samples, voice_activity.segments(sound.samples)) == Speakers()


def test_two_processes_hear_the_same():
    command = (
        "from tests.extractors.language.speakers.test_turns import dialogue\n"
        "from extractors.language.speakers import turns\n"
        "print(turns.find(dialogue(), [(0.0, 5.0), (5.5, 12.0)]))"
    )
    said = {
        subprocess.run([sys.executable, "-c", command], cwd=ROOT, check=True, capture_output=True, text=True).stdout
        for _ in range(2)
    }
    assert len(said) == 1 and "speaker_2" in said.pop()


def test_a_window_shorter_than_others_is_repeated():
    noise = np.random.default_rng(0).normal(0, 0.1, voices.WINDOW // 2).astype(np.float32)
    short, whole = voices.embed([noise, np.tile(noise, 2)])
    assert np.allclose(short, whole, atol=1e-5)
    assert np.linalg.norm(short) == pytest.approx(1, abs=1e-5)
