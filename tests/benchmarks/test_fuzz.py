"""Broken clips: a result or a typed error each, in isolation and from the server."""

from __future__ import annotations

import io
import json

import av
import pytest

from benchmarks import fuzz, mutants
from extractors.media import container
from extractors.workers.client import Pool

CLIPS, SEED = 200, 14


def test_there_is_a_clip_of_every_accepted_format():
    made = set()
    for name in mutants.FORMATS:
        with av.open(io.BytesIO(mutants.clip(name))) as opened:
            made.add(opened.format.name)
    assert made == set(container.FORMATS)


def test_the_seed_decides_every_clip():
    first, again = (list(fuzz.broken_clips(range(30), 1)) for _ in range(2))
    assert first == again
    assert first != list(fuzz.broken_clips(range(30), 2))
    assert len({content for _, _, content in first}) == 30


def test_broken_clips_end_in_a_result_or_a_typed_error(tmp_path):
    tally, pool = fuzz.Tally(), Pool(1, threads=1)
    try:
        for number, _name, content in fuzz.broken_clips(range(CLIPS), SEED):
            (tmp_path / "clip.bin").write_bytes(content)
            fuzz.decode(tmp_path / "clip.bin", tally, number=number, pool=pool)
    finally:
        pool.close()
    assert tally.untyped == []
    assert tally.aborted == {}
    assert tally.clips == CLIPS
    assert len(tally.errors) > 2 and tally.results > CLIPS / 10, "they are broken in many ways, but not beyond use"


@pytest.mark.slow
def test_the_command_asks_a_server_too(tmp_path):
    saved = []
    fuzz.run(n=25, models=5, seed=SEED, minutes=10, save=saved.append)
    every, sent, *formats = saved[-1]
    assert (every["clips"], sent["clips"]) == (25, 5)
    assert [row["clips"] for row in formats] == [1] * len(mutants.FORMATS)
    assert every["untyped"] == sent["untyped"] == sent["server_failures"] == 0
    assert json.dumps(saved[-1])
