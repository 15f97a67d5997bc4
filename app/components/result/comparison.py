"""Two analyses side by side: scores, every subset of the modalities, and the words with what each of them added."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import streamlit as st

from alignmamba.modality import SUBSETS, Modality
from app.charts import distributions, scores, word_differences
from app.charts.word_differences import MAX_DRAWN, Side, WordPair
from app.components import modality_pills, player
from app.export import comparison_csv
from app.i18n import wording
from app.i18n.translate import _
from app.services.analysis import Analysis

Pair = tuple[Analysis, Analysis]
BESIDE = (3, 2)  # widths of a chart and of its numbers


def show(pair: Pair, names: tuple[str, str], *, one_clip: bool) -> None:
    """Show what two analyses have in common and what differs.

    Args:
        pair: The first and the second analysis.
        names: How they are called; different from each other.
        one_clip: Whether both are of one clip, and so have the same words.
    """
    first, second = pair
    common = [modality for modality in wording.DISPLAY_ORDER if modality in first.available & second.available]
    used = frozenset(
        st.pills(
            _("Predict from"),
            common,
            selection_mode="multi",
            default=common,
            format_func=lambda modality: f"{wording.ICONS[modality]} {wording.name(modality)}",
            key=f"compare-{first.number}-{second.number}",
        )
        if common
        else ()
    )
    if not common:
        st.info(_("The two clips have no modality in common."), icon=":material/visibility_off:")
    elif not used:
        modality_pills.none_chosen()
    else:
        _scores(pair, names, used, players=not one_clip)
    _subsets(pair, names)
    _words(pair, names, used, one_clip=one_clip)


def _scores(pair: Pair, names: tuple[str, str], used: frozenset[Modality], *, players: bool) -> None:
    before = pair[0].predictions[used].score
    for column, analysis, name in zip(st.columns(2, gap="medium"), pair, names, strict=True):
        prediction = analysis.predictions[used]
        difference = _("{difference} to the first").format(difference=wording.signed(prediction.score - before))
        with column, st.container(border=True, height="stretch"):
            st.markdown(f"**{wording.plain(name)}**")
            watch, read = st.columns([2, 3], gap="small") if players else (None, st.container())
            if watch is not None:
                with watch:
                    player.player(analysis.clip, number=analysis.number)
            with read:
                st.metric(
                    _("Sentiment, from -3 to +3"),
                    wording.signed(prediction.score),
                    _("the first") if analysis is pair[0] else difference,
                    delta_color="off",
                    delta_arrow="off",
                )
                st.altair_chart(
                    scores.gauge(prediction.score, prediction.interval), alt=wording.score_alt(prediction.score)
                )
                st.markdown(wording.verdict(prediction.score, prediction.classes, prediction.used))


def _subsets(pair: Pair, names: tuple[str, str]) -> None:
    st.subheader(_("Every combination of words, voice and face"), anchor=False)
    rows = [
        (wording.subset(used), *(each.predictions[used].score if used in each.predictions else None for each in pair))
        for used in SUBSETS
    ]
    table = pd.DataFrame(rows, columns=["label", "first", "second"]).astype({"first": float, "second": float})
    table["difference"] = table["second"] - table["first"]
    drawn = table.assign(row=[f"{place} {label}" for place, label in enumerate(table["label"])])
    chart, numbers = st.columns(BESIDE, gap="medium")
    with chart:
        st.altair_chart(
            distributions.pairs(drawn, names=names, x_title=_("Score"), whole_scale=True),
            alt=_("Scores of both from every combination, {first} against {second}").format(
                first=names[0], second=names[1]
            ),
        )
    with numbers:
        _table(
            table.rename(columns={"label": "subset"}),
            {"subset": _("Predicted from")},
            names,
            alt=_("Scores of both from every combination as a table, with their difference"),
        )
        _download("subsets.csv", lambda: comparison_csv.subsets(*pair))


def _words(pair: Pair, names: tuple[str, str], used: frozenset[Modality], *, one_clip: bool) -> None:
    st.subheader(_("Word by word"), anchor=False)
    first, second = (_side(analysis, used) for analysis in pair)
    if not first.words and not second.words:
        st.caption(_("Nobody speaks here, so there are no words to compare."))
        return
    pairs = word_differences.same_words(first, second) if one_clip else word_differences.matched(first, second)
    explained = _("What a word adds to the score, in points: gradient times input, to first order.")
    st.caption(explained if one_clip else f"{explained} {word_differences.summary(pairs)}")
    shown = word_differences.strongest(pairs)
    if not shown:
        st.info(_("Without the words there is nothing to compare word by word."), icon=":material/visibility_off:")
        return
    chart, numbers = st.columns(BESIDE, gap="medium")
    with chart:
        if len(shown) < len(pairs):
            st.caption(_("The {count} words that differ most; the table has all.").format(count=MAX_DRAWN))
        st.altair_chart(
            distributions.pairs(
                word_differences.drawn(shown), names=names, x_title=_("What the word adds to the score")
            ),
            alt=_words_alt(shown, names),
        )
    with numbers:
        _word_table(pairs, names, one_clip=one_clip)
        _download("words.csv", lambda: comparison_csv.words(pairs))


def _side(analysis: Analysis, used: frozenset[Modality]) -> Side:
    prediction = analysis.predictions.get(used)
    moved = None if prediction is None else prediction.contributions.get(Modality.LANGUAGE)
    return Side(words=analysis.features.words, moved=None if moved is None else moved.astype(float))


def _words_alt(shown: list[WordPair], names: tuple[str, str]) -> str:
    widest = max(shown, key=lambda pair: abs(pair.difference or 0.0))
    if widest.difference is None:
        return _("What each word adds to the score; no word has a counterpart")
    return _(
        "What each word adds to the score in {first} and in {second}; “{word}” differs most, {before} against {after}"
    ).format(
        first=names[0],
        second=names[1],
        word=widest.text,
        before=wording.signed(widest.first_moved or 0.0),
        after=wording.signed(widest.second_moved or 0.0),
    )


def _word_table(pairs: list[WordPair], names: tuple[str, str], *, one_clip: bool) -> None:
    rows = pd.DataFrame(
        {
            "word": [pair.first and pair.first.text for pair in pairs],
            "counterpart": [pair.second and pair.second.text for pair in pairs],
            "first": pd.Series([pair.first_moved for pair in pairs], dtype=float),
            "second": pd.Series([pair.second_moved for pair in pairs], dtype=float),
            "difference": pd.Series([pair.difference for pair in pairs], dtype=float),
        }
    )
    named = {
        "word": _("Word"),
        "counterpart": None if one_clip else _("Counterpart"),
    }
    _table(rows, named, names, alt=_("Every word with what it adds in both, and the difference"), decimals=4)


def _table(
    table: pd.DataFrame, named: dict[str, str | None], names: tuple[str, str], *, alt: str, decimals: int = 2
) -> None:
    number = f"%+.{decimals}f"
    first, second = (st.column_config.NumberColumn(name, format=number, width="small") for name in names)
    difference = st.column_config.NumberColumn(_("Difference"), format=number, width="small")
    st.dataframe(
        table,
        hide_index=True,
        alt=alt,
        column_config={**named, "first": first, "second": second, "difference": difference},
        placeholder="–",
    )


def _download(name: str, make: Callable[[], bytes]) -> None:
    st.download_button(
        _("Download as {kind}").format(kind="CSV"),
        make,
        file_name=name,
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
        key=f"compare-{name}",
    )
