"""Messages of a browser to the screen: counted as protobuf counts them, and only those that a screen sends."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamlit.proto.BackMsg_pb2 import BackMsg

from app.api import screen_messages
from app.api.screen_messages import MAX_FIELDS, TooLargeError, fields, is_expected

WIDGETS = st.one_of(
    st.fixed_dictionaries({"id": st.text(), "bool_value": st.booleans()}),
    st.fixed_dictionaries({"double_array_value": st.fixed_dictionaries({"data": st.lists(st.floats(width=32))})}),
    st.fixed_dictionaries({"string_array_value": st.fixed_dictionaries({"data": st.lists(st.text())})}),
    st.fixed_dictionaries({"int_value": st.integers(-(2**63), 2**63 - 1), "id": st.text()}),
    st.fixed_dictionaries({"bytes_value": st.binary()}),
)


def reference(message) -> int:
    """Fields of a message, as protobuf's own library lists them; numbers that are packed are one."""
    count = 0
    for field, value in message.ListFields():
        values = value if field.is_repeated else [value]
        count += 1 if field.is_packed else len(values)
        if field.message_type is not None:
            count += sum(map(reference, values))
    return count


@given(st.lists(WIDGETS), st.text(), st.lists(st.text()))
def test_fields_are_counted_as_protobuf_counts_them(widgets, query, hashes):
    message = BackMsg()
    message.rerun_script.query_string = query
    message.rerun_script.cached_message_hashes.extend(hashes)
    for widget in widgets:
        message.rerun_script.widget_states.widgets.add(**widget)
    content = message.SerializeToString()
    assert fields(content, BackMsg.DESCRIPTOR).total() == reference(message)
    assert is_expected(content)


@given(st.binary())
def test_any_bytes_are_counted_or_refused(content):
    try:
        is_expected(content)
    except IndexError:
        pass
    except TooLargeError:
        assert len(content) > MAX_FIELDS


def names(count: int) -> bytes:
    """A request for the addresses of files whose names are empty: two bytes each."""
    message = BackMsg()
    message.file_urls_request.file_names.extend([""] * count)
    return message.SerializeToString()


def test_no_more_fields_are_looked_at_than_are_allowed(monkeypatch):
    assert is_expected(names(MAX_FIELDS - 1))
    content, read, number = names(5_000_000), [], screen_messages._varint
    monkeypatch.setattr(screen_messages, "_varint", lambda *at: read.append(None) or number(*at))
    with pytest.raises(TooLargeError, match=f"more than {MAX_FIELDS}"):
        is_expected(content)
    assert MAX_FIELDS < len(read) < 3 * MAX_FIELDS, "two numbers a field"


def test_a_group_that_protobuf_reads_hides_no_fields():
    content = b"\xa3\x06\xa4\x06" + names(MAX_FIELDS + 1)  # field 100 begins and ends
    assert len(BackMsg.FromString(content).file_urls_request.file_names) == MAX_FIELDS + 1
    with pytest.raises(IndexError, match="group"):
        is_expected(content)


def test_messages_deep_within_others_are_refused(monkeypatch):
    message = BackMsg()
    message.rerun_script.widget_states.widgets.add().chat_input_value.file_uploader_state.uploaded_file_info.add(
        name="a"
    )
    content = message.SerializeToString()
    assert is_expected(content)
    monkeypatch.setattr(screen_messages, "MAX_DEPTH", 3)
    with pytest.raises(TooLargeError, match="within each other"):
        is_expected(content)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("load_git_info", True),
        ("clear_cache", True),
        ("set_run_on_save", True),
        ("debug_shutdown_runtime", True),
        ("debug_disconnect_websocket", True),
    ],
)
def test_what_only_developers_send_is_left_out(kind, value):
    assert f"BackMsg.{kind}" in screen_messages.UNEXPECTED
    assert not is_expected(BackMsg(**{kind: value}).SerializeToString())


def test_of_operations_only_downloads_are_let_through():
    message = BackMsg()
    message.backend_operation_request.deferred_file.file_id = "one"
    assert is_expected(message.SerializeToString())
    message.backend_operation_request.deferred_file.file_id = "1" * screen_messages.OPERATION_BYTES
    with pytest.raises(TooLargeError, match="expected at most 10000"):
        is_expected(message.SerializeToString())
    message.backend_operation_request.install_skills.SetInParent()
    assert not is_expected(message.SerializeToString())


def test_the_others_pass_in_their_order_and_a_large_one_ends_the_connection():
    stop = BackMsg(stop_script=True).SerializeToString()
    came = [
        {"type": "websocket.connect"},
        {"type": "websocket.receive", "bytes": BackMsg(clear_cache=True).SerializeToString()},
        {"type": "websocket.receive", "bytes": stop},
        {"type": "websocket.receive", "text": "left to Streamlit"},
        {"type": "websocket.receive", "bytes": names(MAX_FIELDS + 1)},
    ]
    sent = []

    async def receive():
        return came.pop(0)

    async def send(message):
        sent.append(message)

    async def passed():
        next_message = screen_messages.checked(receive, send)
        return [await next_message() for _ in range(4)]

    kinds = [message.get("bytes", message.get("text", message["type"])) for message in asyncio.run(passed())]
    assert kinds == ["websocket.connect", stop, "left to Streamlit", "websocket.disconnect"]
    assert sent == [{"type": "websocket.close", "code": 1009}]
