"""The long use counts what it should, and tells growth from noise."""

import numpy as np
import pytest

from benchmarks import mutants, soak


def test_growth_has_an_error():
    random = np.random.default_rng(0)
    moments = [float(second) for second in range(0, 3600, 5)]
    flat = [1000 + random.normal(0, 20) for _ in moments]
    growing = [size + moment / 60 for size, moment in zip(flat, moments, strict=True)]
    none, some = (soak.slope(moments, sizes) for sizes in (flat, growing))
    assert abs(none["mb_per_hour"]) < 3 * none["error_mb_per_hour"] < 20
    assert some["mb_per_hour"] == pytest.approx(60, abs=3 * some["error_mb_per_hour"])
    with pytest.raises(ValueError, match="expected at least 3"):
        soak.slope(moments[:20], flat[:20])


def test_every_clip_is_unlike_the_others():
    whole = {name: mutants.clip(name) for name in soak.FORMATS}
    clips = [soak.unlike(number, whole) for number in range(50)]
    assert len(set(clips)) == len(clips)


@pytest.mark.slow
def test_a_short_use_leaves_nothing_and_mixes_nothing():
    if soak.find_browser() is None:
        pytest.skip("there is no Chromium on this machine (Debian: apt-get install chromium)")
    memory, http, screen, remains = soak.run(minutes=3, clients=2, sessions=1)
    assert memory["peak_mb"] > 500
    for row in (http, screen):
        assert row["failures"] == []
        assert row["results"] > 0 and row["mixed"] == 0
    assert remains == {"what": "remains", "files": [], "healthy": True}
