"""Ratios of costs, by hand."""

import json

import pytest

from training.reporting import efficiency, tables
from training.reporting.efficiency import OURS, STORED


def row(model, tokens, time_ms, peak_mb=1.0, **more):
    return {"model": model, "tokens": tokens, "time_ms": time_ms, "peak_mb": peak_mb, "status": "ok", **more}


THEIRS = f"single-stream-transformer{STORED}"
ROWS = [
    row(OURS, 100, 10.0),
    row(OURS, 1_000, 100.0),
    row(OURS, 6_399, 600.0, 20.0),
    row(THEIRS, 100, 5.0),
    row(THEIRS, 1_000, 200.0),
    row(THEIRS, 6_399, 6_000.0, 50.0),
    row(OURS, 6_399, 1.0, 1.0, batch=16),
    row(THEIRS, 6_399, 1.5, None, batch=16),
]


def test_ratios_are_of_one_batch_and_length():
    alone = efficiency.of_batch(ROWS, 1)
    assert efficiency.ratio(alone, THEIRS, "time_ms", tokens=6_399) == 10
    assert efficiency.ratio(alone, THEIRS, "peak_mb", tokens=6_399) == 2.5
    assert efficiency.ratio(alone, THEIRS, "time_ms", tokens=12_288) is None
    assert efficiency.ratio(efficiency.of_batch(ROWS, 16), THEIRS, "peak_mb", tokens=6_399) is None
    assert efficiency.batches(ROWS) == [1, 16]


def test_the_length_from_which_ours_is_faster_lies_between_two_that_were_measured():
    assert efficiency.faster_from(efficiency.of_batch(ROWS, 1), THEIRS) == pytest.approx(10**2.5)  # .5 to 2: half-way
    always = [row(OURS, 100, 1.0), row(THEIRS, 100, 2.0), row(OURS, 200, 1.0), row(THEIRS, 200, 3.0)]
    assert efficiency.faster_from(always, THEIRS) == 100
    never = [row(OURS, 100, 1.0), row(THEIRS, 100, 2.0), row(OURS, 200, 3.0), row(THEIRS, 200, 3.0)]
    assert efficiency.faster_from(never, THEIRS) is None
    assert efficiency.faster_from(always, "gone") is None


def test_the_table_has_a_row_for_each_batch_and_baseline():
    lines = efficiency.ratios_table({"rows": ROWS}).splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells == [
        ["1", THEIRS, "10.0x / 2.5x", "– / –", "316"],
        ["16", THEIRS, "1.5x / –", "– / –", "6,399"],
    ]


def test_the_figure_shows_every_model():
    path, _ = tables.TABLES["fusion-cpu"]
    result = json.loads(path.read_text(encoding="utf-8"))
    drawn = efficiency.figure(result)
    assert drawn.startswith("<svg")
    for model in {row["model"] for row in result["rows"]}:
        assert model in drawn
    assert result["date"][:10] in drawn
    assert "stored" not in efficiency.figure({**result, "rows": [row(OURS, 10, 1.0), row("other", 10, 1.0)]})
