"""The gate before every route, Streamlit's own too: hosts, origins, charsets, and bodies that dawdle."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence

import streamlit as st
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api import refusals, screen_messages, screen_uploads
from app.api.forms import names_other_charset
from app.api.places import NoPlaceError
from app.api.refusals import RefusedError
from app.api.screen_uploads import Room

UPLOAD_SECONDS = 120.0  # for a whole body
GRACE_SECONDS = 10.0  # until a body must have come at the least rate, and the longest silence within one
LEAST_BYTES_PER_SECOND = 16_000
DISCARDED_BYTES = 4_000_000  # of a body that is refused by its head
FULL_SECONDS = 60  # after which another visitor may have left
HEAD_BYTES = 16_384  # of a request; h11 holds to this only while the head is incomplete
CLOSED = ("/_stcore/metrics",)  # counts of sessions and memory are nobody's business
HEALTH = "/_stcore/health"  # asked by machines that name any host
HOST = re.compile(r"(?P<name>[a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?", re.IGNORECASE)
SAME_SITE = ("same-origin", "none")  # values of Sec-Fetch-Site of requests that no other site has caused


class Gate:
    """ASGI middleware that refuses what no route should see.

    Args:
        app: What comes behind it.
        room: For uploads to the screen.
    """

    def __init__(self, app: ASGIApp, room: Room | None = None) -> None:
        self._app = app
        self._room = room or Room(held_bytes=screen_uploads.HELD_BYTES, kept=screen_uploads.kept_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let it through."""
        if scope["type"] == "lifespan" or scope["path"] == HEALTH:
            await self._app(scope, receive, send)
            return
        try:
            headers, query = Headers(scope=scope), scope["query_string"]
            check(scope["path"], headers, query, allowed_hosts=st.get_option("server.allowedHosts"))
        except RefusedError as refused:
            if scope["type"] == "websocket":
                await receive()
                await send({"type": "websocket.close", "code": 1008})
            else:
                await _discard(PacedBody(receive))
                await refused.response()(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await self._app(scope, screen_messages.checked(receive, send), send)
        elif scope["path"].startswith(screen_uploads.ADDRESS):
            await self._with_room(scope, receive, send)
        else:
            await self._paced(scope, receive, send)

    async def _with_room(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with self._room.counted(receive) as counting:
                await self._paced(scope, counting, send)
        except NoPlaceError as error:
            await _discard(PacedBody(receive))
            await refusals.busy(str(error), retry_seconds=FULL_SECONDS).response()(scope, receive, send)

    async def _paced(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, answered = PacedBody(receive), False

        async def note_answer(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        try:
            await self._app(scope, body.receive, note_answer)
        except ClientDisconnect:
            if not body.late:
                raise
        if body.late and not answered:
            await refusals.too_slow(GRACE_SECONDS, UPLOAD_SECONDS).response()(scope, receive, send)


async def _discard(body: PacedBody) -> None:
    """Read a refused body: a client that still sends when the connection closes never sees the answer."""
    size = 0
    while size < DISCARDED_BYTES:
        message = await body.receive()
        size += len(message.get("body", b""))
        if not message.get("more_body", False):
            return


class PacedBody:
    """The body of a request, which ends as if the client had gone once it dawdles.

    Attributes:
        late: Whether it has dawdled.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._began: float | None = None
        self._bytes = 0
        self._complete = False
        self.late = False

    async def receive(self) -> Message:
        """Return the next message of the client."""
        if self._complete:  # then the route waits for the client to go, for as long as it likes
            return await self._receive()
        if self._began is None:
            self._began = time.monotonic()
        try:
            async with asyncio.timeout(min(GRACE_SECONDS, self._began + UPLOAD_SECONDS - time.monotonic())):
                message = await self._receive()
        except TimeoutError:
            return self._cut_off()
        self._bytes += len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        took = time.monotonic() - self._began
        if not self._complete and self._bytes < LEAST_BYTES_PER_SECOND * (took - GRACE_SECONDS):
            return self._cut_off()
        return message

    def _cut_off(self) -> Message:
        self.late = self._complete = True
        return {"type": "http.disconnect"}


def check(path: str, headers: Headers, query: bytes = b"", *, allowed_hosts: Sequence[str]) -> None:
    """Check the head of a request.

    Args:
        path: That it asks for.
        headers: Its headers.
        query: What follows the path.
        allowed_hosts: Host names that this server answers to; "*.example.com" stands for all below, "*" for any.

    Raises:
        RefusedError: If it is not acceptable.
    """
    # First of all: what is parsed below takes time with the square of its length.
    if len(path) + len(query) + sum(len(name) + len(value) for name, value in headers.raw) > HEAD_BYTES:
        raise refusals.head_too_large(HEAD_BYTES)
    if "content-length" in headers and "transfer-encoding" in headers:
        raise refusals.two_lengths()
    host = headers.get("host", "")
    if not host_is_allowed(host, allowed_hosts):
        raise refusals.other_host()
    if path in CLOSED:
        raise refusals.not_found()
    if "sec-fetch-site" in headers:
        # A link from another site may lead to a page, but not to an endpoint.
        if path.startswith("/api/v1/analyse") and headers["sec-fetch-site"] not in SAME_SITE:
            raise refusals.other_site()
    if "origin" in headers and headers["origin"].partition("://")[2].lower() != host.lower():
        raise refusals.other_site()
    if names_other_charset(headers.get("content-type", "")):
        raise refusals.other_charset()


def host_is_allowed(host: str, allowed: Sequence[str]) -> bool:
    """Whether a Host header, with or without a port, names an allowed host; one that holds more than that does not."""
    found = HOST.fullmatch(host)
    if found is None:
        return False
    name = found["name"].strip("[]").lower().rstrip(".")
    return bool(name) and any(
        pattern in ("*", name) or (pattern.startswith("*.") and name.endswith(pattern[1:]))
        for pattern in (entry.strip().lower().rstrip(".") for entry in allowed)
    )
