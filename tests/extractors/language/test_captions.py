"""Captions as people upload them: formats, encodings, sloppy files, and what in them is not said."""

from __future__ import annotations

import html
import re
import time

import pytest

from extractors.language.subtitles import MAX_CHARACTERS, decode, is_subtitles, parse, to_webvtt
from extractors.language.transcript import MAX_WORDS, TranscriptError, split_words
from extractors.messages import Message
from extractors.schema import Word


def texts(text, **options):
    return [word.text for word in parse(text, **options).words]


def timed(text, **options):
    return [(word.text, round(word.start, 2), round(word.end, 2)) for word in parse(text, **options).words]


def codes(text, **options):
    return [note.code for note in parse(text, **options).notes if note.code != "times_from_subtitles"]


def cue(text, start="00:00:01,000", end="00:00:02,000"):
    return f"1\n{start} --> {end}\n{text}\n"


AUTOMATIC = """WEBVTT
Kind: captions
Language: en

00:00:00.400 --> 00:00:03.000 align:start position:0%
\x20
good<00:00:01.400><c> morning</c><00:00:01.600><c> to</c><00:00:01.700><c> you</c>

00:00:03.000 --> 00:00:03.010 align:start position:0%
good morning to you
\x20

00:00:03.010 --> 00:00:06.000 align:start position:0%
good morning to you
from<00:00:03.500><c> all</c>

00:00:06.000 --> 00:00:06.010 align:start position:0%
from all
\x20

00:00:06.010 --> 00:00:07.800 align:start position:0%
from all
of<00:00:06.300><c> us</c>
"""


def test_automatic_captions_give_each_word_once_at_its_own_time():
    assert timed(AUTOMATIC) == [
        ("good", 0.4, 1.4),
        ("morning", 1.4, 1.6),
        ("to", 1.6, 1.7),
        ("you", 1.7, 3.0),
        ("from", 3.01, 3.5),
        ("all", 3.5, 6.0),
        ("of", 6.01, 6.3),
        ("us", 6.3, 7.8),
    ]


def test_rolled_up_lines_without_word_times_are_merged():
    lines = ["one day", "in May", "we went", "far away"]
    cues = [cue("\n".join(lines[max(0, i - 1) : i + 1]), f"00:00:0{i},000", f"00:00:0{i + 1},000") for i in range(4)]
    assert texts("\n".join(cues)) == " ".join(lines).split()


def test_a_line_that_is_said_twice_stays():
    cues = [cue("No!", f"00:00:0{i},000", f"00:00:0{i + 1},000") for i in range(3)]
    assert texts("\n".join(cues)) == ["No!"] * 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1\n00:00:00,000 --> 00:00:02,000\nI am late,\n\nvery late.\n\n2\n00:00:02,500 --> 00:00:04,000\nSorry.\n",
         "I am late, very late. Sorry."),
        ("WEBVTT\n\n00:00.000 --> 00:02.000\nI am late,\n\nvery late.\n\nsecond\n00:02.500 --> 00:04.000\nSorry.\n",
         "I am late, very late. Sorry."),
        ("1\r\r\n00:00:00,000 --> 00:00:02,000\r\r\nso\r\r\n\r\r\n2\r\r\n00:00:02,500 --> 00:00:04,000\r\r\nlong\r\r\n",
         "so long"),
        ("1\r00:00:00,000 --> 00:00:02,000\rold Mac\r", "old Mac"),
        ("1\n00:00:01,000 --> 00:00:02,000\n42\n\n2\n00:00:03,000 --> 00:00:04,000\n43\n", "42 43"),
        ("00:00:01,000 --> 00:00:02,000\n\nlate start\n", "late start"),
        (cue("a\n\n\n\nb"), "a b"),
        ("[00:00.000 --> 00:02.000]  As Whisper prints.\n[00:02.000 --> 00:03.000]  Yes.\n", "As Whisper prints. Yes."),
    ],
)  # fmt: skip
def test_nothing_within_a_cue_is_lost(text, expected):
    assert texts(text) == expected.split()


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("00:00:00, 500", "00:00:02, 000", (0.5, 2.0)),
        ("00:00:00,0000", "00:00:02,0000", (0.0, 2.0)),
        ("-00:00:01,500", "00:00:01,000", (0.0, 1.0)),
        ("0:0:1", "0:0:2.5", (1.0, 2.5)),
        ("00:01.5", "00:02", (1.5, 2.0)),
        ("00:00:01:250", "00:00:02:000", (1.25, 2.0)),
        ("00 : 00 : 01.000", "00:00:02.000", (1.0, 2.0)),
        ("00:61,000", "00:62,000", (61.0, 62.0)),
    ],
)
def test_sloppy_times_are_read(start, end, expected):
    (word,) = parse(cue("word", start, end)).words
    assert (word.start, word.end) == pytest.approx(expected)


