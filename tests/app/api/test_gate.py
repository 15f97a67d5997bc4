"""What the gate refuses by a request's head alone: without a server, as it sees the head."""

from __future__ import annotations

import asyncio
import time

import pytest
from starlette.datastructures import Headers

from app.api import gate
from app.api.refusals import RefusedError
from app.api.screen_uploads import Room

ALLOWED = ["localhost", "::1"]


@pytest.fixture
def configured(monkeypatch):
    monkeypatch.setattr(gate.st, "get_option", {"server.allowedHosts": ALLOWED}.__getitem__)


def refusal(headers: dict[str, str], *, path: str = "/", query: bytes = b"") -> tuple[int, str] | None:
    try:
        gate.check(path, Headers({"host": "localhost:8501", **headers}), query, allowed_hosts=ALLOWED)
    except RefusedError as refused:
        return refused.status, refused.code
    return None


@pytest.mark.parametrize(
    "origin",
    ["http://[", "http://[::1", "http://evil.example", "http://evil@localhost:8501", "localhost:8501", "null", ""],
)
def test_an_origin_that_is_none_is_another_site(origin):
    assert refusal({"origin": origin}) == (403, "other_site")


@pytest.mark.parametrize("origin", ["http://localhost:8501", "HTTPS://LOCALHOST:8501"])
def test_an_origin_of_this_server_is_let_through(origin):
    assert refusal({"origin": origin}) is None


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.usefixtures("configured")
def test_a_damaged_origin_is_answered(kind):
    sent = []

    async def receive():
        return {"type": f"{kind}.request" if kind == "http" else "websocket.connect", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    async def behind(scope, receive, send):
        raise AssertionError("let through")

    raw = [(b"host", b"localhost"), (b"origin", b"http://[")]
    scope = {"type": kind, "path": "/", "query_string": b"", "headers": raw, "method": "GET"}
    asyncio.run(gate.Gate(behind)(scope, receive, send))
    assert sent[0]["type"] == ("http.response.start" if kind == "http" else "websocket.close")


@pytest.mark.usefixtures("configured")
def test_the_files_of_all_visitors_are_bounded_together():
    """An upload is counted by what comes, also beside those that sessions hold, and no more once it has ended."""
    kept, sent, read = [], [], []

    async def receive():
        return {"type": "http.request", "body": b"x" * 40, "more_body": len(read) < 2}

    async def send(message):
        sent.append(message)

    async def behind(scope, receive, send):
        read.clear()
        while (message := await receive())["more_body"]:
            read.append(message["body"])
        await send({"type": "http.response.start", "status": 204, "headers": []})

    barred = gate.Gate(behind, Room(held_bytes=150, kept=lambda: kept[-1]))
    scope = {"type": "http", "path": "/_stcore/upload_file/session/file", "query_string": b"", "method": "PUT"}
    scope["headers"] = [(b"host", b"localhost"), (b"content-length", b"1")]
    for size in (0, 0, 30, 31):  # 120 come
        kept.append(size)
        asyncio.run(barred(scope, receive, send))
    statuses = [message["status"] for message in sent if message["type"] == "http.response.start"]
    assert statuses == [204, 204, 204, 503]


@pytest.mark.parametrize(
    "host", ["evil@localhost", "localhost/x", "localhost?x", "localhost#x", "localhost:port", "::1", "localhost:8501 "]
)
def test_a_host_with_more_than_name_and_port_is_none(host):
    assert not gate.host_is_allowed(host, ALLOWED)


def test_two_lengths_are_refused():
    """Of both, the server would take the chunks, and count the other against its memory."""
    assert refusal({"content-length": "1", "transfer-encoding": "chunked"}) == (400, "two_lengths")
    assert refusal({"content-length": "1"}) is None


def test_a_long_head_is_refused_before_it_is_parsed():
    """A content type of 200 kB takes seconds, in which nobody else is answered."""
    began = time.process_time()
    kind = 'multipart/form-data; "' + ";" * 200_000
    assert refusal({"content-type": kind}) == (431, "head_too_large")
    assert time.process_time() - began < 0.5
    assert refusal({}, path="/" + "x" * gate.HEAD_BYTES) == (431, "head_too_large")
    assert refusal({}, query=b"x" * gate.HEAD_BYTES) == (431, "head_too_large")
    assert refusal({"cookie": "x" * (gate.HEAD_BYTES // 2)}) is None
