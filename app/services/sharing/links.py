"""Query parameters of the pages' links: samples, modalities, tab, pins. Anybody can write one, so each is checked."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Literal, TypeVar

import streamlit as st

from alignmamba.modality import Modality, letters
from app.i18n import wording
from app.i18n.translate import _
from app.services.errors import PlainError

Parameter = Literal["sample", "second", "modalities", "tab", "pins"]
SAMPLE: Parameter = "sample"
SECOND: Parameter = "second"  # sample
MODALITIES: Parameter = "modalities"
TAB: Parameter = "tab"
PINS: Parameter = "pins"
QUOTED_CHARACTERS = 40  # of a parameter's value, in the error about it

T = TypeVar("T")


def choice(key: Parameter, choices: Collection[str]) -> str | None:
    """Return a parameter whose values are known; None where the link lacks it.

    Raises:
        PlainError: If the value is none of the choices.
    """
    asked = st.query_params.get(key)
    if asked is None or asked in choices:
        return asked
    raise PlainError(
        _("The link asks for {key} “{asked}”, which is not there. Expected one of: {choices}.").format(
            key=key, asked=asked[:QUOTED_CHARACTERS], choices=", ".join(choices)
        )
    )


def modalities() -> frozenset[Modality] | None:
    """Return the modalities that a link names by their letters ("lav"); None where it names none.

    Raises:
        PlainError: If the value is empty, holds another letter, or holds one twice.
    """
    asked = st.query_params.get(MODALITIES)
    if asked is None:
        return None
    known = {modality.letter: modality for modality in Modality}
    if not asked or len(asked) > len(known) or len(set(asked)) < len(asked) or not set(asked) <= known.keys():
        raise PlainError(
            _(
                "The link asks for modalities “{asked}”. Expected some of the letters l (words), a (voice), v (face)."
            ).format(asked=asked[:QUOTED_CHARACTERS])
        )
    return frozenset(known[letter] for letter in asked)


def checked(read: Callable[[], T], key: Parameter) -> T | None:
    """Read a parameter; show a warning and remove it from the address where its value is not valid."""
    try:
        return read()
    except PlainError as error:
        st.warning(wording.plain(str(error)), icon=":material/link_off:")
        del st.query_params[key]
        return None


def put(key: Parameter, value: str | None) -> None:
    """Set a parameter, or remove it for None; leaves the address alone where it would not change."""
    if value is None:
        if key in st.query_params:
            del st.query_params[key]
    elif st.query_params.get(key) != value:
        st.query_params[key] = value


def put_modalities(chosen: Iterable[Modality], *, available: Collection[Modality]) -> None:
    """Set the parameter for the chosen modalities; removes it where all or none of the available ones are chosen."""
    chosen = frozenset(chosen)
    put(MODALITIES, None if not chosen or chosen == frozenset(available) else letters(chosen))