@pytest.mark.parametrize("arrow", ["-->", "->", "--->", "-- >", "–>", "→", "--&gt;"])
def test_sloppy_arrows_are_read(arrow):
    assert timed(f"1\n00:00:01,000 {arrow} 00:00:02,000\nword\n") == [("word", 1.0, 2.0)]


@pytest.mark.parametrize(
    ("bad", "line"),
    [
        ("00:00:05,000 --> 00:00:03,000", 5),
        ("OO:00:02,000 --> 00:00:03,000", 5),
        ("00:00:02,000 --> soon", 5),
        ("-00:00:09,000 --> -00:00:08,000", 5),
    ],
)
def test_a_cue_that_cannot_be_placed_is_noted_and_its_words_are_no_ones_elses(bad, line):
    parsed = parse(cue("kept") + f"\n{bad}\nlost\n\n" + cue("kept too", "00:00:06,000", "00:00:07,000"))
    assert [word.text for word in parsed.words] == ["kept", "kept", "too"]
    assert parsed.notes[-1] == Message("subtitles_unplaced", {"count": 1, "line": line})


def test_text_before_the_first_time_is_noted():
    assert codes("Hello from the start.\n\n" + cue("kept")) == ["subtitles_unplaced"]
    assert codes("\n\n" + cue("kept")) == []


