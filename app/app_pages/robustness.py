"""The page Robustness: what remains of a clip's score when modalities, moments or words are missing."""

from __future__ import annotations

from typing import Literal

import pandas as pd
import streamlit as st

from alignmamba.evaluation.missing import expected
from alignmamba.modality import ANCHOR_ORDER, Modality
from app.charts import curves, scores
from app.components import clip_header, modality_pills
from app.components.result import subset_table
from app.i18n import wording
from app.i18n.translate import _
from app.services import errors, model, results, sweeps
from app.services.analysis import Analysis
from app.services.errors import PlainError
from app.services.sharing import links, pins

KEPT_CURVES = 20  # of a session; the oldest makes room
METRIC = "acc2_non0"
# Missing rates of the paper; 2/3 is the most that three modalities allow.
PAPER_RATES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 2 / 3)


def verdict(analysis: Analysis, used: frozenset[Modality]) -> None:
    """Show the score from the chosen modalities against that from all."""
    best, chosen = analysis.predictions[analysis.available], analysis.predictions[used]
    difference = _("{difference} compared with all modalities of the clip").format(
        difference=wording.signed(chosen.score - best.score)
    )
    numbers, chart = st.columns([1, 2], gap="medium", vertical_alignment="center")
    with numbers:
        st.metric(
            _("Score from {modalities}").format(modalities=wording.subset(used)),
            wording.signed(chosen.score),
            None if used == analysis.available else difference,
            delta_color="off",
            delta_arrow="off",
        )
        pin_button(analysis, used)
    with chart:
        st.altair_chart(scores.gauge(chosen.score, chosen.interval), alt=wording.score_alt(chosen.score))


def pin_button(analysis: Analysis, used: frozenset[Modality]) -> None:
    """Show a button that pins the result, and a message when it was pressed."""
    if st.button(_("Pin to compare"), key="robust-pin", icon=":material/push_pin:"):
        try:
            pins.pin(analysis, used)
        except PlainError as error:
            st.toast(str(error), icon=":material/info:")
        else:
            st.toast(_("Pinned; see the page Compare."), icon=":material/push_pin:")


def replacement(subset: frozenset[Modality], *, absent: Literal["embed", "skip"]) -> str:
    """Say what replaces the absent modalities, and what the others are aligned to.

    Args:
        subset: Modalities that are present.
        absent: As in the model's config.
    """
    missing = [wording.name(modality) for modality in wording.DISPLAY_ORDER if modality not in subset]
    anchor = next(modality for modality in ANCHOR_ORDER if modality in subset)
    others = [wording.name(modality) for modality in wording.DISPLAY_ORDER if modality in subset - {anchor}]
    parts = []
    if missing and absent == "skip":
        parts.append(_("{absent}: nothing, its tokens are left out").format(absent=wording.join(missing)))
    elif missing:
        parts.append(_("{absent}: a learned vector").format(absent=wording.join(missing)))
    if others:
        parts.append(_("{others} aligned to {anchor}").format(others=wording.join(others), anchor=wording.name(anchor)))
    else:
        parts.append(_("alone, nothing is aligned"))
    return _("; ").join(parts)


def subsets(analysis: Analysis) -> None:
    """List all seven subsets."""
    absent = analysis.predictor.config.absent
    subset_table.show(
        analysis,
        alt=_("Score of each of the seven subsets of the modalities, and its difference to all"),
        replacement=lambda subset: replacement(subset, absent=absent),
    )
    skips = _(
        "This checkpoint leaves out the tokens of an absent modality and puts nothing in their place. Without words, "
        "the others are aligned to the face."
    )
    embeds = _(
        "This checkpoint replaces an absent modality with a learned vector. Without words, the others are aligned to "
        "the face."
    )
    st.caption(skips if absent == "skip" else embeds)


def curve(analysis: Analysis, used: frozenset[Modality]) -> None:
    """Show the clip's score against what is lost, beside the checkpoint's accuracy on its test set."""
    kind, count = _choose_curve(analysis, used)
    st.caption(_(sweeps.ABOUT[kind]))
    sweep = sweeps.Sweep(kind=kind, analysis=analysis, used=used, seeds=sweeps.seeds(count))
    points = run(sweep)
    clip, checkpoint = st.columns(2, gap="medium")
    with clip:
        st.markdown("**" + _("This clip") + "**")
        if points:
            draw(sweep, points)
    with checkpoint:
        st.markdown("**" + _("The checkpoint on its test set") + "**")
        checkpoint_curve(kind)


def _choose_curve(analysis: Analysis, used: frozenset[Modality]) -> tuple[sweeps.KindName, int]:
    """Show the choices; return what is lost and the number of seeds."""
    kinds = {name: kind for name, kind in sweeps.KINDS.items() if kind.needs is None or kind.needs in used}
    asked = links.checked(lambda: links.choice(links.TAB, sweeps.KINDS), links.TAB)
    if asked is not None and asked not in kinds:
        lacking = wording.name(sweeps.KINDS[asked].needs).lower()
        st.info(
            _("Without {modality} this curve has nothing to lose.").format(modality=lacking), icon=":material/block:"
        )
    left, right = st.columns([3, 1], gap="medium", vertical_alignment="bottom")
    with left:
        kind = st.segmented_control(
            _("What is lost"),
            kinds,
            default=asked if asked in kinds else next(iter(kinds)),
            required=True,
            format_func=lambda name: _(sweeps.KINDS[name].title),
            key=f"kind-{analysis.number}-{'-'.join(sorted(used))}",
        )
    with right:
        count = st.slider(_("Seeds"), 1, sweeps.MAX_SEEDS, 5, key="seeds")
    links.put(links.TAB, None if kind == next(iter(sweeps.KINDS)) else kind)
    return kind, max(1, min(sweeps.MAX_SEEDS, int(count)))


