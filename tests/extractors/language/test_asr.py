from __future__ import annotations

import json
import re
from difflib import SequenceMatcher

import numpy as np
import pytest

from extractors.assets.registry import AssetError, asset
from extractors.language import asr
from extractors.language.asr import recognise
from extractors.media.audio import SAMPLE_RATE
from extractors.media.probe import decode_audio
from extractors.schema import Word
from tests.paths import SAMPLES


def spoken_in(name):
    """What is said in a sample, word by word without punctuation."""
    described = {sample["file"]: sample for sample in json.loads((SAMPLES / "samples.json").read_text())}
    return plain(described[name]["transcript"].split())


def plain(words):
    return [re.sub(r"\W", "", word).lower() for word in words]


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(0, np.float32),
        np.zeros(3 * SAMPLE_RATE, np.float32),
        np.random.default_rng(0).normal(0, 0.1, 3 * SAMPLE_RATE).astype(np.float32),
        np.random.default_rng(0).normal(0, 0.1, 100).astype(np.float32),
    ],
    ids=["empty", "silence", "noise", "short"],
)
def test_no_speech(samples):
    recognised = recognise(samples)
    assert recognised.words == () and recognised.source == "none"


def test_recognised_words_are_tidied():
    recognised = [
        Word(text=" I'm", start=-0.1, end=0.2),
        Word(text=" in", start=0.3, end=0.25),
        Word(text=" D", start=0.2, end=0.4),  # before the word before
        Word(text=".C.", start=0.4, end=0.6),
        Word(text=" ...", start=0.6, end=0.7),
        Word(text=" now.", start=0.7, end=9.0),
    ]
    assert asr._tidied(recognised, 1.0, [(1.0, 2.0)]) == (
        Word(text="I'm", start=1.0, end=1.2),
        Word(text="in", start=1.3, end=1.3),
        Word(text="D.C.", start=1.3, end=1.6),
        Word(text="now.", start=1.7, end=2.0),
    )


def test_words_leave_out_the_pause_before_them():
    recognised = [Word(text=" evening.", start=0.5, end=1.0), Word(text=" I", start=1.0, end=3.0)]
    words = asr._tidied(recognised, 0.0, [(0.2, 1.1), (2.5, 4.0)])
    assert [(word.start, word.end) for word in words] == [(0.5, 1.0), (2.5, 3.0)]
    unvoiced = asr._tidied(recognised, 0.0, [(7.0, 8.0)])
    assert [(word.start, word.end) for word in unvoiced] == [(0.5, 1.0), (1.0, 3.0)]


@pytest.mark.parametrize("name", ["positive.webm", "negative.webm"])
def test_speech_is_recognised_with_its_times(name):
    sound = decode_audio(SAMPLES / name)
    reports = []
    recognised = recognise(sound.samples, start=2.0, progress=lambda *event: reports.append(event))
    words = plain(word.text for word in recognised.words)
    assert recognised.source == "recognised" and recognised.notes == ()
    assert SequenceMatcher(a=words, b=spoken_in(name), autojunk=False).ratio() > 0.85
    starts = np.array([word.start for word in recognised.words])
    lengths = np.array([word.end - word.start for word in recognised.words])
    assert (np.diff(starts) >= 0).all() and starts[0] > 2 and recognised.words[-1].end <= 2 + sound.end
    assert (lengths >= 0).all() and lengths.max() < 1  # no word holds the pause before it
    assert reports[-1][0] == reports[-1][1] == int(np.ceil(sound.end))


def test_repeated_speech_is_never_recognised_by_chance():
    """The library's answer to repetition is to sample again, without a seed."""
    phrase = decode_audio(SAMPLES / "positive.webm").samples[: round(1.6 * SAMPLE_RATE)]
    runs = [list(asr.load().whisper.transcribe(np.tile(phrase, 8), **asr.OPTIONS)[0]) for _ in range(2)]
    assert max(segment.compression_ratio for segment in runs[0]) > 2.4  # from which it would sample
    assert {segment.temperature for segment in runs[0]} == {0.0}
    assert [segment.words for segment in runs[0]] == [segment.words for segment in runs[1]]


def test_a_recogniser_of_ones_own_is_named(tmp_path):
    own = tmp_path / "whisper-of-mine"
    own.symlink_to(asset("whisper_base"))
    recognised = recognise(decode_audio(SAMPLES / "negative.webm").samples, recogniser=str(own))
    assert recognised.words and recognised.notes[0].values["model"] == "whisper-of-mine"


def test_what_is_no_recogniser_is_a_sentence(tmp_path):
    with pytest.raises(AssetError, match=r"has no model\.bin"):
        asr.load(str(tmp_path))
    for name in ("model.bin", "config.json", "tokenizer.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(AssetError, match="cannot be loaded"):
        asr.load(str(tmp_path))


def test_a_first_word_that_begins_in_the_pause_before_it_is_moved_to_its_segment():
    voiced = [(1.0, 4.0), (10.0, 12.0)]
    last, second = Word(text=" was.", start=3.3, end=3.6), Word(text=" might", start=10.4, end=10.6)
    for start, end in ((3.9, 4.4), (3.6, 10.2)):  # carried to the segment before, or over the pause
        words = [last, Word(text=" He", start=start, end=end), second]
        assert asr._after_pauses(words, voiced) == [last, Word(text=" He", start=10.0, end=10.4), second]
    early = Word(text=" even", start=10.05, end=10.4)  # the next word is where the segment begins
    long = Word(text=" was", start=3.3, end=4.2)  # most of it is in its own segment
    for words in ([last, Word(text=" He", start=3.9, end=4.4), early], [long, second]):
        assert asr._after_pauses(words, voiced) == words
