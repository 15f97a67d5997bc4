"""Pinned results, to be compared: clip, modalities, checkpoint and prediction."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import streamlit as st

from alignmamba.modality import MODALITIES, Modality, letters
from app.i18n.translate import _
from app.services import model, samples
from app.services.analysis import Analysis
from app.services.errors import PlainError
from app.services.sharing import links
from app.services.sharing.checkpoints import predict_with

if TYPE_CHECKING:
    from alignmamba.prediction import Prediction

MAX_PINS = 8
# A pin in a link: sample, modalities, checkpoint.
LINKED = re.compile(r"([a-z0-9-]{1,40})\.([avl]{1,3})\.([\w-]{1,60})", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Pin:
    """One pinned result.

    Attributes:
        title: Of the clip.
        sample: Name of the sample that it is; None for a user's own clip, which no link can hold.
        checkpoint: Name of the checkpoint that predicted.
        prediction: Its prediction.
        number: Unique among the pins of this process.
    """

    title: str
    sample: str | None
    checkpoint: str
    prediction: Prediction
    number: int = field(default_factory=itertools.count().__next__)

    @property
    def content(self) -> tuple[str, str | None, str, frozenset[Modality], float]:
        """Equal for pins of the same result."""
        return self.title, self.sample, self.checkpoint, self.prediction.used, self.prediction.score

    @property
    def linked(self) -> str | None:
        """The pin in a link; None for a clip that is no sample."""
        return None if self.sample is None else f"{self.sample}.{letters(self.prediction.used)}.{self.checkpoint}"


def all_pins() -> list[Pin]:
    """Return the pins of this session."""
    return st.session_state.setdefault("pins", [])


def pin(analysis: Analysis, used: frozenset[Modality], *, checkpoint: str = model.CHECKPOINT.name) -> None:
    """Pin a result.

    Raises:
        PlainError: If there are too many, it is there already, or the checkpoint cannot predict from the clip.
    """
    kept = all_pins()
    if len(kept) >= MAX_PINS:
        raise PlainError(_("At most {most} results can be pinned. Remove one first.").format(most=MAX_PINS))
    prediction = predict_with(checkpoint, analysis, used)
    made = Pin(title=analysis.clip.title, sample=analysis.clip.sample, checkpoint=checkpoint, prediction=prediction)
    if made.content in [each.content for each in kept]:
        raise PlainError(_("This result is pinned already."))
    kept.append(made)


def link() -> str | None:
    """Return the link's value for all pins of samples; None where there are none."""
    return ",".join(each.linked for each in all_pins() if each.linked is not None) or None


def restore() -> None:
    """Restore the pins that a link names.

    Raises:
        PlainError: If it names something that is not there; the pins before it are restored.
    """
    asked = st.query_params.get(links.PINS)
    if asked is None:
        return
    shipped = {sample.name: sample for sample in samples.shipped()}
    parts = asked.split(",")
    if len(parts) > MAX_PINS:
        raise PlainError(_("The link asks for more than {most} pins.").format(most=MAX_PINS))
    analyses: dict[str, Analysis] = {}
    for part in parts:
        found = LINKED.fullmatch(part)
        if found is None or found[1] not in shipped or found[3] not in model.names():
            raise PlainError(
                _(
                    "The link asks for the pin “{asked}”, which is not there. Expected sample.modalities.checkpoint."
                ).format(asked=part[: links.QUOTED_CHARACTERS])
            )
        name, used = found[1], frozenset(modality for modality in MODALITIES if modality.letter in found[2])
        if name not in analyses:
            analyses[name] = samples.analysed(shipped[name])
        if not used <= analyses[name].available:
            raise PlainError(
                _("The link asks for the pin “{asked}”, but this sample lacks one of the modalities.").format(
                    asked=part
                )
            )
        pin(analyses[name], used, checkpoint=found[3])
