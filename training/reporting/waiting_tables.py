"""Tables of how long a user waits: for a clip, and for the screen."""

from __future__ import annotations

from typing import Any

from training.reporting.markdown import UNDEFINED, table


def clip_table(result: dict[str, Any]) -> str:
    """Seconds that a clip takes."""
    rows = []
    for row in result["rows"]:
        if "toggle_p50_ms" in row:
            toggle = f"median {row['toggle_p50_ms']:.1f} ms, 95 % under {row['toggle_p95_ms']:.1f} ms"
            rows.append(["new modalities (toggle)", toggle, UNDEFINED])
        else:
            where = ", in a worker process" if row.get("path") == "isolated" else ""
            what = f"{row['start']} start, transcript {row['transcript']}{where}"
            rows.append([what, f"{row['total_s']:.1f} s", f"{row['peak_mb']:.0f} MB"])
    return table(["10-s 720p clip", "time", "peak memory"], rows)


def screen_table(result: dict[str, Any]) -> str:
    """Response times of the screen in milliseconds."""
    rows = [[row["what"], str(row["runs"]), f"{row['p50_ms']:.0f}", f"{row['p95_ms']:.0f}"] for row in result["rows"]]
    return table(["screen", "runs", "median, ms", "95 % under, ms"], rows)


def against_table(result: dict[str, Any]) -> str:
    """Seconds that a clip takes in this version and in another, measured in turn."""
    rows = [
        [
            f"`{row['other']}`",
            f"{row['other_s']:.2f}",
            f"{row['this_s']:.2f}",
            f"{row['ratio']:.2f} ({row['ratio_low']:.2f} to {row['ratio_high']:.2f})",
            str(row["rounds"]),
        ]
        for row in result["rows"]
    ]
    return table(["other version", "other, s", "this one, s", "ratio, median (without both ends)", "rounds"], rows)
