"""The screen benchmark sees a page and a toggle."""

import pytest

from benchmarks import screen


@pytest.mark.slow
def test_a_visit_and_a_toggle_are_timed(monkeypatch):
    if (path := screen.find_browser()) is None:
        pytest.skip("there is no Chromium on this machine (Debian: apt-get install chromium)")
    monkeypatch.setattr(screen, "VISITS", 1)
    monkeypatch.setattr(screen, "TOGGLES", 2)
    monkeypatch.setattr(screen, "ANSWERS", 1)
    rows = {row["what"]: row for row in screen.run(path)}
    for alone in ("another Streamlit app, a number alone", "live, from the end of a recording to its score"):
        assert rows.pop(f"{alone}, seen")["p50_ms"] > 0
    again = "first screen, warm, in a browser that was here before"
    for what in ("first screen, warm", again, "toggle to new numbers"):
        server, seen = rows.pop(f"{what}, server"), rows.pop(f"{what}, seen")
        assert 0 < server["p50_ms"] <= server["p95_ms"]
        assert server["p50_ms"] < seen["p50_ms"] <= seen["p95_ms"]
    assert not rows
