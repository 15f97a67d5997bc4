"""HTML from templates, outside Streamlit's pages; every value in a template is escaped."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

FOLDER = Path(__file__).resolve().parents[1] / "templates"


def render(template: str, **values: Any) -> str:
    """Fill a template.

    Args:
        template: Name of a file of `templates/`.
        values: Of the template's names; none of them is trusted.
    """
    return _environment().get_template(template).render(**values)


@functools.cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
