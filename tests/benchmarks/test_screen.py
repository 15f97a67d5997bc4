"""The screen benchmark toggles what it says."""

from benchmarks import screen


def test_a_visit_and_a_toggle_are_timed(monkeypatch):
    monkeypatch.setattr(screen, "VISITS", 1)
    monkeypatch.setattr(screen, "TOGGLES", 2)
    first, toggled = screen.run()
    assert (first["what"], toggled["what"]) == ("first screen, warm", "toggle")
    for row in (first, toggled):
        assert 0 < row["p50_ms"] <= row["p95_ms"]
