"""The packages that the app needs, transitive ones too, as they are installed here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = ROOT / "requirements.txt"


def name_of(requirement: str) -> str:
    """A package's name as the index compares it.

    >>> name_of("Babel"), name_of("huggingface_hub")
    ('babel', 'huggingface-hub')
    """
    return re.sub(r"[-_.]+", "-", requirement).lower()


def version_of(package: Distribution) -> str:
    """A package's version on the index: without the local part that names a build, as in 2.13.0+cpu."""
    return package.version.partition("+")[0]


def pinned(path: Path = REQUIREMENTS) -> dict[str, Requirement]:
    """The requirements in a file, by name."""
    lines = (line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    requirements = (Requirement(line) for line in lines if line and not line.startswith("-"))
    return {name_of(requirement.name): requirement for requirement in requirements}


def needed(requirements: Iterable[Requirement] | None = None) -> dict[str, Distribution]:
    """What is installed of requirements and of all that they require, by name.

    Args:
        requirements: Those of `REQUIREMENTS` by default.

    Raises:
        PackageNotFoundError: If one is not installed.
    """
    todo = list(pinned().values() if requirements is None else requirements)
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    while todo:
        requirement = todo.pop()
        name, extras = name_of(requirement.name), frozenset(requirement.extras)
        if (name, extras) not in seen:
            seen.add((name, extras))
            try:
                found[name] = distribution(name)
            except PackageNotFoundError:
                raise PackageNotFoundError(f"{name} (run `make fetch`)") from None
            todo.extend(_required(found[name], extras))
    return dict(sorted(found.items()))


def _required(package: Distribution, extras: frozenset[str]) -> Iterator[Requirement]:
    for line in package.requires or ():
        requirement = Requirement(line)
        chosen = extras or {""}
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in chosen):
            yield requirement
