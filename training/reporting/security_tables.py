"""Tables of what was tried: broken clips, a long time of use, and the confined container."""

from __future__ import annotations

from typing import Any

from training.reporting.markdown import UNDEFINED, table


def fuzz_table(result: dict[str, Any]) -> str:
    """How broken clips ended: decoded in isolation, all and by format, and analysed by a server."""
    rows = [
        [
            row["what"] if row["format"] == "all" else row["format"],
            str(row["clips"]),
            str(row["results"]),
            str(sum(row["errors"].values())),
            ", ".join(f"{count} {kind}" for kind, count in row["aborted"].items()) or "0",
            str(row["untyped"]),
            f"{row['slowest_s']:.1f}",
            str(row["peak_mb"]) if row["format"] == "all" and row["peak_mb"] else UNDEFINED,
        ]
        for row in result["rows"]
    ]
    header = ["broken clips", "tried", "results", "typed errors", "ended by the budget or a crash"]
    header += ["errors that nobody foresaw", "slowest, s", "peak memory, MB"]
    every = result["rows"][0]
    causes = ", ".join(f"{count} `{code}`" for code, count in every["errors"].items())
    return table(header, rows) + f"\nSeed {result['seeds'][0]}. Why decoders refused: {causes or 'never'}.\n"


def soak_table(result: dict[str, Any]) -> str:
    """What clients met in a long time of use, and what became of memory and disk."""
    memory, *clients, remains = result["rows"]
    rows = [
        [row["what"], *(str(row[key]) for key in ("clients", "asked", "results", "busy", "mixed", "failed"))]
        for row in clients
    ]
    counts = table(["by", "at once", "clips", "own results", "asked to come back", "results of others", "failed"], rows)
    grown = f"{memory['mb_per_hour']:+.0f} ± {memory['error_mb_per_hour']:.0f} MB an hour"
    return (
        f"{counts}\nIn {memory['minutes']:.0f} minutes the memory of the process tree changed by {grown} (from minute "
        f"{memory['from_minute']:.0f} on; {memory['first_mb']} MB then, {memory['last_mb']} MB at the end, "
        f"{memory['peak_mb']} MB at most). Files that stayed: {len(remains['files'])}.\n"
    )


def container_table(result: dict[str, Any]) -> str:
    """What a trial of the container images saw, on a machine without a GPU."""
    rows = [
        [
            row["built_for"],
            f"{row['file_system_bytes'] / 1e9:.1f}",
            *(f"{row[f'seconds_{key}']:.1f}" for key in ("until_healthy", "of_first_analysis", "until_stopped")),
            *(str(len(row[key])) for key in ("compilers", "writable_outside_tmpfs")),
            *(str(row[key]) for key in ("contacts", "tracebacks")),
        ]
        for row in result["rows"]
    ]
    header = ["built for", "size, GB", "healthy after, s", "first analysis, s", "stopped after, s", "compilers"]
    return table([*header, "writable places outside `/tmp`", "contacts or look-ups", "tracebacks"], rows)
