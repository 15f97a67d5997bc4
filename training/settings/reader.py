"""Settings: YAML files, and plain mappings checked into frozen dataclasses (by `dacite`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import dacite
import yaml

from alignmamba.modality import Modality

Config = TypeVar("Config")
CHECKS = dacite.Config(strict=True, cast=[Modality])


def parse(kind: type[Config], plain: Mapping[str, Any], *, where: str) -> Config:
    """Build a dataclass from plain types, as a YAML or JSON file has them; lists become tuples.

    Args:
        kind: The dataclass; its own checks of ranges run as well.
        plain: A value per field.
        where: What is parsed, for messages ("train config").

    Raises:
        ValueError: If a setting is unknown, missing, of the wrong type or out of range; names field, value and what
            was expected.
    """
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in plain.items()}
    try:
        return dacite.from_dict(kind, values, CHECKS)
    except dacite.UnexpectedDataError as error:
        raise ValueError(f"{where}: unknown settings {sorted(error.keys)}") from error
    except dacite.WrongTypeError as error:
        expected = getattr(error.field_type, "__name__", str(error.field_type))
        found = values.get(str(error.field_path), error.value)
        raise ValueError(f"{where}: {error.field_path}: {found!r}, expected {expected}") from error
    except dacite.MissingValueError as error:
        raise ValueError(f"{where}: {error.field_path}: missing, expected a value") from error


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a settings file: plain types only.

    Raises:
        ValueError: If it is no mapping, or no YAML.
    """
    try:
        plain = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: cannot be read as YAML: {error}") from error
    if not isinstance(plain, dict):
        raise ValueError(f"{path}: {type(plain).__name__}, expected a mapping of settings")
    return plain
