"""Messages: one table of codes and templates, filled with named values."""

from __future__ import annotations

import ast

import pytest

from extractors.messages import TEMPLATES, Message, MessageError
from tests.paths import ROOT

TABLE = ROOT / "extractors" / "messages.py"


def strings_in(folder):
    """Every string literal of a folder's modules, the table itself left out."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        if path != TABLE:
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


def codes_in(folder):
    """Every literal code that a folder's modules make messages with."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "Message" and node.args:
                if isinstance(node.args[0], ast.Constant):
                    yield node.args[0].value


def test_every_code_has_a_template():
    codes = {code for folder in ("extractors", "app", "training") for code in codes_in(folder)}
    assert "clip_too_long" in codes
    assert codes <= TEMPLATES.keys()


def test_every_template_is_used():
    unused = TEMPLATES.keys() - {text for folder in ("extractors", "app") for text in strings_in(folder)}
    assert not unused


def test_two_codes_never_share_a_sentence():
    assert len(set(TEMPLATES.values())) == len(TEMPLATES)


def test_a_message_is_its_code_and_values():
    message = Message("frame_too_large", {"width": 8, "height": 4, "limit": "9.4"})
    assert str(message) == "The picture has 8 x 4 pixels; the limit is 9.4 million. Use a clip of 4K or less."
    same = Message("frame_too_large", {"limit": "9.4", "height": 4, "width": 8})
    assert message == same and hash(message) == hash(same)
    assert message != Message("frame_too_large", {"width": 8, "height": 5, "limit": "9.4"})
    with pytest.raises(TypeError):
        message.values["width"] = 9


@pytest.mark.parametrize("code", sorted(TEMPLATES))
def test_values_must_be_those_of_the_template(code):
    with pytest.raises(ValueError, match="values: "):
        Message(code, {"other": 1})


def test_an_unknown_code_is_refused():
    with pytest.raises(ValueError, match="code: 'nonsense', expected one of"):
        Message("nonsense")
    with pytest.raises(ValueError, match="code: 'nonsense'"):
        Message.from_dict({"code": "nonsense", "values": {}})


def test_an_error_carries_its_message():
    error = MessageError(Message("file_empty"), "0 bytes")
    assert (str(error), error.message.code, error.detail) == ("This file is empty.", "file_empty", "0 bytes")
