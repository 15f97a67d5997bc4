"""Forms of any bytes: parsed the same however they are cut into chunks, or refused; never anything else."""

from __future__ import annotations

import time

from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.api import forms
from app.api.forms import FormError, FormParser

BOUNDARY = "ends-here"
TYPE = f"multipart/form-data; boundary={BOUNDARY}"
TEXT_BYTES = 200
NAMES = st.text(st.characters(codec="ascii", exclude_characters='"\\\r\n', min_codepoint=32), min_size=1, max_size=20)
LATIN = st.text(st.characters(codec="latin-1"), max_size=200)  # which is what servers make of headers
# What parsers take apart, beside any bytes.
PIECES = st.sampled_from(
    [
        *(b"--ends-here", b"--ends-here--", b"\r\n", b"\n", b"--", b"content-disposition: form-data; ", b'name="a"'),
        *(b'filename="b"', b"content-type: text/plain; charset=utf-16", b": ", b";", b'"', b"\0", b"=", b"x" * 300),
    ]
)


def parsed(body: bytes, chunk: int = 1_000_000, *, content_type: str = TYPE) -> list[forms.Part] | str:
    """The parts, or why there are none."""
    try:
        parser = FormParser(content_type, max_parts=5, text_bytes=TEXT_BYTES)
        for at in range(0, len(body), chunk):
            parser.feed(body[at : at + chunk])
        return parser.finish()
    except FormError as error:
        return str(error)


def form(parts: list[tuple[str, str | None, bytes]]) -> bytes:
    lines = []
    for name, filename, data in parts:
        sent_as = "" if filename is None else f'; filename="{filename}"'
        lines.append(f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="{name}"{sent_as}\r\n\r\n'.encode() + data)
    return b"\r\n".join([*lines, f"--{BOUNDARY}--\r\n".encode()])


@settings(deadline=None)
@given(
    parts=st.lists(
        st.tuples(NAMES, st.none() | NAMES, st.binary(max_size=TEXT_BYTES).filter(lambda data: b"--ends" not in data)),
        min_size=1,
        max_size=5,
    ),
    chunk=st.integers(1, 100),
)
def test_a_form_comes_back_however_it_is_cut(parts, chunk):
    found = parsed(form(parts), chunk)
    assert [(part.name, part.filename, bytes(part.data)) for part in found] == parts


@settings(max_examples=500, deadline=None)
@given(pieces=st.lists(PIECES | st.binary(max_size=40), max_size=30), chunk=st.integers(1, 100))
@example(pieces=[b"\r\n", b'name="a"', b"--ends-here--"], chunk=1)
@example(pieces=[b"--ends-here\r\n", b"x" * 300, b": y\r\n\r\n"], chunk=1)
def test_any_bytes_are_a_form_or_a_sentence(pieces, chunk):
    whole = parsed(b"".join(pieces))
    assert isinstance(whole, list) or whole.endswith(".")
    cut = parsed(b"".join(pieces), chunk)  # which byte is the first that is wrong may depend on it
    assert cut == whole or (isinstance(cut, str) and isinstance(whole, str))


@settings(max_examples=300, deadline=None)
@given(at=st.integers(0, 300), put=st.binary(max_size=3) | PIECES, dropped=st.integers(0, 3))
def test_a_form_with_other_bytes_in_it_is_a_form_or_a_sentence(at, put, dropped):
    body = form([("file", "clip.mp4", bytes(range(100))), ("transcript", None, "schön".encode())])
    found = parsed(body[:at] + put + body[at + dropped :])
    assert isinstance(found, list) or found.endswith(".")
    for part in found if isinstance(found, list) else ():
        assert part.filename is not None or len(part.data) <= TEXT_BYTES


@settings(max_examples=300, deadline=None)
@given(header=LATIN | LATIN.map("multipart/form-data{}".format))
def test_any_content_type_is_read_or_refused(header):
    assert isinstance(parsed(form([("file", "a", b"b")]), content_type=header), list | str)


def test_time_grows_with_the_bytes_and_no_faster():
    worst = [b"\r\n--ends-her", b"--ends-here\r\n", b"a: b\r\n", b"\r\r\r\r", b"--" * 50]
    for piece in worst:
        body = form([("file", "a", b"")])[:-20] + piece * (2_000_000 // len(piece))
        began = time.thread_time()
        parsed(body, 64_000)
        assert time.thread_time() - began < 5
