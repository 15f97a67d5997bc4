from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extractors.language.subtitles import MAX_CHARACTERS, is_subtitles, parse, to_webvtt
from extractors.language.transcript import MAX_WORDS, TranscriptError
from extractors.messages import Message
from extractors.pipeline import extract
from extractors.schema import Word
from tests.extractors.support.clips import make_clip, tone

SRT = """1
00:00:01,000 --> 00:00:03,000
<i>What a</i> day!

2
00:00:04,000 --> 00:00:05,500
{\\an8}Tom &amp; I
<b>love</b> it
"""


def timed(words):
    return [(word.text, round(word.start, 3), round(word.end, 3)) for word in words]


def test_srt_words_share_their_cue_by_length():
    parsed = parse(SRT, duration=60.0)
    assert timed(parsed.words) == [
        ("What", 1.0, 1.889),
        ("a", 1.889, 2.111),
        ("day!", 2.111, 3.0),
        ("Tom", 4.0, 4.45),
        ("I", 4.45, 4.6),
        ("love", 4.6, 5.2),
        ("it", 5.2, 5.5),
    ]
    assert parsed.source == "given" and parsed.notes == (Message("times_from_subtitles"),)


def test_webvtt_tags_notes_styles_and_inner_times():
    text = """\ufeffWEBVTT - a title

NOTE
nothing to say

STYLE
::cue { color: red }

intro
00:01.000 --> 00:03.000 align:start position:10%
<v Ann Lee><c.yellow>so</c></v> <00:00:02.500><lang en>good</lang> &lt;3

1:00:00.000 --> 1:00:01.000
late
"""
    assert timed(parse(text).words) == [
        ("so", 1.0, 2.5),
        ("good", 2.5, 2.833),
        ("<3", 2.833, 3.0),
        ("late", 3600.0, 3601.0),
    ]


def test_times_are_clamped_to_the_clip():
    parsed = parse(SRT, duration=2.0)
    assert parsed.words[-1].end == 2.0 and [word.text for word in parsed.words] == ["What", "a", "day!"]
    assert parsed.notes[-1] == Message("subtitles_left_out", {"count": 1})
    with pytest.raises(TranscriptError, match="after the end of the clip"):
        parse(SRT, duration=0.5)


def test_overlapping_and_unordered_cues_become_words_in_order():
    text = "WEBVTT\n\n00:02.000 --> 00:04.000\nb c\n\n00:01.000 --> 00:03.500\na d\n\n00:03.000 --> 00:03.000\ne"
    words = parse(text).words
    starts = [word.start for word in words]
    assert starts == sorted(starts) and all(word.end >= word.start for word in words)
    assert sorted(word.text for word in words) == list("abcde")


def test_cues_without_blank_lines_between_them():
    text = "1\r\n00:00:01,000 --> 00:00:02,000\r\none\r\n2\r\n00:00:02,000 --> 00:00:03,000\r\n2 two\r\n"
    assert [word.text for word in parse(text).words] == ["one", "2", "two"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SRT, True),
        ("WEBVTT", True),
        ("  \n\ufeffWEBVTT\n\n", True),
        ("00:01 --> 00:02\nhi", True),
        ("1\n00:00:01,000 --> whenever\nhi", True),
        ("WEBVTTs are files", False),
        ("I said --> go", False),
        ("what a <b>day</b>", False),
        ("", False),
    ],
)
def test_subtitles_are_distinguished_from_plain_text(text, expected):
    assert is_subtitles(text) is expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("WEBVTT", "hold no timing"),
        ("WEBVTT\n\n00:01.000 --> soon\nhi", "Line 3 .* no timing that can be read"),
        ("00:01 --> 99999999999999:00:00\nhi", "Line 1 .* no timing"),
        ("WEBVTT\n\n00:05.000 --> 00:01.000\nhi", "Line 3 .* ends before it begins"),
        ("WEBVTT\n\n00:01.000 --> 00:02.000\n<b></b> ...", "hold no word"),
        ("WEBVTT\n\n00:01.000 --> 00:02.000\n" + "a " * (MAX_WORDS + 1), f"more than {MAX_WORDS:,} words"),
        ("WEBVTT" + " " * MAX_CHARACTERS, "characters; the limit is"),
    ],
)
def test_what_cannot_be_used_ends_in_a_sentence(text, message):
    with pytest.raises(TranscriptError, match=message):
        parse(text)


@pytest.mark.parametrize("filling", ["<", "<00:00:01.000>", "00:01 --> 00:02\n", "{\\", "&", "1\n", "0:", "<v ", "-->"])
def test_hostile_subtitles_take_no_time(filling):
    text = "WEBVTT\n\n00:01.000 --> 00:02.000\nword " + filling * ((MAX_CHARACTERS - 100) // len(filling))
    began = time.process_time()
    try:
        assert len(parse(text, duration=60.0).words) <= MAX_WORDS
    except TranscriptError as error:
        assert str(error).endswith(".")
    assert time.process_time() - began < 5


@given(st.text(alphabet="0123:.,->< \nWEBVTab&;/{}\\\u202e\x00é", max_size=200), st.floats(0.1, 100))
def test_any_text_ends_in_words_or_in_a_sentence(text, duration):
    try:
        words = parse("WEBVTT\n\n00:01.000 --> 00:02.000\n" + text, duration=duration).words
    except TranscriptError:
        return
    edges = [(word.start, word.end) for word in words]
    assert all(0 <= start <= end <= duration for start, end in edges)
    assert edges == sorted(edges, key=lambda edge: edge[0])


@st.composite
def spoken(draw):
    """Words in time order, in whole milliseconds."""
    texts = draw(st.lists(st.from_regex(r"[ab<>&;'-]{0,4}[aé1][<>&;-]{0,4}", fullmatch=True), min_size=1, max_size=30))
    now, words = 0, []
    for text in texts:
        start = now + draw(st.integers(0, 1500))
        now = start + draw(st.integers(0, 900))
        words.append(Word(text=text, start=start / 1000, end=now / 1000))
    return tuple(words)


@given(spoken())
def test_webvtt_gives_the_words_back_with_their_times(words):
    written = to_webvtt(words)
    assert is_subtitles(written)
    assert timed(parse(written).words) == timed(words)


def test_overlapping_words_are_written_so_that_players_can_read_them():
    words = (Word(text="a", start=0.0, end=2.0), Word(text="b", start=1.0, end=1.5))
    assert to_webvtt(words) == "WEBVTT\n\n00:00:00.000 --> 00:00:02.000\na <00:00:01.000>b\n"


def test_a_clip_takes_subtitles(tmp_path):
    path = make_clip(tmp_path / "clip.webm", sound=tone(2, rate=48_000), rate=48_000)
    features = extract(path, "WEBVTT\n\n00:00.500 --> 00:09.000\nlovely day")
    assert [word.text for word in features.words] == ["lovely", "day"]
    assert features.words[0].start == 0.5 and features.words[-1].end == pytest.approx(features.duration)
    assert features.transcript_source == "given" and Message("times_from_subtitles") in features.notes
    assert features.language.start.tolist() == [word.start for word in features.words]
    with pytest.raises(TranscriptError, match="no timing"):
        extract(path, "1\n00:00:01,000 --> then\nhi")