ASS = """[Script Info]
Title: My awful worst video
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize
Style: Default,Arial,20

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Comment: 0,0:00:00.00,0:00:09.00,Default,,0,0,0,,never shown
Dialogue: 0,0:00:00.50,0:00:02.00,Default,Ann,0,0,0,,{\\an8}So\\Ngood, really
Dialogue: 0,0:00:02.00,0:00:03.00,Default,,0,0,0,,{\\p1}m 0 0 l 10 10{\\p0}
"""
TTML = """<?xml version="1.0" encoding="UTF-8"?>
<tt xmlns="http://www.w3.org/ns/ttml" xmlns:ttp="http://www.w3.org/ns/ttml#parameter" ttp:frameRate="25"
 ttp:tickRate="10000000"><head><metadata><title>worst</title></metadata></head><body><div begin="1s"><div>
<p begin="0s" end="1s">so <span>good</span><br/>it is</p><p begin="00:00:01:05" dur="0.5s">yes</p></div></div>
<p begin="30000000t" end="40000000t">a &lt; b</p></body></tt>"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ASS, [("So", 0.5, 0.77), ("good,", 0.77, 1.45), ("really", 1.2, 2.0)]),
        ("[Events]\nFormat: Start, End, Text\nDialogue: 0:00:01.00,0:00:02.00,so, so\n",
         [("so,", 1.0, 1.6), ("so", 1.6, 2.0)]),
        ("[Script Info]\n[Events]\nFormat: Marked, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
         "Dialogue: Marked=0,0:00:01.00,0:00:02.00,X,,0000,0000,0000,!Effect,old\n", [("old", 1.0, 2.0)]),
        ("0:00:00.500,0:00:02.000\nso\n\n0:00:02.500,0:00:04.000\nlong\n", [("so", 0.5, 2.0), ("long", 2.5, 4.0)]),
        ("[INFORMATION]\n[TITLE]worst\n[END INFORMATION]\n[SUBTITLE]\n00:00:01.00,00:00:02.00\na[br]b\n",
         [("a", 1.0, 1.5), ("b", 1.5, 2.0)]),
        ("[ti:Film]\n[00:00.50]so\n[00:02.50]long\n", [("so", 0.5, 1.5), ("long", 2.5, 3.5)]),
        ("[offset:+500]\n[00:01.00]so\n[00:01.80]\n", [("so", 0.5, 1.3)]),
        ("[00:01.00]<00:01.20>so <00:01.50>long\n[00:02.00]\n", [("so", 1.2, 1.5), ("long", 1.5, 2.0)]),
        ("{1}{1}10\n{10}{20}{y:i}so|long\n", [("so", 1.0, 1.33), ("long", 1.33, 2.0)]),
        ("[10][20]/so|long\n", [("so", 1.0, 1.33), ("long", 1.33, 2.0)]),
        ("<SAMI><BODY><SYNC Start=1000><P>so<SYNC Start=2000><P>&nbsp;</BODY></SAMI>", [("so", 1.0, 1.63)]),
        (TTML, [("so", 1.0, 1.2), ("good", 1.2, 1.6), ("it", 1.6, 1.8), ("is", 1.8, 2.0), ("yes", 2.2, 2.7),
                ("a", 3.0, 3.5), ("b", 3.5, 4.0)]),
        (TTML.replace("ns/ttml", "2006/10/ttaf1"), None),
    ],
)  # fmt: skip
def test_formats_are_read(text, expected):
    if expected is None:
        assert timed(text) == timed(TTML)
    elif text is ASS:
        assert texts(text) == ["So", "good,", "really"]
        assert {word.speaker for word in parse(text).words} == {"Ann"}
    else:
        assert timed(text) == expected


def test_frames_are_counted_by_the_clip_and_that_is_noted():
    text = "{10}{20}word\n"
    assert timed(text, frame_rate=10.0) == [("word", 1.0, 2.0)] and timed(text) == [("word", 0.4, 0.8)]
    assert codes(text, frame_rate=10.0) == ["subtitles_frames_counted"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Scenarist_SCC V1.0\n\n00:00:01:00\t9420 9420\n", "Scenarist SCC"),
        ("# VobSub index file, v7\nid: en, index: 0\n", "VobSub"),
        ("{QTtext} {font:Tahoma}\n[00:00:01.00]\nword\n", "QuickTime Text"),
        ("<window type='generic'><time begin='1'/>word</window>", "RealText"),
        ('<?xml version="1.0"?><transcript><text start="1" dur="1">word</text></transcript>', "YouTube XML"),
        ('{"wireMagic": "pb3", "events": [{"tStartMs": 0, "segs": [{"utf8": "word"}]}]}', "JSON"),
        ('[{"text": "word", "start": 0.0, "end": 1.0}]', "JSON"),
        ("start\tend\ttext\n0\t1000\tword\n", "CSV"),
        ("0.5\t2.0\tword\n", "CSV"),
        ("$FontName = Arial\n00:00:01:00 , 00:00:02:00 , word\n", "Spruce STL"),
        ("<?xml version='1.0'?><captions><c>word</c></captions>", "XML"),
        ("@ This file was made by\n<begin subtitles>\n00:00:01:00 00:00:02:00\nword\n<end subtitles>\n", "Avid DS"),
    ],
)
def test_other_formats_are_refused_by_name_and_never_read_as_speech(text, name):
    assert is_subtitles(text)
    with pytest.raises(TranscriptError) as refused:
        parse(text)
    assert refused.value.message == Message("subtitles_format_not_read", {"format": name})


@pytest.mark.parametrize(
    "text",
    [
        *("0:00\nso\n0:05\nlong\n", "00:01 so\n00:05 long\n", "(0:01) so\n(0:02) long"),
        *("Ann  0:01\nso\n\nBob  0:05\nlong\n", "Speaker 1 (00:01)\nso\nSpeaker 2 (00:05)\nlong\n"),
    ],
)
def test_lines_that_begin_or_end_with_times_are_refused(text):
    with pytest.raises(TranscriptError, match="in no format that is read"):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "10:30 is when I woke up.",
        "1, 2, 3 and go.",
        "Start, then end, then text.",
        "{so} I [said] to him",
        "We won 3:2 yesterday.\nIt was great.",
        "<3 is love",
        "Dialogue is hard.",
        "I said -> go.",
        "I came at 10:30\nI left at 11:45",
    ],
)
def test_plain_text_is_no_captions(text):
    assert not is_subtitles(text)


@pytest.mark.parametrize(
    "text",
    [
        "[Script Info]\n[Events]\nDialogue: 0,whenever,0:00:02.00,X,,0,0,0,,a\n",
        "<tt><body><p begin='1s' end='2s'>a</body></tt>",
        "<!DOCTYPE x [<!ENTITY a 'aaaa'>]><tt><body><p>&a;</p></body></tt>",
        "<SAMI><SYNC><P>a</SAMI>",
        "<tt><body>" + "<div>" * 5_000 + "</div>" * 5_000 + "</body></tt>",
        "[00:01.00]\n",
    ],
)
def test_damaged_captions_end_in_a_sentence(text):
    with pytest.raises(TranscriptError) as refused:
        parse(text)
    assert str(refused.value).endswith(".")


@pytest.mark.parametrize(
    ("text", "expected", "speakers"),
    [
        ("[sad music, woman screaming] yes", "yes", [None]),
        ("MAN: I love it", "I love it", ["MAN"] * 3),
        ("DR. O'NEIL #2: fine\nall of it", "fine all of it", ["DR. O'NEIL 2"] * 4),
        ("[ANN]: so (sighs) good", "so good", ["ANN"] * 2),
        ("- yes\n- no", "yes no", [None] * 2),
        ("-MAN: yes\n-ANN: no", "yes no", ["MAN", "ANN"]),
        (">> JOHN: so\n>> fine", "so fine", ["JOHN", None]),
        ("♪ la la ♪", "la la", [None] * 2),
        ("I <3 you and 5 > 4", "I <3 you and 5 4", [None] * 6),
        ("it is -5 now, at 10:30", "it is -5 now, at 10:30", [None] * 6),
        ("<i>[door\nslams]</i> well", "well", [None]),
        ("<font color='red'>red</font> a<br>b", "red a b", [None] * 3),
        ("Listen: I love it", "Listen: I love it", [None] * 4),
        ("<v.loud Ann Lee>so <v Bob>no</v> me", "so no me", ["Ann Lee", "Bob", None]),
        ("<v Ann>- so", "so", ["Ann"]),
        ("&#45; a", "- a".split()[1], [None]),
    ],
)
def test_only_what_is_said_is_a_word(text, expected, speakers):
    words = parse(cue(text)).words
    assert [word.text for word in words] == expected.split()
    assert [word.speaker for word in words] == [speaker and speaker.replace(" 2", " #2") for speaker in speakers]


def test_names_in_small_letters_are_told_by_their_number():
    turns = [cue("Ann: so"), cue("Bob Ray: no", "00:00:03,000", "00:00:04,000")]
    assert [(word.text, word.speaker) for word in parse("\n".join(turns)).words] == [("so", "Ann"), ("no", "Bob Ray")]


def test_left_out_sounds_are_noted():
    assert codes(cue("(laughs) so")) == ["subtitles_sounds_left_out"]
    assert codes(cue("[Ann]: so")) == []
    with pytest.raises(TranscriptError, match="hold no word"):
        parse(cue("[applause]"))


def test_webvtt_blocks_within_the_file_are_not_said():
    text = "WEBVTT\n\n00:01.000 --> 00:02.000\na\n\nNOTE bad\nworse\n\n00:03.000 --> 00:04.000 line:0 align:end\nb\n"
    assert texts(text) == ["a", "b"]


@pytest.mark.parametrize(
    "timing",
    [
        "00：00：01，500 --> 00：00：02，500",
        "00:00:01,500\u00a0-->\u00a000:00:02,500",
        "\u200b00:00:01,500 --> 00:00:02,500\u200f",
        "\u0660\u0660:\u0660\u0660:\u0660\u0661,\u0665\u0660\u0660 --> 00:00:02,500",
        "00:00:01.5 → 00:00:02.5",
    ],
    ids=["full width", "no-break spaces", "format characters", "other digits", "an arrow"],
)
def test_times_are_read_whatever_keyboard_wrote_them(timing):
    (word,) = parse(f"1\n{timing}\nwell\n").words
    assert (word.text, word.start, word.end) == ("well", 1.5, 2.5)


def test_ruby_annotations_are_not_said_twice():
    assert texts("WEBVTT\n\n00:01.000 --> 00:02.000\n<ruby>base<rt>reading</rt></ruby> word\n") == ["base", "word"]


def test_speakers_and_odd_words_survive_a_round_trip():
    words = (
        Word(text="-NO:", start=0.0, end=0.5, speaker="Ann & Co"),
        Word(text="[a]", start=0.5, end=1.0, speaker="Ann & Co"),
        Word(text=">>b", start=1.0, end=1.5, speaker="Bob"),
        Word(text="(c", start=1.5, end=2.0),
    )
    assert parse(to_webvtt(words)).words == words


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("I really love it", "utf-16"),
        ("I really love it", "utf-16-le"),
        ("I really love it", "utf-16-be"),
        ("I really love it", "utf-32"),
        ("schön", "utf-8-sig"),
        ("Café déjà vu", "cp1252"),
        ("It’s a “great” film", "cp1252"),
        ("¡Qué día tan bonito, señor! ¿No?", "cp1252"),
        ("Я очень люблю этот фильм", "cp1251"),
        ("Zażółć gęślą jaźń", "cp1250"),
        ("Bugün çok güzel bir gün, teşekkürler", "cp1254"),
        ("Καλημέρα, τι κάνεις", "cp1253"),
        ("אני אוהב את הסרט הזה", "cp1255"),
        ("أنا أحب هذا الفيلم كثيرا", "cp1256"),
        ("この映画が大好きです", "cp932"),
        ("我非常喜欢这部电影", "gb18030"),
        ("我非常喜歡這部電影", "big5"),
        ("이 영화를 정말 좋아해요", "cp949"),
        # A few words, as short files have them.
        *(
            (text, "cp1252")
            for text in ("Das ist schön", "très bien", "não sei", "Hyvää päivää", "ça va", "naïve café")
        ),
        *((text, "cp1252") for text in ("It’s me", "Über alles", "José", "Göteborg är fint", "Þetta er gott")),
        *((text, "cp1250") for text in ("Dziękuję bardzo", "Tłumaczenie", "Gdzie jesteś?", "Děkuji", "Nem értem")),
        *((text, "cp1250") for text in ("To je skvělý film", "Hvala lijepo, vidimo se večer", "Źle")),
        *((text, "iso8859_2") for text in ("Cześć, jak się masz?", "Příliš žluťoučký kůň")),
        *((text, "cp1251") for text in ("Привет", "Спасибо", "Я не знаю", "Добър ден", "Чудовий фільм")),
        *((text, "cp1254") for text in ("Teşekkür ederim", "Günaydın", "Nasılsın?")),
        *((text, "cp1257") for text in ("Labas rytas, kaip sekasi? Ačiū", "Paldies, tas ir ļoti labi")),
        *(("Καλημέρα", "cp1253"), ("שלום", "cp1255"), ("هذا الفيلم رائع", "cp1256"), ("你好", "gb18030")),
        *(("謝謝", "big5"), ("ありがとう", "cp932"), ("안녕하세요", "cp949"), ("Привет, как дела?", "koi8_r")),
    ],
)
def test_encodings_are_told_apart(text, encoding):
    assert decode(cue(text).encode(encoding)).lstrip("\ufeff") == cue(text)


@pytest.mark.parametrize("data", [b"\x00\x01\x02\x03" * 9, b"\xff\xfe\x00\xd8\x00\x00", b"WEBVTT\x00\x00\x00"])
def test_bytes_that_are_no_text_are_refused(data):
    with pytest.raises(TranscriptError, match="cannot be read as text"):
        decode(data)


@pytest.mark.parametrize(
    "filling",
    ["[", "(", "[ ", "- ", "A:\n", "<v a>", "<v  ", " ", "\n", "{1}{2}a\n", "[1][2]a\n", "[00:01.00]a\n", "A: ",
     "<p>", "&#45;", "[00:01.00]", "00:00:01:a\n", "Dialogue: 0,0:00:01.00,0:00:02.00,a\n", "{\\k1}", "<tt>",
     "<SYNC Start=1>"],
)  # fmt: skip
@pytest.mark.parametrize("begin", ["WEBVTT\n\n00:01.000 --> 00:02.000\nword ", "", "<SAMI>", "[Events]\n"])
def test_hostile_captions_take_no_time(begin, filling):
    text = begin + filling * ((MAX_CHARACTERS - 100) // len(filling))
    began = time.thread_time()
    try:
        if is_subtitles(text):
            assert len(parse(text, duration=60.0).words) <= MAX_WORDS
    except TranscriptError as error:
        assert str(error).endswith(".")
    assert time.thread_time() - began < 5


CAPTIONS = {
    "WebVTT": "WEBVTT\n\n00:01.000 --> 00:02.000\n{}\n",
    "SRT": "1\n00:00:01,000 --> 00:00:02,000\n{}\n",
    "SBV": "0:00:01.000,0:00:02.000\n{}\n",
    "LRC": "[00:01.00]{}\n",
    "SubStation Alpha": "[Events]\nFormat: Start, End, Text\nDialogue: 0:00:01.00,0:00:02.00,{}\n",
    "MicroDVD": "{{25}}{{50}}{}\n",
    "MPL2": "[10][20]{}\n",
    "TMPlayer": "00:00:01:{}\n",
    "SAMI": "<SAMI><BODY>\n<SYNC Start=1000><P>{}\n</BODY></SAMI>\n",
    "TTML": '<tt xmlns="http://www.w3.org/ns/ttml"><body><div><p begin="1s" end="2s">{}</p></div></body></tt>',
}
VOICES = ("<v Ann>good</v>", "<v.loud Ann>good", "<V ANN>good</V>", "<v>good", "good <v", "good </v", "good <v.loud")
VOICES += ("<v Ann<b>>good", "<<v Ann>>good", "<v/>good", "<v\tAnn>good", "&#60;v Ann&#62;good", "<\u200bv Ann>good")


@pytest.mark.parametrize("escaped", [False, True])
@pytest.mark.parametrize("markup", VOICES)
@pytest.mark.parametrize("form", [*CAPTIONS, "typed"])
def test_the_markup_of_voices_is_no_word(form, markup, escaped):
    """Whatever the format, and also where a converter has escaped it."""
    if escaped or form == "TTML":
        markup = html.escape(markup)
    if form == "typed":
        words = split_words(html.unescape(markup))
    else:
        words = [word.text for word in parse(CAPTIONS[form].format(markup), duration=9.0, frame_rate=25.0).words]
    assert any("good" in word for word in words)
    assert not [word for word in words if re.match(r"<*/?v\b", word, re.IGNORECASE) or "<v" in word.lower()]
