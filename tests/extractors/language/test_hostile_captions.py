"""Captions of any text and any bytes: words in order, or a sentence, in a time that grows with the text."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extractors.language.captions.formats import READERS
from extractors.language.subtitles import MAX_CHARACTERS, decode, is_subtitles, parse, to_webvtt
from extractors.language.transcript import MAX_WORDS, TranscriptError
from tests.extractors.language.test_captions import CAPTIONS

DURATION = 9.0  # seconds
# What readers take apart, beside any text.
PIECES = st.sampled_from(
    [
        *(
            "WEBVTT",
            "NOTE",
            "STYLE",
            "\n",
            "\n\n",
            " --> ",
            "00:00:01,000",
            "00:01.000",
            "99:99:99,999",
            "1",
            "[00:01.00]",
        ),
        *(
            "{25}{50}",
            "{",
            "}",
            "[10][20]",
            "|",
            "<v Ann>",
            "<00:00:01.500>",
            "</c>",
            "<",
            ">",
            "&lt;",
            "&#60;",
            "♪",
            "[",
        ),
        *("]", "(", "ANN:", "- ", "[Events]", "Format: Start, End, Text", "Dialogue: 0:00:01.00,0:00:02.00,", "<SAMI>"),
        *(
            "<SYNC Start=1000>",
            "<tt xmlns='http://www.w3.org/ns/ttml'>",
            "<p begin='1s' end='2s'>",
            "</p>",
            "</tt>",
            "\ufeff",
        ),
        *("<!DOCTYPE a [<!ENTITY b 'c'>]>", "&b;", "\0", "\ue000", "word", "00:00:01:", "0:00:01.000,0:00:02.000"),
    ]
)


def check(text: str) -> None:
    try:
        words = parse(text, duration=DURATION, frame_rate=25.0).words
    except TranscriptError as error:
        assert str(error).endswith((".", "?"))
        return
    assert 0 < len(words) <= MAX_WORDS
    starts = [word.start for word in words]
    assert starts == sorted(starts)
    assert all(0 <= word.start <= word.end <= DURATION and word.text.strip() == word.text for word in words)
    written = parse(to_webvtt(words), duration=DURATION).words
    assert [word.text for word in written] == [word.text for word in words]


@settings(max_examples=300, deadline=None)
@given(pieces=st.lists(PIECES | st.text(max_size=10), max_size=40))
def test_any_text_is_words_or_a_sentence(pieces):
    text = "".join(pieces)
    is_subtitles(text)
    check(text)


@settings(max_examples=300, deadline=None)
@given(form=st.sampled_from(sorted(CAPTIONS)), pieces=st.lists(PIECES | st.text(max_size=10), max_size=20))
def test_any_text_within_a_cue_is_words_or_a_sentence(form, pieces):
    check(CAPTIONS[form].format("".join(pieces)))


@settings(max_examples=300, deadline=None)
@given(
    content=st.binary(max_size=200) | st.lists(PIECES, max_size=20).map(lambda pieces: "".join(pieces).encode("utf-16"))
)
def test_any_bytes_are_text_or_a_sentence(content):
    try:
        check(decode(content))
    except TranscriptError as error:
        assert str(error).endswith(".")


@pytest.mark.parametrize("form", sorted(CAPTIONS))
@pytest.mark.parametrize(
    "piece", ["<", "<v ", "[", "(((", "{", "&", "a:", "- ", "<00:00:01.500>", "\n", "ANN: a ", "♪"]
)
def test_time_grows_with_the_text_and_no_faster(form, piece):
    text = CAPTIONS[form].format(piece * (MAX_CHARACTERS // 2 // len(piece)))
    began = time.thread_time()
    check(text)
    assert time.thread_time() - began < 20


@pytest.mark.parametrize(
    "text",
    [
        "00:01.000 --> 00:02.000 a" + ":bb" * 40 + " end\nso good",
        "<!--a-->" * 1_000 + "<other/>",
        "<tt>" + "<body>" * 400 + "<p begin='1s'>a</p>" * 20_000 + "</body>" * 400 + "</tt>",
    ],
    ids=["settings", "comments", "bodies"],
)
def test_a_pattern_within_a_pattern_takes_no_time(text):
    """In a process of its own, as a match that never ends could not be stopped here."""
    read = """
import resource, sys, time
from extractors.language.subtitles import is_subtitles, parse
from extractors.language.transcript import TranscriptError

limit = int(time.process_time()) + 20
resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
text = sys.stdin.read()
try:
    is_subtitles(text)
    parse(text, duration=9.0)
except TranscriptError:
    pass
"""
    done = subprocess.run([sys.executable, "-c", read], input=text, text=True, capture_output=True, timeout=300)
    assert done.returncode == 0, done


def test_every_reader_is_tried():
    assert set(CAPTIONS) == set(READERS)
