"""Messages of a browser to the screen, checked before Streamlit reads them.

Streamlit parses a message and does what it asks while nobody else is answered, so that a small one with millions of
fields would stop the server. Some kinds are for those who develop an app, not for its visitors: they tell the
repository's name and branch, or clear what is kept for everybody.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from starlette.types import Message, Receive, Send
from streamlit.proto.BackMsg_pb2 import BackendOperationRequest, BackMsg

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor

MAX_FIELDS = 20_000  # of a message, those within others too; a file in an upload field has eight
MAX_DEPTH = 16  # of messages within others; Streamlit's have seven
VARINT_BYTES = 10  # at most, of a number
OPERATION_BYTES = 10_000  # of a request for a download, whose name goes to the log where there is none
TOO_BIG, NO_MESSAGE = 1009, 1002  # codes of a WebSocket that closes
EXPECTED = {  # of all that a message can be, what a screen sends
    BackMsg.DESCRIPTOR.oneofs_by_name["type"]: (
        "rerun_script",
        "stop_script",
        "app_heartbeat",
        "file_urls_request",
        "backend_operation_request",
    ),
    BackendOperationRequest.DESCRIPTOR.oneofs_by_name["payload"]: ("deferred_file", "dataframe_chunk"),
}
OPERATION = "BackMsg.backend_operation_request"
UNEXPECTED = frozenset(
    field.full_name for choice, names in EXPECTED.items() for field in choice.fields if field.name not in names
)

log = logging.getLogger(__name__)


class TooLargeError(ValueError):
    """A message is larger than any of a screen."""


def checked(receive: Receive, send: Send) -> Receive:
    """Return a WebSocket's `receive` that leaves out what no screen sends, and closes where a message is too large."""

    async def next_message() -> Message:
        while True:
            message = await receive()
            content = message.get("bytes")
            try:
                if content is None or is_expected(content):
                    return message
            except TooLargeError as error:
                log.warning("a browser's connection is closed: %s", error)
                await send({"type": "websocket.close", "code": TOO_BIG})
                return {"type": "websocket.disconnect", "code": TOO_BIG}
            except IndexError as error:
                log.warning("a browser's connection is closed: no message of a screen: %s", error)
                await send({"type": "websocket.close", "code": NO_MESSAGE})
                return {"type": "websocket.disconnect", "code": NO_MESSAGE}

    return next_message


def is_expected(content: bytes) -> bool:
    """Whether a message is of a kind that a screen sends.

    Raises:
        IndexError: If it is none, or holds a group, which protobuf may read but no screen writes.
        TooLargeError: If it has more than `MAX_FIELDS`, found out without parsing it, or names a download at length.
    """
    found = fields(content, BackMsg.DESCRIPTOR)
    if OPERATION in found and len(content) > OPERATION_BYTES:
        raise TooLargeError(f"request of a download: {len(content)} bytes, expected at most {OPERATION_BYTES}")
    unexpected = UNEXPECTED.intersection(found)
    if unexpected:
        log.info("a browser's message is not answered: %s", ", ".join(sorted(unexpected)))
    return not unexpected


def fields(content: bytes, kind: Descriptor) -> Counter[str]:
    """Count the fields of a message in protobuf's wire format, up to a limit.

    Args:
        content: The message; https://protobuf.dev/programming-guides/encoding describes how it is written.
        kind: Which message it is.

    Returns:
        How often each field is there, by its full name, those of messages within it included.

    Raises:
        TooLargeError: If it has more than `MAX_FIELDS`, or more messages within each other than `MAX_DEPTH`.
        IndexError: If it ends early.
    """
    found: Counter[str] = Counter()
    waiting = [(0, len(content), kind, 0)]
    count = 0
    while waiting:
        begin, end, kind, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise TooLargeError(f"messages: more than {MAX_DEPTH} within each other")
        for number, first, last in _fields(content, begin, end):
            count += 1
            if count > MAX_FIELDS:
                raise TooLargeError(f"fields of a message: more than {MAX_FIELDS}")
            if (field := kind.fields_by_number.get(number)) is None:
                continue
            found[field.full_name] += 1
            if field.message_type is not None and first is not None:
                waiting.append((first, last, field.message_type, depth + 1))
    return found


def _fields(content: bytes, at: int, end: int) -> Iterator[tuple[int, int | None, int]]:
    """Yield the number of each field, where its content begins, if it says how long it is, and where it ends."""
    while at < end:
        tag, at = _varint(content, at)
        first = None
        match tag & 7:
            case 0:
                _value, at = _varint(content, at)
            case 1:
                at += 8
            case 2:
                size, first = _varint(content, at)
                at = first + size
            case 5:
                at += 4
            case _:
                raise IndexError("a group, or no message")
        if at > end:
            raise IndexError("a field that ends behind its message")
        yield tag >> 3, first, at


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """Return a number and where the next one begins."""
    value = 0
    for place in range(VARINT_BYTES):
        byte = content[at + place]
        value |= (byte & 127) << 7 * place
        if byte < 128:
            return value, at + place + 1
    raise IndexError("a number without an end")
