"""Words and the speakers they belong to."""

from __future__ import annotations

from extractors.language.speakers.naming import named, notes
from extractors.language.speakers.turns import Speakers
from extractors.schema import Turn, Word

TURNS = (
    Turn(start=0.0, end=2.0, speaker="speaker_1"),
    Turn(start=2.0, end=4.0, speaker="speaker_2"),
    Turn(start=4.0, end=5.0),
)


def said(text: str, *, seconds: float = 0.4, start: float = 0.0) -> list[Word]:
    return [
        Word(text=word, start=start + place * seconds, end=start + (place + 0.9) * seconds)
        for place, word in enumerate(text.split())
    ]


def speakers(words) -> list[str | None]:
    return [word.speaker for word in words]


def test_words_get_the_speaker_of_their_turn():
    assert speakers(named(said("one two three. four five six"), TURNS))[0] == "speaker_1"
    assert speakers(named(said("six", start=3.0), TURNS)) == ["speaker_2"]
    assert speakers(named(said("six", start=4.2), TURNS)) == [None]


def test_a_change_moves_to_the_end_of_the_sentence():
    found = named(said("we leave now, right? Yes, we do so today."), TURNS)
    assert [word.text for word in found if word.speaker == "speaker_1"] == ["we", "leave", "now,", "right?"]
    found = named(said("we will leave now, all right? Yes, we do so today."), TURNS)
    assert next(word.text for word in found if word.speaker == "speaker_2") == "Yes,"


def test_a_change_never_moves_past_another():
    turns = [Turn(start=place * 0.4, end=(place + 1) * 0.4, speaker=f"speaker_{place % 2 + 1}") for place in range(6)]
    assert len(set(speakers(named(said("a b c d e f"), turns)))) == 2


def test_a_word_far_from_every_turn_has_no_speaker():
    assert speakers(named(said("where", start=9.0), TURNS)) == [None]
    assert speakers(named(said("here", start=5.2), TURNS[:2])) == [None]
    assert speakers(named(said("here", start=4.2), TURNS[:2])) == ["speaker_2"]


def test_without_turns_words_stay_as_they_are():
    words = [Word(text="hello", start=0.0, end=0.5, speaker="Ann")]
    assert named(words, ()) == tuple(words)


def test_notes_say_what_is_not_sure():
    words = [Word(text="a", start=0.0, end=1.0, speaker=who) for who in ("speaker_1", "speaker_2", None)]
    assert [note.code for note in notes(words, Speakers(turns=TURNS, nearest=0.9))] == [
        *("speakers_told_apart", "speakers_unclear"),
    ]
    assert "speakers_alike" in [note.code for note in notes(words, Speakers(turns=TURNS, nearest=0.8))]
    assert not list(notes(words[:1], Speakers(turns=TURNS, nearest=0.9)))
    assert not list(notes(words, Speakers()))
