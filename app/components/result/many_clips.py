"""Many clips at once: their scores by speaker, and what a missing modality changes over all of them."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from alignmamba.evaluation import dropout
from alignmamba.evaluation.dropout import Change, Measure
from alignmamba.modality import Modality, letters
from app.charts import distributions
from app.charts.distributions import Number
from app.export import comparison_csv
from app.i18n import wording
from app.i18n.translate import N_, _
from app.services import errors
from app.services.batch.rows import BatchRow

FEW = 10  # clips, below which an interval is a hint at most
# What is measured on the screen, and whether it is in points of the score or a share.
MEASURES: dict[Measure, tuple[str, Number]] = {
    "score": (N_("Change of the score"), "score"),
    "distance": (N_("Change without its sign"), "score"),
    "accuracy": (N_("Lost accuracy of the sign"), "share"),
    "error": (N_("Added absolute error"), "score"),
}


@st.fragment
def show(rows: Sequence[BatchRow]) -> None:
    """Show what finished clips have in common; a fragment, so that a choice reruns this part alone."""
    with errors.plain_sentences():
        scored = [row for row in rows if row.found.get("score") is not None]
        if not scored:
            return
        _speakers(scored)
        _changes(scored)


def _speakers(rows: Sequence[BatchRow]) -> None:
    st.subheader(_("Scores by speaker"), anchor=False)
    nobody = _("no speaker named")
    table = pd.DataFrame(
        [(row.speaker or nobody, row.name, row.found["score"]) for row in rows], columns=["speaker", "file", "score"]
    )
    means = table.groupby("speaker")["score"].agg(mean="mean", count="count").reset_index()
    means = means.sort_values("mean", ascending=False, ignore_index=True)
    lowest, highest = means.iloc[-1], means.iloc[0]
    st.altair_chart(
        distributions.speaker_strip(table, means),
        alt=_("Scores of {clips} clips by speaker; on average from {low} ({lowest}) to {high} ({highest})").format(
            clips=len(table),
            low=wording.signed(lowest["mean"]),
            lowest=lowest["speaker"],
            high=wording.signed(highest["mean"]),
            highest=highest["speaker"],
        ),
    )
    listed = sum(row.speaker_from == "list" for row in rows)
    folders = sum(row.speaker_from == "folder" for row in rows)
    st.caption(
        _(
            "A dot is a clip, a diamond the mean of a speaker. Names: {listed} from a list, {folders} from the folder "
            "of the clip, {none} unnamed."
        ).format(listed=listed, folders=folders, none=len(rows) - listed - folders)
    )


def _changes(rows: Sequence[BatchRow]) -> None:
    st.subheader(_("What a missing modality changes"), anchor=False)
    clips = [row.scored() for row in rows]
    groups = dropout.groups(clips)
    alone = sum(len(clip.available) == 1 for clip in clips)
    if not groups:
        st.info(_("No clip has more than one modality, so none can go missing."), icon=":material/visibility_off:")
        return
    whole = _choose_group({kept: len(each) for kept, each in groups.items()})
    chosen = groups[whole]
    found = dropout.changes(chosen, whole)
    measures = [measure for measure in MEASURES if any(measure in change.means for change in found)]
    measure = st.segmented_control(
        _("Measure"),
        measures,
        default=measures[0],
        required=True,
        format_func=lambda name: _(MEASURES[name][0]),
        key="batch-measure",
    )
    _draw(found, measure)
    others = len(clips) - len(chosen) - alone
    st.caption(_about(found, count=len(chosen), whole=whole, others=others, alone=alone))
    _table(found, measures)
    st.download_button(
        _("Download as {kind}").format(kind="CSV"),
        lambda: comparison_csv.changes(found),
        file_name="missing-modalities.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
        key="missing-modalities.csv",
    )


def _choose_group(counts: dict[frozenset[Modality], int]) -> frozenset[Modality]:
    """Let the user choose among clips that have the same modalities; nothing to choose where all have."""
    # By their letters: a default that is a set would be taken for several.
    groups = {letters(whole): whole for whole in counts}
    first = next(iter(groups))
    if len(groups) == 1:
        return groups[first]
    chosen = st.segmented_control(
        _("Clips that have"),
        list(groups),
        default=first,
        required=True,
        format_func=lambda short: f"{wording.subset(groups[short])} ({counts[groups[short]]})",
        key="batch-group",
    )
    return groups[chosen]


def _draw(found: Sequence[Change], measure: Measure) -> None:
    title, number = MEASURES[measure]
    table = pd.DataFrame(
        [
            (_missing(change), each.mean, each.low, each.high, each.count)
            for change in found
            if (each := change.means.get(measure)) is not None
        ],
        columns=["missing", "mean", "low", "high", "count"],
    ).astype({"low": float, "high": float})
    st.altair_chart(
        distributions.change_dots(table, x_title=_(title), number=number),
        alt=_("{measure}: {changes}").format(
            measure=_(title),
            changes=_("; ").join(
                f"{row.missing} {wording.signed(row.mean) if number == 'score' else format(row.mean, '+.0%')}"
                for row in table.itertuples()
            ),
        ),
    )


def _about(found: Sequence[Change], *, count: int, whole: frozenset[Modality], others: int, alone: int) -> str:
    """Say what was compared, over how many clips, and how sure that is."""
    parts = [
        _("Clips: {count}, each compared with its own score from {whole}.").format(
            count=count, whole=wording.subset(whole)
        )
    ]
    if "error" in found[0].means:
        parts.append(
            _("With a label: {labelled}, with one other than 0: {signed}.").format(
                labelled=found[0].means["error"].count,
                signed=found[0].means["accuracy"].count if "accuracy" in found[0].means else 0,
            )
        )
    if others:
        parts.append(_("With other modalities, not among them: {count}.").format(count=others))
    if alone:
        parts.append(_("With a single modality, which cannot go missing: {count}.").format(count=alone))
    if count >= dropout.MIN_CLIPS:
        parts.append(
            _(
                "Intervals: {coverage:.0%}, {resamples:,} bootstrap samples of the clips, seed {seed}. Clips of one "
                "speaker resemble each other, which makes intervals too narrow."
            ).format(coverage=dropout.COVERAGE, resamples=dropout.RESAMPLES, seed=dropout.SEED)
        )
    if count < FEW:
        parts.append(_("With so few clips this is a hint at most."))
    return " ".join(parts)


def _table(found: Sequence[Change], measures: Sequence[Measure]) -> None:
    rows = [
        {"missing": _missing(change), **{measure: _shown(change, measure) for measure in measures}} for change in found
    ]
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        alt=_("Mean changes with their intervals, one line per missing part"),
        column_config={"missing": _("Missing"), **{measure: _(MEASURES[measure][0]) for measure in measures}},
    )


def _shown(change: Change, measure: Measure) -> str:
    """Return a mean with its interval, as in "+0.12 (-0.03 to +0.27)"."""
    each = change.means.get(measure)
    if each is None:
        return "–"
    form = wording.signed if MEASURES[measure][1] == "score" else "{:+.1%}".format
    mean, *ends = (form(value) for value in (each.mean, each.low, each.high) if value is not None)
    return f"{mean} ({_('{low} to {high}').format(low=ends[0], high=ends[1])})" if ends else mean


def _missing(change: Change) -> str:
    return _("without {modalities}").format(
        modalities=wording.join(
            [wording.name(each).lower() for each in wording.DISPLAY_ORDER if each in change.missing]
        )
    )
