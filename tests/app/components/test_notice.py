"""The notice stands before an upload until it is agreed to, in both languages."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

from app.components import notice
from app.i18n import translate


def script():
    import streamlit as st

    from app.components import notice

    if notice.agreed():
        st.text("upload here")


def test_nothing_is_offered_before_the_notice_is_agreed_to():
    page = AppTest.from_function(script).run()
    assert not page.exception
    assert not page.text
    text = page.markdown[0].value
    assert all(word in text for word in ("Article 50(3)", "Article 5(1)(f)", "Stored: nothing"))
    page.button(key=notice.BUTTON).click().run()
    assert [text.value for text in page.text] == ["upload here"]
    assert not page.button
    page.run()
    assert page.text, "once per session"


def test_the_notice_speaks_chinese():
    english = notice.points()
    with translate.spoken_in("zh"):
        assert all(
            chinese != sentence and "。" in chinese for chinese, sentence in zip(notice.points(), english, strict=True)
        )
