"""Tables of what was tried: totals first, what was not tried too, growth with its error."""

from training.reporting import security_tables

TRIED = {
    "what": "decoded",
    "format": "all",
    "clips": 10,
    "results": 6,
    "errors": {"file_unreadable": 2, "no_streams": 1},
    "aborted": {"crash": 1},
    "untyped": 0,
    "slowest_s": 1.25,
    "peak_mb": 140,
}


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_broken_clips():
    rows = [TRIED, {**TRIED, "what": "analysed by the server", "clips": 0}, {**TRIED, "format": "mp4"}]
    _header, _line, every, sent, mp4, _, last = security_tables.fuzz_table({"rows": rows, "seeds": [7]}).splitlines()
    assert cells(every) == ["decoded", "10", "6", "3", "1 crash", "0", "1.2", "140"]
    assert cells(sent)[:2] == ["analysed by the server", "0"], "what was not tried is shown, too"
    assert cells(mp4)[0] == "mp4" and cells(mp4)[-1] == "–", "a process serves every format"
    assert last == "Seed 7. Why decoders refused: 2 `file_unreadable`, 1 `no_streams`."


def test_long_use():
    clients = {"what": "HTTP", "clients": 8, "asked": 9, "results": 8, "busy": 1, "mixed": 0, "failed": 0}
    memory = {"minutes": 15.0, "from_minute": 3.8, "first_mb": 3000, "last_mb": 3010, "peak_mb": 3200}
    rows = [{**memory, "mb_per_hour": 12.3, "error_mb_per_hour": 4.5}, clients, {"files": []}]
    text = security_tables.soak_table({"rows": rows})
    assert cells(text.splitlines()[2]) == ["HTTP", "8", "9", "8", "1", "0", "0"]
    assert "changed by +12 ± 4 MB an hour (from minute 4 on; 3000 MB then, 3010 MB at the end" in text
    assert text.endswith("Files that stayed: 0.\n")