def run(sweep: sweeps.Sweep) -> list[sweeps.Point]:
    """Make the curve's draws, with a progress bar and a stop button; finished draws are kept."""
    made = st.session_state.setdefault("sweeps", {})
    points = made.setdefault(sweep.key, [])
    while len(made) > KEPT_CURVES:
        del made[next(iter(made))]
    if not sweeps.KINDS[sweep.kind].slow and not points:
        points.extend(sweep.draws())
    if len(points) == sweep.total:
        return points
    label = _("Continue") if points else _("Draw this curve")
    place = st.empty()
    with place.container(horizontal=True, vertical_alignment="center"):
        started = st.button(label, key="sweep-start", icon=":material/play_arrow:")
        st.caption(_("{done} of {total} draws done.").format(done=len(points), total=sweep.total))
    if not started:
        return points
    with place.container():
        bar = st.progress(0.0)
        # A click runs the page again, which ends this run at its next report, and the work with it.
        st.button(_("Stop"), key="sweep-stop", icon=":material/stop_circle:")

        def report(done: int, total: int) -> None:
            bar.progress(done / total, text=_("{done} of {total} draws").format(done=done, total=total))

        for point in sweep.draws(done=len(points), report=report):
            points.append(point)
    place.empty()
    return points


def draw(sweep: sweeps.Sweep, points: list[sweeps.Point]) -> None:
    """Draw a curve, complete or as far as it was computed."""
    kind = sweeps.KINDS[sweep.kind]
    full = sweep.analysis.predictions[sweep.used].score
    table = pd.DataFrame([(p.x, str(p.seed), p.score, p.lost) for p in points], columns=["x", "seed", "score", "lost"])
    summary = sweep.summary(points)
    chart = curves.score_curve(table, summary, x_title=_(kind.axis), full=full, decibels=kind.falls)
    st.altair_chart(
        chart,
        alt=_("Score from {first} with nothing lost to {last} on average at the most, over {seeds} seeds").format(
            first=wording.signed(full), last=wording.signed(summary["mean"].iloc[-1]), seeds=len(sweep.seeds)
        ),
    )
    st.caption(
        _("Line: mean; band: one standard deviation; dashed: the whole clip. Seeds {seeds}.").format(
            seeds=", ".join(map(str, sweep.seeds))
        )
    )
    with st.expander(_("Numbers"), icon=":material/table:"):
        st.dataframe(
            summary.rename(
                columns={
                    "x": _(kind.axis),
                    "mean": _("Mean score"),
                    "low": _("One deviation below"),
                    "high": _("One deviation above"),
                }
            ),
            hide_index=True,
            alt=_("Mean score and one deviation around it at every level"),
        )


def checkpoint_curve(kind: sweeps.KindName) -> None:
    """Draw the checkpoint's test accuracy at missing rates: measured where its evaluation has it, else computed."""
    if kind != "modalities":
        st.info(_("The evaluation has no such curve; only missing modalities were measured."), icon=":material/info:")
        return
    record = results.read(model.CHECKPOINT / "metrics.json")
    rows = results.missing_rows(record, METRIC)
    if rows.empty:
        values = results.by_subset(record, METRIC)
        means = [100 * expected(rate, values).mean for rate in PAPER_RATES]
        rows = pd.DataFrame({"rate": PAPER_RATES, "mean": means})
        source = _(
            "Computed, not measured, at these rates: the measured accuracy of each of the seven subsets, weighted by "
            "how often the rate draws it. That is the expected accuracy, since what is missing does not depend on the "
            "clip."
        )
    else:
        source = _("Measured at these rates when the checkpoint was evaluated.")
    rows = rows.assign(model=model.CHECKPOINT.name, low=rows["mean"], high=rows["mean"])
    chart = curves.rate_curves(rows, y_title="Acc-2 Non0 %", x_title=_("Missing rate"))
    st.altair_chart(
        chart,
        alt=_("Accuracy falls from {first:.1f} to {last:.1f} per cent as modalities go missing").format(
            first=rows["mean"].iloc[0], last=rows["mean"].iloc[-1]
        ),
    )
    st.caption(
        f"{source} " + _("Composed test clips; from `{path}`, {date}.").format(path=record.shown_path, date=record.date)
    )


st.title(_("Robustness"), anchor=False)
st.markdown(
    _(
        "What if the camera were off, the sound noisy, words missed? Switch modalities off and see what remains of the "
        "score."
    )
)
analysis = clip_header.opened()
if analysis is not None:
    clip_header.headline(analysis)
    used = modality_pills.choose(analysis, page="robustness", linked=True)
    if used:
        verdict(analysis, used)
        st.subheader(_("Every combination of words, voice and face"), anchor=False)
        subsets(analysis)
        st.subheader(_("Score as more is lost"), anchor=False)
        with errors.plain_sentences():
            curve(analysis, used)
    else:
        modality_pills.none_chosen()
