"""Connections whose requests never begin: uvicorn waits for a request's head as long as the client likes.

It has no setting for that, and Streamlit, which starts it, would not pass one on. So its protocol is made here to look
after each connection; a test holds a slow client against the running server.
"""

from __future__ import annotations

import asyncio
import functools

from uvicorn.protocols.http.auto import AutoHTTPProtocol

HEAD_SECONDS = 10.0  # in which the head of a request must have come; twice that after an earlier request
LATE = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


def limit_heads() -> None:
    """Let the server close connections on which no whole head of a request comes in time; once per process."""
    accept = AutoHTTPProtocol.connection_made
    if hasattr(accept, "__wrapped__"):
        return

    @functools.wraps(accept)
    def connection_made(self: AutoHTTPProtocol, transport: asyncio.Transport) -> None:
        accept(self, transport)
        self.loop.call_later(HEAD_SECONDS, _look_after, self, transport, None)

    AutoHTTPProtocol.connection_made = connection_made


def _look_after(connection: AutoHTTPProtocol, transport: asyncio.Transport, before: object) -> None:
    """Close a connection that has waited for a head since it was looked at before.

    Args:
        connection: Uvicorn's.
        transport: Its own.
        before: The answered request, or None for none yet, after which it waited then.
    """
    if transport.is_closing() or transport.get_protocol() is not connection:  # a websocket by now
        return
    request = connection.cycle
    after = request if request is None or request.response_complete else object()  # at work: equal to nothing
    if after is before:
        transport.write(LATE)
        transport.close()
        return
    connection.loop.call_later(HEAD_SECONDS, _look_after, connection, transport, after)
