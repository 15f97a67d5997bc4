from __future__ import annotations

import json
import re
import time
import unicodedata

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from extractors.language import transcript
from extractors.language.asr import recognise
from extractors.language.transcript import (
    MAX_CHARACTERS,
    MAX_WORDS,
    Transcript,
    TranscriptError,
    clamped,
    edit,
    printable,
    split_words,
    typed,
)
from extractors.media.probe import decode_audio
from extractors.messages import Message
from extractors.schema import Word
from tests.extractors.support.clips import tone
from tests.paths import SAMPLES

NOTHING = np.zeros(0, np.float32)


def spoken_in(name):
    """What is said in a sample, word by word without punctuation."""
    described = {sample["file"]: sample for sample in json.loads((SAMPLES / "samples.json").read_text())}
    return plain(described[name]["transcript"].split())


def plain(words):
    return [re.sub(r"\W", "", word).lower() for word in words]


def test_words_are_split_and_cleaned():
    assert split_words("  Don't —  stop\tme\nnow ! 42 ") == ["Don't", "stop", "me", "now", "42"]
    assert split_words("a\x00b \u202eevil\u202c so\u200bft \ud800x") == ["a", "b", "evil", "soft", "x"]
    assert split_words("e\u0301te\u0301 だめ") == ["été", "だめ"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("word " * 10_000, "the limit is"),
        ("a " * (MAX_WORDS + 1), "4,001 words; the limit is 4,000"),
        ("x" * (MAX_CHARACTERS + 1), "40,001 characters; the limit is 40,000"),
        ("... !? —", "holds no word"),
        ("", "holds no word"),
    ],
)
def test_bad_transcripts_are_refused(text, message):
    with pytest.raises(TranscriptError, match=message):
        split_words(text)


def test_the_limits_themselves_are_allowed():
    assert len(split_words("a " * MAX_WORDS)) == MAX_WORDS
    assert split_words("x" * MAX_CHARACTERS) == ["x" * MAX_CHARACTERS]


def test_typed_words_share_a_clip_without_voice():
    given_words = typed("one three", NOTHING, duration=4.0)
    assert given_words.words == (Word(text="one", start=0.0, end=1.5), Word(text="three", start=1.5, end=4.0))
    assert given_words.source == "given"
    assert given_words.notes == (Message("times_from_clip"),)
    assert typed("one three", tone(4)[0], duration=4.0).words == given_words.words  # a tone is no voice


def test_words_share_segments_by_their_length():
    words = transcript.spread(["aa", "bb", "cccc"], [(1.0, 3.0), (10.0, 12.0)])
    assert [(word.start, word.end) for word in words] == [(1.0, 2.0), (2.0, 3.0), (10.0, 12.0)]
    across = transcript.spread(["aaa", "b"], [(0.0, 1.0), (5.0, 6.0)])
    assert [(word.start, word.end) for word in across] == [(0.0, 5.5), (5.5, 6.0)]


@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=40),
    st.lists(st.tuples(st.floats(0.01, 5), st.floats(0.01, 5)), min_size=1, max_size=6),
)
def test_spread_words_lie_in_order_within_the_segments(lengths, gaps_and_lengths):
    segments, now = [], 0.0
    for gap, length in gaps_and_lengths:
        segments.append((now + gap, now + gap + length))
        now += gap + length
    words = transcript.spread(["x" * length for length in lengths], segments)
    edges = [edge for word in words for edge in (word.start, word.end)]
    assert edges == pytest.approx(sorted(edges))
    assert edges[0] == pytest.approx(segments[0][0]) and edges[-1] == pytest.approx(segments[-1][1])
    for edge in edges:
        assert any(begin - 1e-6 <= edge <= end + 1e-6 for begin, end in segments)


def test_typed_words_fall_where_they_are_said():
    sound = decode_audio(SAMPLES / "positive.webm")
    said = " ".join(spoken_in("positive.webm"))
    estimated = typed(said, sound.samples, duration=sound.end)
    recognised = {plain([word.text])[0]: word.start for word in recognise(sound.samples).words}
    once = [word for word in estimated.words if word.text in recognised and said.split().count(word.text) == 1]
    offsets = [abs(word.start - recognised[word.text]) for word in once]
    assert estimated.notes == (Message("times_from_voice"),)
    assert len(offsets) > 10 and np.mean(offsets) < 0.3


