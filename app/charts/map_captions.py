"""Captions of alignment maps: legend, note, and alt text."""

from __future__ import annotations

from collections.abc import Collection

from app.charts.alignment_table import AlignmentTable
from app.i18n.translate import _
from app.i18n.wording import RELAXED, SINKHORN, Solver


def legend(*, words: bool, solvers: Collection[Solver] = (RELAXED,)) -> str:
    """Explain the alignment maps of one or both ways to solve the transport problem."""
    rows = _("word") if words else _("moment of the face")
    text = _("Moments run from left to right; stronger green is a closer fit, in content and in time.")
    if RELAXED in solvers:
        text += " " + _("Relaxed: a **violet** cell pairs a moment with the {rows} that it fits best.").format(
            rows=rows
        )
    if SINKHORN in solvers:
        text += " " + _(
            "Sinkhorn: every {rows} must receive the same weight in all, so a moment may be split; stronger "
            "**violet** is a larger share, and cells under a tenth of a moment's largest share are left out."
        ).format(rows=rows)
    if words:
        text += " " + _("Outlines show when a word is spoken.")
    return text + " " + _("Blank columns are moments without a face or a voice.")


def summary(table: AlignmentTable) -> str:
    """Return the alt text of an alignment map."""
    return _("{source} aligned to {anchor} ({solver}): {pairs} pairs over {seconds:.0f} seconds").format(
        source=table.source,
        anchor=table.anchor.lower(),
        solver=_(table.solver),
        pairs=len(table.plan),
        seconds=table.duration,
    )


def note(table: AlignmentTable) -> str:
    """Return the cost of a plan and, for a long clip, how many steps a cell averages."""
    text = _("Cost of the plan: {cost:.3f}.").format(cost=table.cost)
    if table.averaged > 1:
        text += " " + _("The clip is long: each shade is the mean of {steps} neighbouring steps.").format(
            steps=table.averaged
        )
    return text
