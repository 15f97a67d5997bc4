"""Robustness: what remains of a clip's score when senses, moments or words are missing."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from alignmamba.evaluation.missing import expected
from alignmamba.modality import ANCHOR_ORDER, SUBSETS, Modality
from app.charts import curves, scores
from app.components import clip_header
from app.i18n import wording
from app.i18n.translate import _
from app.services import errors, links, model, pins, results, sweeps
from app.services.analysis import Analysis

KEPT_CURVES = 20  # of a visitor; the oldest makes room
METRIC = "acc2_non0"
PAPER_RATES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 2 / 3)


def verdict(analysis: Analysis, used: frozenset[Modality]) -> None:
    """Show the score of the chosen senses against that of all."""
    best, chosen = analysis.predictions[analysis.available], analysis.predictions[used]
    apart = _("{difference} to all that the clip has").format(difference=wording.signed(chosen.score - best.score))
    numbers, picture = st.columns([1, 2], gap="medium", vertical_alignment="center")
    with numbers:
        st.metric(
            _("Score by {senses}").format(senses=wording.subset(used)),
            wording.signed(chosen.score),
            None if used == analysis.available else apart,
            delta_color="off",
            delta_arrow="off",
        )
        pins.button(analysis, used, key="robust-pin")
    with picture:
        alt = _("Score {score} on a scale from -3 to +3").format(score=wording.signed(chosen.score))
        st.altair_chart(scores.gauge(chosen.score, chosen.interval), alt=alt)


def replaced(subset: frozenset[Modality], config_absent: str) -> str:
    """Say what stands in for absent senses, and what the others are aligned to."""
    absent = [wording.name(modality) for modality in wording.DISPLAY_ORDER if modality not in subset]
    anchor = next(modality for modality in ANCHOR_ORDER if modality in subset)
    others = [wording.name(modality) for modality in wording.DISPLAY_ORDER if modality in subset - {anchor}]
    told = []
    if absent and config_absent == "skip":
        told.append(_("{absent}: nothing, its tokens are left out").format(absent=wording.join(absent)))
    elif absent:
        told.append(_("{absent}: a vector that was learned").format(absent=wording.join(absent)))
    if others:
        told.append(_("{others} aligned to {anchor}").format(others=wording.join(others), anchor=wording.name(anchor)))
    else:
        told.append(_("alone, nothing is aligned"))
    return _("; ").join(told)


def subsets(analysis: Analysis) -> None:
    """List all seven subsets."""
    best = analysis.predictions[analysis.available].score
    absent = analysis.predictor.config.absent
    rows = []
    for subset in SUBSETS:
        prediction = analysis.predictions.get(subset)
        likeliest = max(prediction.classes, key=prediction.classes.__getitem__) if prediction else None
        rows.append(
            {
                _("Judged by"): wording.subset(subset),
                _("Score"): prediction.score if prediction else None,
                _("Difference"): prediction.score - best if prediction else None,
                _("Class"): f"{_(likeliest)} {wording.share(prediction.classes[likeliest])}" if prediction else "",
                _("What replaces an absent sense"): replaced(subset, absent),
                _("Remark"): wording.missing_from(subset, analysis.available),
            }
        )
    complete = len(analysis.available) == len(SUBSETS[0])
    reference = _("all three") if complete else wording.subset(analysis.available)
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        alt=_("Score of each of the seven subsets of the senses, and its difference to all"),
        column_config={
            _("Score"): st.column_config.NumberColumn(format="%+.2f", width="small"),
            _("Difference"): st.column_config.NumberColumn(
                _("Difference to {reference}").format(reference=reference), format="%+.2f"
            ),
            _("Remark"): None if complete else _("Remark"),
        },
        placeholder="",
    )
    skips = _(
        "This checkpoint leaves the tokens of an absent sense out; it has no vector in their place. Without words, the "
        "others are aligned to the face."
    )
    embeds = _(
        "This checkpoint puts a learned vector in the place of an absent sense. Without words, the others are aligned "
        "to the face."
    )
    st.caption(skips if absent == "skip" else embeds)


def curve(analysis: Analysis, used: frozenset[Modality]) -> None:
    """Draw the clip's score against what is lost, beside what the checkpoint reaches on its test set."""
    kinds = {name: kind for name, kind in sweeps.KINDS.items() if kind.needs is None or kind.needs in used}
    asked = links.checked(lambda: links.choice(links.TAB, sweeps.KINDS), links.TAB)
    first = asked if asked in kinds else next(iter(kinds))
    if asked is not None and asked not in kinds:
        lacking = wording.name(sweeps.KINDS[asked].needs).lower()
        st.info(_("Without {sense} this curve has nothing to lose.").format(sense=lacking), icon=":material/block:")
    chosen, count = st.columns([3, 1], gap="medium", vertical_alignment="bottom")
    with chosen:
        kind = st.segmented_control(
            _("What is lost"),
            kinds,
            default=first,
            required=True,
            format_func=lambda name: _(sweeps.KINDS[name].title),
            key=f"kind-{analysis.number}-{'-'.join(sorted(used))}",
        )
    with count:
        number = st.slider(_("Seeds"), 1, sweeps.MAX_SEEDS, 5, key="seeds")
    links.tell(links.TAB, None if kind == "senses" else kind)
    number = max(1, min(sweeps.MAX_SEEDS, int(number)))
    st.caption(_(sweeps.KINDS[kind].about))
    sweep = sweeps.Sweep(kind=kind, analysis=analysis, used=used, seeds=sweeps.seeds(number))
    points = run(sweep)
    ours, theirs = st.columns(2, gap="medium")
    with ours:
        st.markdown("**" + _("This clip") + "**")
        if points:
            draw(sweep, points)
    with theirs:
        st.markdown("**" + _("The checkpoint on its test set") + "**")
        own_curve(kind)