SAID = tuple(Word(text=text, start=start, end=end) for text, start, end in [
    ("I", 1.0, 1.2), ("really", 1.2, 1.8), ("lov", 1.8, 2.2), ("it.", 4.0, 4.4)
])  # fmt: skip


def edited(text, words=SAID, duration=6.0):
    return " ".join(f"{word.text} {word.start:.2f}-{word.end:.2f}" for word in edit(words, text, duration=duration))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I really lov it.", "I 1.00-1.20 really 1.20-1.80 lov 1.80-2.20 it. 4.00-4.40"),
        ("i REALLY love it!", "i 1.00-1.20 REALLY 1.20-1.80 love 1.80-2.20 it! 4.00-4.40"),
        ("I lov it", "I 1.00-1.20 lov 1.80-2.20 it 4.00-4.40"),
        ("it", "it 4.00-4.40"),
        ("I just am lov it.", "I 1.00-1.20 just 1.20-1.60 am 1.60-1.80 lov 1.80-2.20 it. 4.00-4.40"),
        # The pause holds what is put there, as fast as people talk.
        (
            "I really lov all of it.",
            "I 1.00-1.20 really 1.20-1.80 lov 1.80-2.20 all 2.20-2.40 of 2.40-2.53 it. 4.00-4.40",
        ),
        ("Yes, I really lov it.", "Yes, 0.73-1.00 I 1.00-1.20 really 1.20-1.80 lov 1.80-2.20 it. 4.00-4.40"),
        ("I really lov it. Yes.", "I 1.00-1.20 really 1.20-1.80 lov 1.80-2.20 it. 4.00-4.40 Yes. 4.40-4.67"),
        # No pause: the word before shares its time.
        ("I really do lov it.", "I 1.00-1.20 really 1.20-1.65 do 1.65-1.80 lov 1.80-2.20 it. 4.00-4.40"),
    ],
)
def test_an_edit_keeps_the_times_of_what_stays(text, expected):
    assert edited(text) == expected


def test_a_word_put_before_one_at_the_very_beginning_shares_its_time():
    first = (Word(text="good", start=0.0, end=0.6), Word(text="day", start=0.6, end=1.0))
    assert edited("so good day", first, 1.0) == "so 0.00-0.20 good 0.20-0.60 day 0.60-1.00"


def test_an_edit_of_nothing_fills_the_clip_from_its_beginning():
    assert edited("all new", (), 3.0) == "all 0.00-0.20 new 0.20-0.40"
    with pytest.raises(TranscriptError, match="holds no word"):
        edit(SAID, "...", duration=6.0)


TEXTS = st.lists(st.sampled_from(["a", "b", "cc", "Ddd,", "e"]), max_size=12)


@given(TEXTS, TEXTS.filter(bool), st.lists(st.tuples(st.floats(0, 1), st.floats(0, 2)), min_size=12, max_size=12))
def test_edited_words_stay_in_order_within_the_clip(old, new, steps):
    now, words = 0.0, []
    for text, (gap, length) in zip(old, steps, strict=False):
        now += gap
        words.append(Word(text=text, start=now, end=now + length))  # may overlap the next
    duration = max([1.0, *(word.end for word in words)])
    result = edit(words, " ".join(new), duration=duration)
    assert [word.text for word in result] == new
    starts = [word.start for word in result]
    assert starts == pytest.approx(sorted(starts)) and all(word.end >= word.start for word in result)
    assert -1e-9 <= starts[0] and max(word.end for word in result) <= duration + 1e-9
    if old == new:
        assert result == tuple(words)


