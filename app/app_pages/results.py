"""The page Results: measurements from the committed result files; the paper's own numbers are kept apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from alignmamba.modality import SUBSETS, letters
from app.charts import curves
from app.i18n import wording
from app.i18n.translate import _
from app.services import errors, model, results

ALL, RIGHT, WRONG = "all", "right", "wrong"
# Folders of datasets that the paper reports on -> its name for them.
PAPER_SETS = {"mosi-utterance": "mosi", "mosi-utterance-folds": "mosi", "mosi": "mosi", "mosei": "mosei"}


def source(record: results.Record) -> None:
    """Show which command made a file, on which machine, and when."""
    seeds = _(" Seeds {seeds}.").format(seeds=", ".join(map(str, record.seeds))) if record.seeds else ""
    text = _("From `{path}`, made by `{command}` on {device} cores, {date}.{seeds}").format(
        path=record.shown_path, command=record.command, device=record.device, date=record.date, seeds=seeds
    )
    st.caption(text)


def show(path: Path, draw: Callable[[results.Record], None]) -> None:
    """Show a file's figures and their source, or that the file cannot be used."""
    try:
        record = results.read(path)
        draw(record)
    except results.RecordError as error:
        text = _("Not measured yet: {error}.").format(error=wording.plain(str(error)))
        st.info(text, icon=":material/hourglass_empty:")
        return
    source(record)


def reported(table: str, *, dataset: str | None) -> None:
    """Show the numbers that the paper reports, in a frame of their own and with their source."""
    rows = results.paper(table, dataset=dataset)
    if not rows:
        return
    address, url = results.paper_source()
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown("**" + _("What the paper reports") + "**", width="content")
            st.badge(_("not ours"), icon=":material/menu_book:", color="orange")
        st.dataframe(
            paper_table(rows),
            hide_index=True,
            alt=_("The paper's own numbers: {table}").format(table=results.title(table)),
            placeholder="",
        )
        text = _(
            "Reported by the authors, on other features and machines, and not measured again here. "
            "Source: [{source}]({url})"
        )
        st.caption(text.format(source=address, url=url))


def paper_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Lay out the paper's rows as the paper prints them."""
    table = pd.DataFrame(rows).drop(columns=["table"]).dropna(axis=1, how="all")
    if "missing_percent" in table:
        table["both"] = [f"{row.accuracy_percent:.1f} / {row.f1_percent:.1f}" for row in table.itertuples()]
        table["missing_percent"] = [f"{rate:.0f} %" for rate in table["missing_percent"]]
        wide = table.pivot_table(index="missing_percent", columns="model", values="both", aggfunc="first", sort=False)
        return wide.reset_index().rename(columns={"missing_percent": _("Missing (accuracy / F1 in %)")})
    names = {
        "dataset": _("Dataset"),
        "model": _("Model"),
        "accuracy_percent": _("Accuracy %"),
        "f1_percent": "F1 %",
        "audio": _("Voice to words"),
        "video": _("Face to words"),
        "memory_gb_6400_tokens": _("Memory at 6,400 tokens, GB"),
        "seconds_50_passes_6400_tokens": _("50 passes at 6,400 tokens, s"),
        "gflop_1024_tokens": _("GFLOP at length 1,024"),
    }
    return table.rename(columns=names)


def checkpoint() -> None:
    """Show the metrics of the shipped checkpoint."""
    st.markdown(
        _(
            "The model that this app runs, on held-out data. The composed clips join sentences, voices and faces of "
            "different people by label; the modalities mostly agree by construction, so the figures show how "
            "modalities add up, not how well real people are understood."
        )
    )

    def draw(record: results.Record) -> None:
        numbers = {
            name: st.column_config.NumberColumn(format=f"%.{decimals}f")
            for name, _factor, decimals in map(results.METRICS.get, results.CHECKPOINT_METRICS)
        }
        st.dataframe(
            results.checkpoint_table(record),
            hide_index=True,
            alt=_("Metrics of the checkpoint per test set and subset of the modalities"),
            column_config=numbers | {_("Balanced accuracy %"): st.column_config.NumberColumn(format="%.1f")},
            placeholder="–",
        )

    show(model.CHECKPOINT / "metrics.json", draw)


def experiment(table: str, *, dataset: str, path: Path) -> None:
    """Show one of the paper's tables as measured here."""
    st.header(results.title(table), anchor=False)

    def draw(record: results.Record) -> None:
        rates = results.rate_curves(record)
        if rates["rate"].nunique() > 1:
            chart = curves.rate_curves(rates, y_title="Acc-2 Non0 %", x_title=_("Missing rate"))
            st.altair_chart(chart, alt=_("Accuracy against the missing rate, one line per model"))
        with st.expander(_("All figures"), icon=":material/table:", expanded=rates["rate"].nunique() < 2):
            st.dataframe(
                results.metric_table(record),
                hide_index=True,
                alt=_("Mean and deviation over seeds of every metric: {table}").format(table=results.title(table)),
            )

    show(path, draw)
    reported(table, dataset=PAPER_SETS.get(dataset))


def benchmarks() -> None:
    """Show the paper's tables as measured here, one dataset at a time."""
    found = results.experiments()
    if not found:
        text = _("No tables are there yet: `python -m training.experiments` makes them.")
        st.info(text, icon=":material/hourglass_empty:")
        return
    dataset = st.selectbox(_("Dataset"), list(found), key="dataset")
    if dataset == "composed":
        st.caption(_("Small runs on composed clips, made to choose settings; not the paper's protocol."))
    if dataset == "mosi-utterance-folds":
        text = _(
            "CMU-MOSI's training videos, tested in four folds. The settings were chosen in folds of the same videos."
        )
        st.caption(text)
    for table, path in found[dataset].items():
        experiment(table, dataset=dataset, path=path)


