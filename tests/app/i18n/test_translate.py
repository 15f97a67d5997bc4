"""Every string of the screen has a translation, and none bypasses the catalogues."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest
from babel.messages.extract import extract_from_dir, extract_from_file
from babel.messages.pofile import read_po
from streamlit.testing.v1 import AppTest

from app.i18n import translate, wording
from app.i18n.messages import translated
from app.i18n.translate import LANGUAGES, LOCALE, SOURCE, _, language, spoken_in
from extractors.messages import TEMPLATES, Message
from tests.paths import APP, ROOT

OTHERS = [code for code in LANGUAGES if code != SOURCE]
# Arguments that Streamlit, Altair and browsers show as text.
SHOWN = {"label", "title", "help", "alt", "placeholder", "text", "description"}
# Methods of Streamlit whose first argument is text.
SAYING = {
    *("title", "header", "subheader", "markdown", "caption", "text", "write", "info", "warning", "error", "success"),
    *("button", "download_button", "form_submit_button", "link_button", "popover", "expander", "status", "spinner"),
    *("toast", "metric", "badge", "checkbox", "toggle", "radio", "selectbox", "multiselect", "slider", "select_slider"),
    *("text_input", "text_area", "number_input", "file_uploader", "pills", "segmented_control", "camera_input"),
    *("audio_input", "progress", "NumberColumn", "TextColumn", "LinkColumn", "ProgressColumn", "Column"),
}
# Names of things, the same in every language.
UNTRANSLATED = {"AlignMamba", "Language / 语言"}


def extracted() -> set[str]:
    """Every string that the code marks for translation, as Babel finds it."""
    keywords = {"_": None, "N_": None}
    found = extract_from_dir(str(APP), method_map=[("**.py", "python")], keywords=keywords)
    below = extract_from_file("python", str(ROOT / "extractors" / "messages.py"), keywords=keywords)
    return {entry[2] for entry in found} | {entry[1] for entry in below}


def catalogue(code: str) -> dict[str, str]:
    with (LOCALE / f"{code}.po").open("rb") as file:
        return {message.id: message.string for message in read_po(file, locale=code) if message.id}


def placeholders(text: str) -> list[str]:
    return sorted(name for _text, name, _spec, _conversion in Formatter().parse(text) if name is not None)


def test_strings_are_extracted():
    assert {"Predict from", "very negative"} <= extracted()


@pytest.mark.parametrize("code", OTHERS)
def test_every_string_is_translated_and_none_is_left_over(code):
    messages = catalogue(code)
    missing = sorted(message for message in extracted() if not messages.get(message))
    assert not missing, f"{missing}: run `make strings` and translate them in app/i18n/locale/{code}.po"
    left_over = sorted(messages.keys() - extracted())
    assert not left_over, f"{left_over}: no longer used; `make strings` removes them"


@pytest.mark.parametrize("code", OTHERS)
def test_placeholders_agree(code):
    for message, translation in catalogue(code).items():
        assert placeholders(translation) == placeholders(message), message


def literals(path: Path) -> Iterator[str]:
    """Literal texts that a module shows on screen without `_`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        if ast.unparse(node.func).startswith("log."):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        given = [keyword.value for keyword in node.keywords if keyword.arg in SHOWN]
        given += node.args[:1] if name in SAYING else []
        for value in given:
            parts = value.values if isinstance(value, ast.JoinedStr) else [value]
            for part in parts:
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.value


def has_words(text: str) -> bool:
    """Whether a literal is text, and not an icon, a unit, a separator or Markdown around a value."""
    bare = "" if text.startswith(":material/") else text
    return any(len(word) > 2 and word.isalpha() for word in bare.replace("*", " ").split())


def test_no_literal_bypasses_the_catalogues():
    for path in sorted(set(APP.rglob("*.py")) - set((APP / "cli").rglob("*.py"))):  # the terminal speaks English
        literal = {text for text in literals(path) if has_words(text)} - UNTRANSLATED
        assert not literal, f"{path.relative_to(ROOT)}: {sorted(literal)}, expected them inside _()"


def test_literals_are_found(tmp_path):
    module = tmp_path / "page.py"
    module.write_text('st.button("Go there", icon=":material/home:")\nst.video(x, alt=f"A {y} clip")\nst.text(_("Go"))')
    assert [text for text in literals(module) if has_words(text)] == ["Go there", " clip"]


def test_every_sample_has_its_texts_in_the_catalogue():
    listing = json.loads((APP / "samples" / "samples.json").read_text(encoding="utf-8"))
    assert {sample[key] for sample in listing for key in ("title", "description")} <= extracted()


def test_every_template_of_a_message_is_marked_for_the_catalogues():
    assert set(TEMPLATES.values()) <= extracted()


def test_a_message_is_translated_with_its_values():
    message = Message("clip_too_long", {"limit": 120})
    assert translated(message) == "This clip is longer than 120 seconds, which is the limit. Cut it and try again."
    with spoken_in("zh"):
        assert translated(message) == "这段片段超过 120 秒，这是上限。请剪短后重试。"
        assert wording.degree(3) == "非常积极"


def test_another_language_ends_with_its_block():
    assert language() == SOURCE
    with spoken_in("zh"), spoken_in("en"):
        assert _("Score") == "Score"
    with pytest.raises(ValueError, match="'xx', expected one of"), spoken_in("xx"):
        pass
    assert _("Score") == "Score"


def test_the_language_is_the_link_s_and_else_english():
    """The switch is clicked in the browser test: from its second run on, AppTest runs a page without its frame."""
    page = AppTest.from_file(str(APP / "main.py"), default_timeout=300).run()
    assert not page.exception
    switch = next(element for element in page.get("segmented_control") if element.key == translate.SWITCH)
    assert switch.value == "en"
    assert page.tabs[0].label == "Sentences"
    linked = AppTest.from_file(str(APP / "main.py"), default_timeout=300)
    linked.query_params[translate.KEY] = "zh"
    linked.run()
    assert not linked.exception
    assert linked.tabs[0].label == "句子"
    linked.run()
    assert linked.tabs[0].label == "句子", "kept for the session"
