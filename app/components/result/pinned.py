"""Pinned results side by side: a form that pins, cards, and a table with the differences to the first."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app.charts import scores
from app.components import clip_header, modality_pills
from app.i18n import wording
from app.i18n.translate import _
from app.services import errors, model
from app.services.analysis import Analysis
from app.services.sharing import links, pins

PINS_PER_ROW = 4


def show() -> None:
    """Show the form and all pins of the session."""
    st.markdown(_("Pin results to compare them side by side: other clips, other modalities, another checkpoint."))
    analysis = clip_header.opened()
    if analysis is not None:
        _add(analysis)
    kept = pins.all_pins()
    links.put(links.PINS, pins.link())
    if not kept:
        st.info(_("Nothing is pinned yet."), icon=":material/push_pin:")
        return
    for begin in range(0, len(kept), PINS_PER_ROW):
        for column, pin in zip(st.columns(PINS_PER_ROW, gap="small"), kept[begin : begin + PINS_PER_ROW], strict=False):
            with column:
                _card(pin, kept[0])
    _table(kept)
    if any(pin.linked is None for pin in kept):
        st.caption(_("The address of this page restores the pinned samples; your own clips are in no link."))
    else:
        st.caption(_("The address of this page restores these pins: copy it to share them."))


def _add(analysis: Analysis) -> None:
    """Let the current clip be pinned, with some of its modalities and one checkpoint."""
    with st.container(border=True):
        clip_header.headline(analysis)
        with st.container(horizontal=True, vertical_alignment="bottom"):
            chosen = modality_pills.choose(analysis, page="compare", linked=True)
            name = st.selectbox(_("Checkpoint"), model.names(), key="compare-checkpoint", width=240)
            pressed = st.button(_("Pin"), key="pin", icon=":material/push_pin:", disabled=not chosen)
        if pressed and chosen:
            with errors.plain_sentences():
                pins.pin(analysis, chosen, checkpoint=name)
        elif not chosen:
            modality_pills.none_chosen()


def _card(pin: pins.Pin, first: pins.Pin) -> None:
    """Show one pin."""
    prediction = pin.prediction
    score = wording.signed(prediction.score)
    with st.container(border=True, height="stretch"):
        st.markdown(f"**{wording.plain(_(pin.title))}**")
        st.caption(f"{wording.subset(prediction.used)} · {pin.checkpoint}")
        to_first = _("{difference} to the first").format(
            difference=wording.signed(prediction.score - first.prediction.score)
        )
        difference = _("the first") if pin is first else to_first
        st.metric(_("Score"), score, difference, delta_color="off", delta_arrow="off")
        st.altair_chart(
            scores.gauge(prediction.score, prediction.interval),
            alt=wording.score_alt(prediction.score),
        )
        st.altair_chart(scores.class_bars(prediction.classes), alt=wording.classes_alt(prediction.classes))
        st.markdown(wording.verdict(prediction.score, prediction.classes, prediction.used))
        if doubt := wording.undecided(prediction):
            st.markdown(f":material/help: {doubt}")
        if st.button(_("Remove"), key=f"unpin-{pin.number}", icon=":material/close:"):
            pins.all_pins().remove(pin)
            links.put(links.PINS, pins.link())
            st.rerun()


def _table(kept: list[pins.Pin]) -> None:
    """List all pins with their differences."""
    first = kept[0].prediction
    rows = [
        {
            _("Clip"): _(pin.title),
            _("Predicted from"): wording.subset(pin.prediction.used),
            _("Checkpoint"): pin.checkpoint,
            _("Score"): pin.prediction.score,
            _("Difference to the first"): pin.prediction.score - first.score,
            **{_(name).capitalize(): share for name, share in pin.prediction.classes.items()},
        }
        for pin in kept
    ]
    shares = {_(name).capitalize(): st.column_config.NumberColumn(format="percent") for name in first.classes}
    signed = {
        _("Score"): st.column_config.NumberColumn(format="%+.2f"),
        _("Difference to the first"): st.column_config.NumberColumn(format="%+.2f"),
    }
    st.dataframe(
        pd.DataFrame(rows), hide_index=True, alt=_("All pinned results as a table"), column_config=signed | shares
    )
