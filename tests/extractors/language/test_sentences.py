"""Sentences of a transcript."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extractors.language.sentences import LONG_PAUSE, MAX_SENTENCE_SECONDS, split, turns
from extractors.schema import Word


def said(text, *, pause_after=(), speakers=None, seconds=0.3):
    words, now = [], 0.0
    for place, one in enumerate(text.split(" ")):
        words.append(Word(text=one, start=now, end=now + seconds, speaker=speakers[place] if speakers else None))
        now += seconds + (LONG_PAUSE + 0.1 if place in pause_after else 0.0)
    return words


def texts(words):
    return [sentence.text for sentence in split(words)]


def test_punctuation_ends_a_sentence_and_an_abbreviation_does_not():
    assert texts(said("Dr. Smith came. Really? Yes! 我很高兴。 今天不错。")) == [
        "Dr. Smith came.",
        "Really?",
        "Yes!",
        "我很高兴。",
        "今天不错。",
    ]


def test_without_punctuation_pauses_and_length_end_one():
    assert texts(said("well ok then no", pause_after=[1])) == ["well ok", "then no"]
    long = split(said(" ".join(["word"] * 500)))
    assert len(long) > 1
    assert all(sentence.end - sentence.start <= MAX_SENTENCE_SECONDS for sentence in long)


def test_another_speaker_begins_another_sentence():
    found = split(said("I say he says", speakers=["Ann", "Ann", "Ben", "Ben"]))
    assert [(sentence.speaker, sentence.text) for sentence in found] == [("Ann", "I say"), ("Ben", "he says")]


def test_times_are_those_of_the_words():
    (sentence,) = split(said("a fine day."))
    assert (sentence.first, sentence.last, sentence.start) == (0, 2, 0.0)
    assert sentence.end == pytest.approx(0.9)
    assert split([]) == ()


@given(st.lists(st.text(min_size=1, max_size=8), max_size=60))
def test_every_word_belongs_to_one_sentence_whatever_it_is(texts):
    words = [Word(text=text, start=float(place), end=place + 0.5) for place, text in enumerate(texts)]
    found = split(words)
    assert [place for sentence in found for place in range(sentence.first, sentence.last + 1)] == list(
        range(len(words))
    )


def test_a_long_or_hostile_transcript_is_fast():
    began = time.perf_counter()
    split(said(" ".join(["Dr.", "word.", "..."] * 1000)))
    split(said(" ".join(["." * 20] * 1000)))
    split(said("a" * 500_000))
    assert time.perf_counter() - began < 5


def test_sentences_of_one_speaker_in_a_row_are_one_turn():
    words = said("Yes. Right. No. Why? So.", speakers=["Ann", "Ann", "Bo", None, "Ann"])
    found = turns(split(words))
    assert [turn.speaker for turn in found] == ["Ann", "Bo", None, "Ann"]
    assert (found[0].start, found[0].end) == (words[0].start, words[1].end)
    assert turns(()) == ()
