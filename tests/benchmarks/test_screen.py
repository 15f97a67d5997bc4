"""The screen benchmark sees a page and a toggle."""

import pytest

from benchmarks import screen


def test_a_visit_and_a_toggle_are_timed(monkeypatch):
    if (path := screen.find_browser()) is None:
        pytest.skip("there is no Chromium on this machine (Debian: apt-get install chromium)")
    monkeypatch.setattr(screen, "VISITS", 1)
    monkeypatch.setattr(screen, "TOGGLES", 2)
    first, toggled = screen.run(path)
    assert (first["what"], toggled["what"]) == ("first screen, warm", "toggle to new numbers")
    for row in (first, toggled):
        assert 0 < row["p50_ms"] <= row["p95_ms"]