def cost() -> None:
    """Show the cost of the fusion by length."""
    st.markdown(
        _(
            "Time and memory of whole fusion models of equal width and depth on random features. Both axes are "
            "logarithmic. With stored weights, Transformers keep the attention of all pairs of tokens, as in the paper."
        )
    )
    for path in sorted(results.BENCHMARKS.rglob("fusion-*.json")):
        show(path, draw_cost)
    reported("efficiency", dataset=None)


def draw_cost(record: results.Record) -> None:
    """Show time, memory and operations on one machine."""
    table = results.efficiency(record)
    titles = {"time_ms": _("Time, ms"), "peak_mb": _("Peak memory, MB"), "gflop": _("GFLOP")}
    chosen = st.segmented_control(
        _("Cost"), titles, format_func=titles.get, default="time_ms", required=True, key=f"cost-{record.name}"
    )
    sizes = sorted(set(table["batch"].tolist()))
    if len(sizes) > 1:
        batch = st.segmented_control(
            _("Clips at once"), sizes, default=sizes[0], required=True, key=f"batch-{record.name}"
        )
        table = table[table["batch"] == batch]
    chart = curves.cost_curves(table, chosen, y_title=titles[chosen])
    st.altair_chart(chart, alt=_("{what} by length, one line per model").format(what=titles[chosen]))
    failed = table[table["status"] != "ok"]
    for row in failed.itertuples():
        st.caption(f":material/block: {row.model}, {row.tokens:,}: {row.status}")


def predictions() -> None:
    """List test predictions, right and wrong."""
    st.markdown(
        _(
            "The checkpoint's predictions on the composed test clips, each named by the id of its CMU-MOSI sentence. "
            "Right means that the sign is right; clips with a true score of 0 have no sign. The sentences themselves "
            "are not part of this project."
        )
    )
    try:
        record = results.read(model.CHECKPOINT / "predictions.json")
    except results.RecordError as error:
        text = _(
            "No predictions are there yet ({error}). They are written when the checkpoint is evaluated next: "
            "`python -m training.release.evaluate`."
        )
        st.info(text.format(error=wording.plain(str(error))), icon=":material/hourglass_empty:")
        return
    table, shown = _choose_predictions(record)
    signed = table["right"].notna()
    st.caption(
        _("{shown} of {count} clips. Of {signed} with a sign, {right} are right ({share:.1%}).").format(
            shown=len(shown),
            count=len(table),
            signed=int(signed.sum()),
            right=int(table.loc[signed, "right"].sum()),
            share=table.loc[signed, "right"].astype(float).mean() if signed.any() else 0.0,
        )
    )
    if shown.empty:
        st.info(_("No clip fits."), icon=":material/filter_alt_off:")
        return
    _list_predictions(shown)
    source(record)


def _choose_predictions(record: results.Record) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Show the filters; return all predictions from the chosen modalities, and those that pass the filters."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        subset = st.selectbox(
            _("Predicted from"), SUBSETS, format_func=wording.subset, key="predictions-subset", width=260
        )
        signs = {ALL: _("all"), RIGHT: _("right"), WRONG: _("wrong")}
        sign = st.segmented_control(
            _("Sign"), signs, format_func=signs.get, default=ALL, required=True, key="predictions-kind"
        )
        wanted = st.text_input(_("Id contains"), key="predictions-id", width=200, max_chars=60)
    table = results.predictions_table(record, letters(subset))
    shown = table
    if sign != ALL:
        shown = shown[shown["right"] == (sign == RIGHT)]
    if wanted:
        shown = shown[shown["id"].str.contains(wanted, case=False, regex=False)]
    return table, shown


def _list_predictions(shown: pd.DataFrame) -> None:
    names = {True: _("right"), False: _("wrong"), None: _("no sign")}
    shown = shown.assign(sign=[names[value] for value in shown["right"]])
    st.altair_chart(curves.prediction_scatter(shown), alt=_("Scores against the truth, one point per clip"))
    glyphs = {True: "✓ ", False: "✗ ", None: "– "}
    listed = shown.assign(sign=[glyphs[value] + names[value] for value in shown["right"]]).drop(columns="right")
    st.dataframe(
        listed.rename(
            columns={"id": _("Clip"), "truth": _("Truth"), "score": _("Score"), "error": _("Error"), "sign": _("Sign")}
        ),
        hide_index=True,
        alt=_("Test predictions with truth, score and error"),
        column_config={
            name: st.column_config.NumberColumn(format="%+.2f") for name in (_("Truth"), _("Score"), _("Error"))
        },
    )


PARTS = {
    "checkpoint": checkpoint,
    "benchmarks": benchmarks,
    "cost": cost,
    "predictions": predictions,
}

st.title(_("Results"), anchor=False)
st.markdown(
    _(
        "Every figure comes from a result file of this project and names the command that made it. The paper's own "
        "numbers are shown in separate boxes."
    )
)
titles = [_("This checkpoint"), _("The paper's tables"), _("Speed and memory"), _("Test predictions")]
for tab, draw in zip(st.tabs(titles), PARTS.values(), strict=True):
    with tab, errors.plain_sentences():
        draw()
