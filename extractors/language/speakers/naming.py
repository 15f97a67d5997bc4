"""Words and who says them: turns of voices given to the words of a transcript."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from extractors.language.speakers.turns import Speakers
from extractors.messages import Message
from extractors.schema import Turn, Word

REACH_SECONDS = 0.5  # between a word and the turn that it belongs to, where it lies in none
SHIFT_WORDS = 2  # by which a change of speaker may move to a pause or the end of a sentence
SENTENCE_END = ".?!…。？！"
END_SECONDS = 0.5  # of pause that the end of a sentence counts as
SHIFT_SECONDS = 0.1  # of pause that moving by a word costs
ALIKE = 0.83  # distance of two voices below which they may be one person's; `benchmarks.speech.speakers` has it above


def named(words: Sequence[Word], turns: Sequence[Turn]) -> tuple[Word, ...]:
    """Give each word the speaker of its turn; changes of speaker move to pauses and ends of sentences nearby.

    Args:
        words: In time order.
        turns: Likewise; with none the words come back as they are.
    """
    if not turns:
        return tuple(words)
    found = [replace(word, speaker=_speaker(word, turns)) for word in words]
    for place in range(1, len(found)):
        if found[place - 1].speaker != found[place].speaker:
            _shift(found, place)
    return tuple(found)


def notes(words: Sequence[Word], speakers: Speakers) -> Iterator[Message]:
    """Say how many speakers were told apart, how surely, and how many words belong to none of them."""
    names = {word.speaker for word in words} - {None}
    if len(names) < 2 or speakers.nearest is None:
        return
    yield Message("speakers_told_apart", {"count": len(names)})
    if speakers.nearest < ALIKE:
        yield Message("speakers_alike")
    if unclear := sum(word.speaker is None for word in words):
        yield Message("speakers_unclear", {"count": unclear})


def _speaker(word: Word, turns: Sequence[Turn]) -> str | None:
    """Return who speaks for most of a word, else in the turn nearest to it."""
    best = max(turns, key=lambda turn: min(word.end, turn.end) - max(word.start, turn.start))
    apart = max(word.start, best.start) - min(word.end, best.end)
    return best.speaker if apart <= REACH_SECONDS else None


def _shift(words: list[Word], place: int) -> None:
    """Move the change of speaker before a word to where it is most likely, within the two speakers' words."""
    before, after = words[place - 1].speaker, words[place].speaker
    first, last = place, place
    while first > max(1, place - SHIFT_WORDS) and words[first - 2].speaker == before:
        first -= 1
    while last < min(len(words) - 1, place + SHIFT_WORDS) and words[last + 1].speaker == after:
        last += 1

    def likely(at: int) -> float:
        ends = words[at - 1].text.rstrip("\"')”’").endswith(tuple(SENTENCE_END))
        return words[at].start - words[at - 1].end + END_SECONDS * ends - SHIFT_SECONDS * abs(at - place)

    best = max(range(first, last + 1), key=likely)
    for index in range(min(best, place), max(best, place)):
        words[index] = replace(words[index], speaker=after if best < place else before)