@st.composite
def edits(draw):
    """Words without a text twice, an edit of them, and what it left alone: (words, duration, text, kept, put in)."""
    now, words = 0.0, []
    for index in range(draw(st.integers(1, 10))):
        now += draw(st.sampled_from([0.0, 0.01, 0.3, 2.0]))
        words.append(Word(text=f"old{index}", start=now, end=now + draw(st.sampled_from([0.0, 0.2, 1.0]))))
        now = words[-1].end
    text, kept, inserted = [], [], False
    for index, word in enumerate(words):
        change = draw(st.sampled_from(["keep", "keep", "keep", "respell", "drop", "replace", "split", "insert"]))
        if change == "insert":
            text.append(f"put{index}")
            inserted = True
        if change in ("keep", "respell", "insert"):
            said = word.text.upper() + "!" if change == "respell" else word.text
            kept.append((len(text), word, said))
            text.append(said)
        elif change != "drop":
            text += [f"new{index}x{part}" for part in range(2 if change == "split" else 1)]
    assume(text)
    return tuple(words), now + draw(st.floats(0, 3)), text, kept, inserted


@given(edits())
def test_untouched_words_keep_their_times(edited):
    words, duration, text, kept, inserted = edited
    result = edit(words, " ".join(text), duration=duration)
    assert [word.text for word in result] == text
    for place, before, said in kept:
        after = result[place]
        if not inserted:
            assert after == Word(text=said, start=before.start, end=before.end)
        else:  # a word put in where nobody pauses takes a share of its neighbour's time, and of no other's
            assert before.start <= after.start and after.end <= before.end and after.text == said
            neighbours = text[max(place - 1, 0) : place] + text[place + 1 : place + 2]
            if not any(near.startswith("put") for near in neighbours):
                assert (after.start, after.end) == (before.start, before.end)


def test_a_hostile_edit_takes_no_time():
    words = [Word(text="ab"[index % 2], start=float(index), end=index + 1.0) for index in range(MAX_WORDS)]
    began = time.process_time()
    for text in ("a " * MAX_WORDS, "b a " * (MAX_WORDS // 2), "a a b " * (MAX_WORDS // 3)):
        edit(words, text, duration=1000.0)
    assert time.process_time() - began < 5


def test_marks_without_end_on_a_letter_take_no_time():
    """Unicode's own order of marks takes the square of their number, and nothing else runs in Python meanwhile."""
    for marks in ("\u0301\u0327", "\u0344\u0327"):
        began = time.process_time()
        (word,) = split_words("a" + marks * (MAX_CHARACTERS // 2 - 1))
        assert time.process_time() - began < 1
        assert len(word) < 100
    vowel = "\u1ec7"  # e with two marks
    assert split_words(unicodedata.normalize("NFD", f"Vi{vowel}t")) == [f"Vi{vowel}t"]
    assert printable("a" + "\u0301\u0327" * 15 + "b") == unicodedata.normalize("NFC", "a" + "\u0301\u0327" * 15 + "b")


def test_a_transcript_made_elsewhere_is_checked_and_clamped():
    fitted = clamped(Transcript(words=SAID, source="given"), duration=2.0)
    assert [(word.start, word.end) for word in fitted.words] == [(1.0, 1.2), (1.2, 1.8), (1.8, 2.0), (2.0, 2.0)]
    for start, end in [(float("nan"), 1.0), (1.0, float("inf")), (2.0, 1.0)]:
        with pytest.raises(TranscriptError, match="not in order"):
            clamped(Transcript(words=(Word(text="a", start=start, end=end),), source="given"), duration=2.0)
    with pytest.raises(TranscriptError, match="4,001 words"):
        clamped(Transcript(words=(Word(text="a", start=0.0, end=0.0),) * 4001, source="given"), duration=2.0)


def test_corrected_words_keep_their_speakers():
    said = [("who", "Ann"), ("are", "Ann"), ("you", "Ann"), ("my", None), ("name", "Bo")]
    old = [Word(text=text, start=float(place), end=place + 0.8, speaker=who) for place, (text, who) in enumerate(said)]
    new = {word.text: word.speaker for word in edit(old, "but who were all of you my good name", duration=6.0)}
    assert {new[text] for text in ("but", "who", "were", "all", "of", "you")} == {"Ann"}
    assert new["my"] is None and new["name"] == "Bo"
    plain = [Word(text=word.text, start=word.start, end=word.end) for word in old]
    assert not any(word.speaker for word in edit(plain, "a b", duration=6.0))
