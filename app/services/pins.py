"""Results put aside to be compared: which clip, which senses, which checkpoint, and what came out."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import streamlit as st

from alignmamba.modality import MODALITIES, Modality, letters
from app.i18n.translate import _
from app.services import links, model, samples
from app.services.analysis import Analysis, predict_with
from app.services.errors import PlainError

if TYPE_CHECKING:
    from alignmamba.prediction import Prediction

MOST = 8
# Of a pin in a link: sample, senses, checkpoint.
LINKED = re.compile(r"([a-z0-9-]{1,40})\.([avl]{1,3})\.([\w-]{1,60})", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Pin:
    """One result.

    Attributes:
        title: Of the clip.
        sample: Name of the sample that it is; None for a visitor's own clip, which no link can carry.
        checkpoint: That judged.
        prediction: What came out.
        number: Tells pins apart.
    """

    title: str
    sample: str | None
    checkpoint: str
    prediction: Prediction
    number: int = field(default_factory=itertools.count().__next__)

    @property
    def content(self) -> tuple[str, str | None, str, frozenset[Modality], float]:
        """Equal for pins that say the same."""
        return self.title, self.sample, self.checkpoint, self.prediction.used, self.prediction.score

    @property
    def linked(self) -> str | None:
        """The pin as a link writes it."""
        return None if self.sample is None else f"{self.sample}.{letters(self.prediction.used)}.{self.checkpoint}"


def all_pins() -> list[Pin]:
    """Return this visitor's pins."""
    return st.session_state.setdefault("pins", [])


def pin(analysis: Analysis, used: frozenset[Modality], *, checkpoint: str = model.CHECKPOINT.name) -> None:
    """Put a result aside.

    Raises:
        PlainError: If there are too many, it is there already, or the checkpoint cannot judge the clip.
    """
    kept = all_pins()
    if len(kept) >= MOST:
        raise PlainError(_("At most {most} results can be pinned. Remove one first.").format(most=MOST))
    prediction = predict_with(checkpoint, analysis, used)
    made = Pin(title=analysis.clip.title, sample=analysis.clip.sample, checkpoint=checkpoint, prediction=prediction)
    if made.content in [each.content for each in kept]:
        raise PlainError(_("This result is pinned already."))
    kept.append(made)


def button(analysis: Analysis, used: frozenset[Modality], *, key: str) -> None:
    """Show a button that puts a result aside, and say what came of it."""
    if st.button(_("Pin to compare"), key=key, icon=":material/push_pin:"):
        try:
            pin(analysis, used)
        except PlainError as error:
            st.toast(str(error), icon=":material/info:")
        else:
            st.toast(_("Pinned; see the page Compare."), icon=":material/push_pin:")


def link() -> str | None:
    """Return all pins of samples as a link writes them; None where there are none."""
    return ",".join(each.linked for each in all_pins() if each.linked is not None) or None


def restore() -> None:
    """Make the pins that a link names.

    Raises:
        PlainError: If it names something that is not there; the pins before it are made.
    """
    asked = st.query_params.get(links.PINS)
    if asked is None:
        return
    shipped = {sample.name: sample for sample in samples.shipped()}
    parts = asked.split(",")
    if len(parts) > MOST:
        raise PlainError(_("The link asks for more than {most} pins.").format(most=MOST))
    judged: dict[str, Analysis] = {}
    for part in parts:
        found = LINKED.fullmatch(part)
        if found is None or found[1] not in shipped or found[3] not in model.names():
            raise PlainError(
                _("The link asks for the pin “{asked}”, which is not there. Expected sample.senses.checkpoint.").format(
                    asked=part[: links.QUOTED_CHARACTERS]
                )
            )
        name, used = found[1], frozenset(modality for modality in MODALITIES if modality.letter in found[2])
        if name not in judged:
            judged[name] = samples.analysed(shipped[name])
        if not used <= judged[name].available:
            raise PlainError(
                _("The link asks for the pin “{asked}”, but this sample lacks one of the senses.").format(asked=part)
            )
        pin(judged[name], used, checkpoint=found[3])
