"""The Dockerfile at the root, as instructions."""

from __future__ import annotations

import re
from pathlib import Path

DOCKERFILE = Path(__file__).resolve().parents[1] / "Dockerfile"
Instruction = tuple[str, str]  # its name in capitals, and its arguments on one line


def instructions(text: str) -> list[Instruction]:
    r"""A Dockerfile's instructions in order.

    >>> instructions('FROM x AS y\nRUN a \\\n# why\n    && b\n')
    [('FROM', 'x AS y'), ('RUN', 'a && b')]
    """
    whole = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    lines = re.sub(r"\s*\\\n\s*", " ", whole).splitlines()
    return [(line.split()[0].upper(), line.partition(" ")[2].strip()) for line in lines if line.strip()]


def stages() -> list[list[Instruction]]:
    """The instructions of each stage, from its FROM on."""
    found: list[list[Instruction]] = []
    for name, arguments in instructions(DOCKERFILE.read_text(encoding="utf-8")):
        if name == "FROM":
            found.append([])
        if found:
            found[-1].append((name, arguments))
    return found
