"""Two transcripts word by word."""

from __future__ import annotations

import random
from itertools import combinations

import numpy as np
import pytest

from app.charts import distributions, word_differences
from app.charts.word_differences import Side
from app.export import comparison_csv
from extractors.schema import Word


def side(text: str, *, used: bool = True) -> Side:
    words = [Word(text=each, start=float(place), end=place + 1.0) for place, each in enumerate(text.split())]
    return Side(words=words, moved=np.arange(1.0, len(words) + 1) if used else None)


def texts(first: str, second: str) -> list[tuple[str | None, str | None]]:
    pairs = word_differences.matched(side(first), side(second))
    return [(pair.first and pair.first.text, pair.second and pair.second.text) for pair in pairs]


def test_words_are_paired_by_content_and_others_have_no_counterpart():
    assert texts("I love it.", "i really LOVE this it") == [
        ("I", "i"),
        (None, "really"),
        ("love", "LOVE"),
        (None, "this"),
        ("it.", "it"),
    ]
    assert texts("", "one") == [(None, "one")]
    assert texts("one", "") == [("one", None)]
    assert texts("", "") == []


def test_every_word_comes_once_and_as_many_as_possible_are_paired():
    draw = random.Random(4)
    for _round in range(60):
        first, second = (" ".join(draw.choices("abc", k=draw.randint(0, 7))) for _side in "ab")
        pairs = texts(first, second)
        assert [a for a, _b in pairs if a] == first.split()
        assert [b for _a, b in pairs if b] == second.split()
        assert all(a == b for a, b in pairs if a and b)
        assert sum(bool(a and b) for a, b in pairs) == longest(first.split(), second.split())


def longest(first: list[str], second: list[str]) -> int:
    """Length of the longest common subsequence, by trying all of them."""
    there = {part for size in range(len(second) + 1) for part in combinations(second, size)}
    return max(size for size in range(len(first) + 1) if there & set(combinations(first, size)))


def test_differences_are_those_of_the_contributions():
    pairs = word_differences.matched(side("a b c"), side("b c d"))
    assert [(pair.text, pair.first_moved, pair.second_moved, pair.difference) for pair in pairs] == [
        ("a", 1.0, None, None),
        ("b", 2.0, 1.0, -1.0),
        ("c", 3.0, 2.0, -1.0),
        ("d", None, 3.0, None),
    ]
    assert "counterpart: 2; only in the first clip: 1; only in the second: 1" in word_differences.summary(pairs)
    assert [pair.text for pair in word_differences.strongest(pairs, most=2)] == ["a", "d"]


def test_words_that_were_not_used_have_no_difference():
    first, second = side("a b", used=False), side("a b", used=False)
    pairs = word_differences.same_words(first, second)
    assert [pair.difference for pair in pairs] == [None, None]
    assert not word_differences.strongest(pairs)


def test_the_chart_draws_what_is_there():
    table = word_differences.drawn(word_differences.matched(side("a b"), side("b c")))
    plain = distributions.pairs(table, names=("A: one", "B: two"), x_title="x").to_dict()
    drawn = [row for rows in plain["datasets"].values() for row in rows if "side" in row]
    assert sorted((row["label"], row["side"], row["number"]) for row in drawn) == [
        ("a", "A: one", 1.0),
        ("b", "A: one", 2.0),
        ("b", "B: two", 1.0),
        ("c", "B: two", 2.0),
    ]


def test_the_table_as_csv_holds_no_formula():
    text = comparison_csv.words(word_differences.matched(side("=1+1 b"), side("b"))).decode("utf-8-sig")
    assert text.splitlines() == [
        "word_a,start_a_s,contribution_a,word_b,start_b_s,contribution_b,difference",
        "'=1+1,0.000,1.0,,,,",
        "b,1.000,2.0,b,0.000,1.0,-1.0",
    ]


@pytest.mark.parametrize("count", [0, 1])
def test_hardly_any_words(count):
    pairs = word_differences.same_words(side("a " * count), side("a " * count))
    assert len(word_differences.drawn(pairs)) == count
