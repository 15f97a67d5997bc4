from __future__ import annotations

import numpy as np
import pytest

from extractors.audio import quality
from extractors.language import asr, languages, speech_languages, speech_states
from extractors.language.languages import foreign
from extractors.language.speech_languages import Run
from extractors.language.transcript import Transcript, TranscriptError
from extractors.media.probe import SAMPLE_RATE, decode_audio
from extractors.messages import Message
from extractors.pipeline import extract
from extractors.schema import Word
from extractors.storage.config import ExtractionConfig
from tests.extractors.support.clips import every, grey, make_clip
from tests.paths import DATA, SAMPLES


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("zh", "这部电影太棒了"),
        ("ja", "この映画は最高です"),
        ("ko", "이 영화 정말 좋아요"),
        ("ru", "привет"),
        ("ar", "هذا الفيلم رائع"),
        ("hi", "यह फिल्म बहुत अच्छी है"),
        ("th", "หนังเรื่องนี้ดีมาก"),
        ("el", "Αυτή η ταινία είναι υπέροχη"),
        ("de", "ICH LIEBE DIESEN FILM"),
        ("de", "Ich liebe es"),
        ("es", "muy bien"),
        ("es", "Gracias"),
        ("fr", "je t'aime"),
        ("pt", "Eu adorei este filme"),
        ("tr", "Bu film çok güzel"),
        ("vi", "Bộ phim này rất hay"),
    ],
)
def test_another_language_is_noticed_in_short_texts(language, text):
    found = foreign(text)
    assert found is not None and found.language == language and found.share == 1


@pytest.mark.parametrize(
    "text",
    [
        *("ok", "No.", "Wow!", "Ah, um...", "No-no-no-no!", "lol omg wtf", "grrr argh", "12 000", "😀", "y'know"),
        *("Uma Thurman", "Joey Tribbiani, Chandler Bing", "Alejandro González Iñárritu", "Schwarzenegger"),
        *("Zinedine Zidane and Karim Benzema", "naïve café", "That was très chic", "IM A BIG TRANSFORMERS FAN"),
        *("DIE HARD", "SO IM IM IM THROUGH WITH THAT GUY", "Kids are talking by the door", "C'est la vie"),
    ],
)
def test_short_english_and_names_are_not_foreign(text):
    assert foreign(text) is None


def test_mixed_texts_are_measured():
    half = foreign("I love this film. 这部电影太棒了")
    assert half is not None and half.language == "zh" and languages.MOST < half.share < 0.6
    most = foreign("Hello. Das war wirklich ein schlechter Film.")
    assert most is not None and most.language == "de" and 0.8 < most.share < 1
    little = foreign("The film was wonderful and I would see it again at once with my friends. Das war schön.")
    assert little is not None and little.share < languages.MOST


def test_words_in_another_language_are_replaced_by_what_is_heard(tmp_path):
    clip = tmp_path / "clip.mkv"
    sound = decode_audio(SAMPLES / "positive.webm").samples
    make_clip(clip, sound=sound[None])
    heard = extract(clip)
    for given in ("这部电影太棒了", "1\n00:00:00,500 --> 00:00:02,000\nDas ist ein sehr schöner Film.\n"):
        told = extract(clip, given)
        assert told.words == heard.words and told.transcript_source == "recognised"
        assert [note.code for note in told.notes if "foreign" in note.code] == ["transcript_foreign_replaced"]
    typed = "What a wonderful day, I love this place and all the people here. Das war schön."
    mixed = extract(clip, typed)
    assert " ".join(word.text for word in mixed.words) == typed and mixed.transcript_source == "given"
    assert "transcript_partly_foreign" in {note.code for note in mixed.notes}


def test_words_in_another_language_are_refused_where_nothing_is_heard(tmp_path):
    silent = make_clip(tmp_path / "clip.mkv", frames=every(1, grey(128)))
    words = Transcript(words=(Word(text="这部电影太棒了", start=0.1, end=0.9),), source="given")
    for given in ("Das ist ein sehr schöner Film.", words):
        with pytest.raises(TranscriptError, match=r"is not English \(detected language: (de|zh)\)") as caught:
            extract(silent, given)
        assert caught.value.message.code == "transcript_foreign"
    assert extract(silent, "What a day").notes == (Message("times_from_clip"),)


def test_the_recogniser_counts_where_the_words_are_foreign():
    def hears(text):
        return ExtractionConfig(transcript=text).hears

    assert hears(None) and hears("Das ist ein sehr schöner Film.") and not hears("What a day")


def test_encoder_states_of_quiet_sound_are_those_of_loud_sound():
    loud = decode_audio(SAMPLES / "positive.webm").samples[: 2 * SAMPLE_RATE]
    assert quality.raised(loud) is loud  # so that its states are what they were
    state = speech_states.mean_state(loud)
    quiet = speech_states.mean_state(loud * np.float32(1e-3))
    assert np.linalg.norm(state - quiet) < 0.1 * np.linalg.norm(state)


def test_stretches_without_words_or_of_an_unsure_clip_are_doubtful():
    voiced = [(0.0, 3.0), (4.0, 6.0), (7.0, 7.5), (40.0, 80.0)]
    words = [Word(text="a", start=0.0, end=2.5), Word(text="b", start=41.0, end=79.0)]
    assert speech_languages.doubtful(voiced, words, probability=0.99) == [(4.0, 6.0)]
    assert speech_languages.doubtful(voiced, words, probability=0.6) == voiced
    assert speech_languages.doubtful([*voiced, (81.0, 81.5)], words, probability=0.6) == voiced  # heard before


def test_neighbours_in_one_language_are_one_run():
    told = iter([("en", 0.99), ("de", 0.99), ("de", 0.95), ("fr", 0.6)])
    samples = np.zeros(20 * SAMPLE_RATE, np.float32)
    stretches = [(0.0, 0.9), (1.2, 2.5), (3.0, 6.0), (6.2, 8.5), (8.6, 9.0), (15.0, 17.5)]
    found = speech_languages.runs(samples, stretches, usual="en", detect=lambda part: next(told))
    assert found == [
        Run(start=0.0, end=2.5, language="en"),
        Run(start=3.0, end=9.0, language="de"),
        Run(start=15.0, end=17.5, language="en"),
    ]


@pytest.mark.skipif(not (DATA / "speech" / "emodb").is_dir(), reason="the recordings are not part of the project")
@pytest.mark.parametrize("english_first", [True, False])
def test_speech_that_switches_its_language_keeps_every_part(english_first):
    english = decode_audio(DATA / "speech" / "librivox" / "0880.wav").samples  # "he was not an ill disposed young man"
    german = decode_audio(next(iter(sorted((DATA / "speech" / "emodb").glob("03a02*"))))).samples
    pause = np.zeros(SAMPLE_RATE // 2, np.float32)
    parts = [english, pause, german, pause, german] if english_first else [german, pause, german, pause, english]
    heard = asr.recognise(np.concatenate(parts))
    border = len(english) / SAMPLE_RATE if english_first else 2 * (len(german) + len(pause)) / SAMPLE_RATE
    before = [word for word in heard.words if word.start < border]
    after = [word for word in heard.words if word.start >= border]
    both = (before, after) if english_first else (after, before)
    assert {"he", "was", "not", "young", "man"} <= {word.text.strip(".,").lower() for word in both[0]}
    assert len(both[1]) >= 3
    (note,) = heard.notes
    assert note.code == "speech_partly_translated" and note.values["language"] == "de"
