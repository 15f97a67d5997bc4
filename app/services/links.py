"""What a link says beside its page: sample, senses, tab. Anybody can write a link, so all of it is checked."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import TypeVar

import streamlit as st

from alignmamba.modality import MODALITIES, Modality, letters
from app.i18n import wording
from app.i18n.translate import _
from app.services.errors import PlainError

SAMPLE, SENSES, TAB, PINS = "sample", "senses", "tab", "pins"
QUOTED_CHARACTERS = 40  # of what a link asks for, in the sentence that refuses it

T = TypeVar("T")


def choice(key: str, choices: Collection[str]) -> str | None:
    """Return what a link chooses, None where it says nothing.

    Raises:
        PlainError: If that is none of the choices.
    """
    asked = st.query_params.get(key)
    if asked is None or asked in choices:
        return asked
    raise PlainError(
        _("The link asks for {key} “{asked}”, which is not there. Expected one of: {choices}.").format(
            key=key, asked=asked[:QUOTED_CHARACTERS], choices=", ".join(choices)
        )
    )


def senses() -> frozenset[Modality] | None:
    """Return the modalities that a link chooses by their letters ("lav"), None where it says nothing.

    Raises:
        PlainError: If it names none, another one, or one twice.
    """
    asked = st.query_params.get(SENSES)
    if asked is None:
        return None
    known = {modality.letter: modality for modality in MODALITIES}
    if not asked or len(asked) > len(known) or len(set(asked)) < len(asked) or not set(asked) <= known.keys():
        raise PlainError(
            _(
                "The link asks for senses “{asked}”. Expected some of the letters l (words), a (voice), v (face)."
            ).format(asked=asked[:QUOTED_CHARACTERS])
        )
    return frozenset(known[letter] for letter in asked)


def checked(read: Callable[[], T], key: str) -> T | None:
    """Read a part of the link; one that is refused is told of, and taken out of the address."""
    try:
        return read()
    except PlainError as error:
        st.warning(wording.plain(str(error)), icon=":material/link_off:")
        del st.query_params[key]
        return None


def tell(key: str, value: str | None) -> None:
    """Put a choice into the address, or take it out; untouched where it says so already."""
    if value is None:
        if key in st.query_params:
            del st.query_params[key]
    elif st.query_params.get(key) != value:
        st.query_params[key] = value


def tell_senses(chosen: Iterable[Modality], *, available: Collection[Modality]) -> None:
    """Put the chosen modalities into the address; all that there are need no telling."""
    chosen = frozenset(chosen)
    tell(SENSES, None if not chosen or chosen == frozenset(available) else letters(chosen))