def run(sweep: sweeps.Sweep) -> list[sweeps.Point]:
    """Make the curve's draws, with a bar and a button that stops; what was made stays."""
    made = st.session_state.setdefault("sweeps", {})
    points = made.setdefault(sweep.key, [])
    while len(made) > KEPT_CURVES:
        del made[next(iter(made))]
    if sweep.kind in ("senses", "moments", "frames") and not points:
        points.extend(sweep.draws())  # milliseconds a draw
    if len(points) == sweep.total:
        return points
    label = _("Go on") if points else _("Draw this curve")
    place = st.empty()
    with place.container(horizontal=True, vertical_alignment="center"):
        started = st.button(label, key="sweep-start", icon=":material/play_arrow:")
        st.caption(_("{done} of {total} draws are made.").format(done=len(points), total=sweep.total))
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
    """Draw a curve, whole or as far as it was made."""
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


def own_curve(kind: str) -> None:
    """Draw what the checkpoint reaches at missing rates: measured where its evaluation has it, else worked out."""
    if kind != "senses":
        st.info(_("Its evaluation has no such curve; only missing senses were measured."), icon=":material/info:")
        return
    record = results.read(model.CHECKPOINT / "metrics.json")
    rows = results.missing_rows(record, METRIC)
    if rows.empty:
        values = results.by_subset(record, METRIC)
        means = [100 * expected(rate, values).mean for rate in PAPER_RATES]
        rows = pd.DataFrame({"rate": PAPER_RATES, "mean": means})
        told = _(
            "Not measured at these rates, but worked out: the accuracy on each of the seven subsets, which was "
            "measured, weighed by how often the rate draws it. That is the accuracy to expect, since what is missing "
            "does not depend on the clip."
        )
    else:
        told = _("Measured at these rates when the checkpoint was evaluated.")
    rows = rows.assign(model=model.CHECKPOINT.name, low=rows["mean"], high=rows["mean"])
    chart = curves.rate_curves(rows, y_title="Acc-2 Non0 %", x_title=_("Missing rate"))
    st.altair_chart(
        chart,
        alt=_("Accuracy falls from {first:.1f} to {last:.1f} per cent as senses go missing").format(
            first=rows["mean"].iloc[0], last=rows["mean"].iloc[-1]
        ),
    )
    st.caption(
        f"{told} " + _("Composed test clips; from `{path}`, {date}.").format(path=record.shown_path, date=record.date)
    )


st.title(_("Robustness"), anchor=False)
st.markdown(_("What if the camera were off, the sound noisy, words unheard? Switch senses off and see what holds."))
analysis = clip_header.opened()
if analysis is None or not analysis.predictions:
    clip_header.offer()
else:
    clip_header.headline(analysis)
    used = clip_header.choose_senses(analysis, key="robust")
    if used:
        verdict(analysis, used)
        st.subheader(_("Every combination of words, voice and face"), anchor=False)
        subsets(analysis)
        st.subheader(_("While more and more is lost"), anchor=False)
        with errors.plain_sentences():
            curve(analysis, used)
    else:
        st.info(_("Choose at least one of them."), icon=":material/toggle_on:")
