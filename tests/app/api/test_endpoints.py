"""The HTTP interface, over loopback, of the server that `streamlit run app/main.py` starts."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import jsonschema
import pytest
from openapi_spec_validator import validate
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from app.api import connections, endpoints, gate, openapi, refusals
from app.api.places import UPLOADS_PER_CLIENT
from app.services import errors
from app.services.errors import PlainError
from app.services.upload import title
from benchmarks import server
from benchmarks.server import ROOT, running
from tests.app.api.test_screen_messages import names
from tests.app.app_pages.test_analyse import movie

SAMPLES = ROOT / "app" / "samples"
ANSWER_SECONDS = 300.0  # the first answer waits for every model, on whatever else the machine is doing
BOUNDARY = "ends-here"
FORM = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
CLIP = movie(seconds=1)


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    """Port of a running server."""
    with running(tmp_path_factory.mktemp("server") / "server.log") as number:
        yield number


def charset(name: str) -> dict[str, str]:
    return {"content-type": f"{FORM['content-type']}; charset={name}"}


def form(*, name="clip.mp4", file: bytes | None = CLIP, **fields) -> bytes:
    parts = []
    for key, value in fields.items():
        sent_as = '; filename="said.srt"' if key == "captions" and isinstance(value, bytes) else ""
        parts.append(
            f'name="{key}"{sent_as}\r\n\r\n'.encode() + (value if isinstance(value, bytes) else value.encode())
        )
    if file is not None:
        parts.append(f'name="file"; filename="{name}"\r\n\r\n'.encode() + file)
    lines = b"".join(b"--%s\r\ncontent-disposition: form-data; %s\r\n" % (BOUNDARY.encode(), part) for part in parts)
    return lines + f"--{BOUNDARY}--\r\n".encode()


def ask(port: int, method="POST", path="/api/v1/analyse", body: bytes | None = None, headers=FORM):
    """Return an answer's status, headers and parsed body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        is_json = "json" in answer.headers["content-type"]
        return answer.status, answer.headers, json.loads(content) if is_json else content.decode()
    finally:
        connection.close()


def head(length: str) -> bytes:
    """The head of an HTTP request."""
    lines = [
        "POST /api/v1/analyse HTTP/1.1",
        "host: localhost",
        f"content-type: {FORM['content-type']}",
        length,
        "",
        "",
    ]
    return "\r\n".join(lines).encode()


def conforms(plain, name: str) -> bool:
    """Validate a response against a schema of the OpenAPI document."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": openapi.document()["components"]}
    jsonschema.Draft202012Validator(schema).validate(plain)
    return True


def test_the_document_is_openapi_and_names_every_error():
    validate(openapi.document())
    source = (ROOT / "app" / "api" / "refusals.py").read_text(encoding="utf-8")
    raised = set(re.findall(r'RefusedError\(\s*(\d{3}),\s+"(\w+)"', source))
    assert raised == {(str(status), code) for status, (codes, _when) in openapi.ERRORS.items() for code in codes}


def test_the_curl_line_of_the_readme_works_as_it_stands(port, tmp_path):
    if shutil.which("curl") is None:
        pytest.skip("there is no curl on this machine")
    (line,) = re.findall(r"^curl .*/api/v1/analyse$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert line == openapi.CURL
    # curl's own settings lead the line's address to the port that is free here.
    (tmp_path / ".curlrc").write_text(f'connect-to = "localhost:8501:127.0.0.1:{port}"\nnoproxy = "*"\n')
    environment = {**os.environ, "CURL_HOME": str(tmp_path)}
    done = subprocess.run(
        shlex.split(line), cwd=ROOT, env=environment, capture_output=True, timeout=ANSWER_SECONDS, check=True
    )
    plain = json.loads(done.stdout)
    assert conforms(plain, "Result")
    assert plain["prediction"]["used"] == ["audio", "language", "video"]
    assert len(plain["subsets"]) == 7
    assert plain["clip"]["title"] == "positive.webm"


def test_a_request_names_its_checkpoint(port):
    scores = {}
    for name in ("alignmamba-open", "alignmamba-opensmile"):
        content = (SAMPLES / "positive.webm").read_bytes()
        status, _, plain = ask(port, body=form(file=content, transcript="a fine day", checkpoint=name))
        assert status == 200 and plain["checkpoint"] == name
        scores[name] = plain["prediction"]["score"]
    assert scores["alignmamba-open"] != scores["alignmamba-opensmile"]


def test_a_clip_is_predicted_from_the_requested_modalities(port):
    text = "what a </script> 好 day"
    status, headers, plain = ask(port, body=form(transcript=text, modalities=" language"))
    assert status == 200
    assert headers["cache-control"] == "no-store"
    assert conforms(plain, "Result")
    assert plain["prediction"]["used"] == ["language"]
    assert [word["text"] for word in plain["transcript"]["words"]] == text.split()
    assert plain["modalities"]["audio"]["absent"] == "no audio stream"
    nothing_status, _, nothing = ask(port, body=form())
    assert nothing_status == 200, "a clip without modalities is a result"
    assert conforms(nothing, "Result")
    assert nothing["prediction"] is None


def test_captions_come_in_any_encoding_as_a_file_and_in_utf_8_as_text(port):
    cue = "1\n00:00:00,500 --> 00:00:02,000\nMAN: Good café tonight\n"
    for encoding in ("utf-8", "utf-16", "cp1252"):
        status, _, plain = ask(port, body=form(captions=cue.encode(encoding), modalities="language"))
        assert status == 200 and conforms(plain, "Result")
        words = plain["transcript"]["words"]
        assert [(word["text"], word["speaker"]) for word in words] == [(t, "MAN") for t in ("Good", "café", "tonight")]
        status, _, as_text = ask(port, body=form(transcript=cue.encode(encoding), modalities="language"))
        assert status == 400 if encoding != "utf-8" else as_text["transcript"] == plain["transcript"]


def test_pages_for_people_and_programs(port):
    assert ask(port, "GET", "/api/v1/openapi.json")[2] == openapi.document()
    assert ask(port, "GET", "/api/v1/result.schema.json")[2] == openapi.result_schema()
    status, headers, page = ask(port, "GET", "/api/v1/docs")
    assert status == 200
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert openapi.CURL in page
    assert "<script" not in page
    assert ask(port, "GET", "/")[0] == 200, "the screen stands beside it"


HOSTILE = {
    "another method": (405, "method_not_allowed", {"method": "GET", "body": None}),
    "an unknown method": (405, "method_not_allowed", {"method": "BREW", "body": None}),
    "another address": (404, "not_found", {"path": "/api/v2/analyse/passwd", "body": b""}),
    "no form": (415, "not_a_form", {"headers": {"content-type": "application/json"}, "body": b"{}"}),
    "no content type": (415, "not_a_form", {"headers": {}, "body": b""}),
    "no boundary": (400, "unreadable_form", {"headers": {"content-type": "multipart/form-data"}, "body": b"x"}),
    "garbage": (400, "unreadable_form", {"body": os.urandom(500)}),
    "an empty body": (400, "no_file", {"body": b""}),
    "no file": (400, "no_file", {"body": form(file=None, transcript="words")}),
    "a file without a name": (400, "no_file", {"body": form(name="")}),
    "a file as text": (400, "no_file", {"body": form(file=None)}),
    "an unknown field": (400, "unreadable_form", {"body": form(camera="/etc/passwd")}),
    "two files": (400, "unreadable_form", {"body": form(file=CLIP)[: -len(BOUNDARY) - 6] + form()}),
    "an empty file": (422, "unusable_clip", {"body": form(file=b"")}),
    "a script of names": (422, "unusable_clip", {"body": form(file=b"ffconcat version 1.0\nfile other.mp4\n")}),
    "half a clip": (422, "unusable_clip", {"body": form(file=CLIP[:300])}),
    "a clip that is too long": (422, "unusable_clip", {"body": form(file=movie(seconds=130, rate=1))}),
    "another kind": (415, "unknown_kind", {"body": form(name="clip.exe", file=b"MZ" + bytes(99))}),
    "a document under a clip's name": (415, "unknown_kind", {"body": form(file=b"%PDF-1.7 " + bytes(99))}),
    "a kind in a path": (415, "unknown_kind", {"body": form(name="clip.mp4/../../x.so", file=b"\x7fELF" + bytes(99))}),
    "no end": (400, "unreadable_form", {"body": form()[: -len(BOUNDARY) - 8]}),
    "a transcript that is not UTF-8": (
        400,
        "unreadable_form",
        {"body": form(transcript="é").replace("é".encode(), b"\xe9")},
    ),
    "another charset": (415, "other_charset", {"headers": charset("utf-16"), "body": form()}),
    "a codec that always fails": (
        415,
        "other_charset",
        {"headers": charset("undefined"), "body": form(transcript="w")},
    ),
    "another charset of a part": (
        400,
        "unreadable_form",
        {"body": form(transcript="w").replace(b"\r\n\r\nw", b"\r\ncontent-type: text/plain; charset=utf-7\r\n\r\nw")},
    ),
    "too many headers": (
        400,
        "unreadable_form",
        {"body": form().replace(b"\r\n\r\n", b"\r\nx: y" * 9 + b"\r\n\r\n", 1)},
    ),
    "a long header": (400, "unreadable_form", {"body": form(name="x" * 10_000 + ".mp4")}),
    "too large": (413, "too_large", {"body": form(file=bytes(50_000_001))}),
    "claimed too large": (413, "too_large", {"headers": {**FORM, "content-length": str(10**12)}, "body": b""}),
    "unknown modalities": (422, "unknown_modalities", {"body": form(modalities="audio,<b>smell</b>")}),
    "no modalities": (422, "unknown_modalities", {"body": form(modalities=" , ")}),
    "an unknown checkpoint": (422, "unknown_checkpoint", {"body": form(checkpoint="../<b>mine</b>")}),
    "no checkpoint": (422, "unknown_checkpoint", {"body": form(checkpoint="")}),
    "an absent modality": (422, "modality_absent", {"body": form(transcript="words", modalities="audio")}),
    "a transcript that is too long": (422, "unusable_transcript", {"body": form(transcript="word " * 10_000)}),
    "a huge transcript": (413, "too_large", {"body": form(transcript="w" * 2_000_001)}),
    "captions as text": (400, "unreadable_form", {"body": form(captions="WEBVTT")}),
    "a transcript and a caption track": (
        422,
        "unusable_transcript",
        {"body": form(transcript="a", caption_track="1")},
    ),
    "a caption track that is not there": (422, "unusable_clip", {"body": form(caption_track="1")}),
    "a caption track that is no number": (400, "unreadable_form", {"body": form(caption_track="eng")}),
    "a transcript in another language": (422, "unusable_transcript", {"body": form(transcript="这部电影太棒了")}),
    "captions and a transcript": (422, "unusable_transcript", {"body": form(captions=b"a", transcript="b")}),
    "captions of another format": (422, "unusable_transcript", {"body": form(captions=b"Scenarist_SCC V1.0")}),
    "captions that are no text": (422, "unusable_transcript", {"body": form(captions=bytes(range(64)))}),
    "huge captions": (422, "unusable_transcript", {"body": form(captions=b"w" * 2_000_001)}),
    "a field of many megabytes": (413, "too_large", {"body": form(transcript="w" * 30_000_000)}),
    "no word": (422, "unusable_transcript", {"body": form(transcript="...")}),
    "another origin": (403, "other_site", {"headers": {**FORM, "origin": "http://evil.example"}, "body": form()}),
    "an opaque origin": (403, "other_site", {"headers": {**FORM, "origin": "null"}, "body": form()}),
    "another port as origin": (
        403,
        "other_site",
        {"headers": {**FORM, "origin": "http://127.0.0.1:1"}, "body": form()},
    ),
    "another host": (403, "other_host", {"headers": {**FORM, "host": "evil.example"}, "body": form()}),
    "another host for the screen": (403, "other_host", {"method": "GET", "path": "/", "headers": {"host": "a.b:80"}}),
    "figures about the server": (404, "not_found", {"method": "GET", "path": "/_stcore/metrics"}),
    "another site": (403, "other_site", {"headers": {**FORM, "sec-fetch-site": "cross-site"}, "body": form()}),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_request_gets_what_why_and_what_to_do(port, case):
    expected, code, request = HOSTILE[case]
    status, headers, plain = ask(port, **request)
    assert (status, plain["error"]["code"]) == (expected, code)
    assert conforms(plain, "Error")
    assert len({plain["error"][part] for part in ("what", "why", "what_to_do")}) == 3
    assert "Traceback" not in str(plain)
    assert headers["content-type"] == "application/json"
    assert refusals.SECURITY_HEADERS.items() <= dict(headers).items()
    if status == 405:
        assert headers["allow"] == "POST"


def test_a_slow_codec_does_not_stop_the_server(port):
    """A megabyte decoded as Punycode takes minutes, and would take them from everybody."""
    body = form(transcript="\u00e9" * 400_000)
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(ask, port, body=body, headers=charset("punycode"))
        while not sent.done():
            assert server.answers(port), "the health check waits for a form"
        assert sent.result(1)[0] == 415
    assert ask(port, "PUT", "/_stcore/upload_file/a/b", body, charset("punycode"))[0] == 415


def test_an_upload_is_bounded_while_it_streams_in(port):
    """A body without end or declared size is cut off soon after the limit."""
    sent, chunk = 0, bytes(1_000_000)
    with socket.create_connection(("127.0.0.1", port), timeout=60) as stream:
        stream.sendall(head("transfer-encoding: chunked"))
        begin = form(file=b"")[: -len(BOUNDARY) - 8]
        stream.sendall(b"%x\r\n%s\r\n" % (len(begin), begin))
        try:
            while sent < 4 * endpoints.FORM_BYTES:
                stream.sendall(b"%x\r\n%s\r\n" % (len(chunk), chunk))
                sent += len(chunk)
        except OSError:  # the server has closed its end
            pass
    most = endpoints.FORM_BYTES + endpoints.DISCARDED_BYTES
    assert endpoints.FORM_BYTES - len(begin) < sent + 2_000_000 < most + 20_000_000


@pytest.mark.parametrize("length", ["content-length: {}", "transfer-encoding: chunked"])
def test_a_client_that_first_sends_and_then_reads_sees_why_its_body_is_too_large(port, length):
    size = endpoints.FORM_BYTES + 10_000_000
    begin = form(file=b"")[: -len(BOUNDARY) - 8]
    body = begin + bytes(size - len(begin))
    with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS) as stream:
        stream.sendall(head(length.format(size)))
        stream.sendall(body if "content" in length else b"%x\r\n%s\r\n0\r\n\r\n" % (size, body))
        assert stream.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_uploads_of_one_client_do_not_keep_out_others(port):
    """All places of one client are taken by uploads that do not end: it is asked to come back, others are served."""
    other = {**FORM, "x-forwarded-for": "192.0.2.7"}  # as a proxy on this machine names its client
    with ExitStack() as stack:
        for _ in range(UPLOADS_PER_CLIENT):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60)).sendall(
                head("content-length: 1000")
            )
        end = time.monotonic() + 30
        while (answer := ask(port, body=form(transcript="...")))[0] != 503:
            assert time.monotonic() < end, answer
        assert answer[2]["error"]["code"] == "busy"
        assert int(answer[1]["retry-after"]) > 0
        assert ask(port, body=form(transcript="..."), headers=other)[0] == 422
    end = time.monotonic() + 30
    while (answer := ask(port, body=form(transcript="...")))[0] == 503:  # until it has seen that they have gone
        assert time.monotonic() < end
    assert answer[0] == 422


def test_twenty_at_once_end_right(port):
    """Each gets its own result, or is asked to come back; those that found a place are served."""
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda n: ask(port, body=form(transcript=f"number {n}")), range(20)))
    for number, (status, headers, plain) in enumerate(answers):
        assert status in (200, 503)
        if status == 200:
            assert [word["text"] for word in plain["transcript"]["words"]] == ["number", str(number)]
        else:
            assert int(headers["retry-after"]) > 0
    assert sum(status == 200 for status, *_ in answers) >= UPLOADS_PER_CLIENT


def test_a_body_that_dawdles_is_cut_off(port):
    """Both interfaces end an upload that stands still, or comes byte by byte, long before the time for an upload."""
    with ExitStack() as stack:
        silent, dripping = (
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60)) for _ in range(2)
        )
        silent.sendall(head("content-length: 1000"))
        dripping.sendall(head("content-length: 1000"))
        began = time.monotonic()
        while time.monotonic() - began < 2 * gate.GRACE_SECONDS:
            with contextlib.suppress(OSError):  # it has been cut off
                dripping.send(b"-")
            time.sleep(1)
        for stream in (silent, dripping):
            assert stream.recv(1000).startswith(b"HTTP/1.1 408 ")


def test_a_head_that_dawdles_is_cut_off(port):
    """Whether nothing comes, the head comes byte by byte, or a second one does after an answer."""
    with ExitStack() as stack:
        silent, dripping, second = (
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60)) for _ in range(3)
        )
        second.sendall(b"GET /api/v1/docs HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert second.recv(1_000_000).startswith(b"HTTP/1.1 200 ")
        began = time.monotonic()
        while time.monotonic() - began < 2 * connections.HEAD_SECONDS + 5:
            for stream in (dripping, second):
                with contextlib.suppress(OSError):  # it has been cut off
                    stream.send(b"GET /" if time.monotonic() - began < 0.5 else b"x")
            time.sleep(1)
        for stream in (silent, dripping, second):
            assert b"HTTP/1.1 408 " in stream.recv(1_000_000)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("localhost", True),
        ("LOCALHOST.:8501", True),
        ("[::1]:8501", True),
        ("app.example.com", True),
        ("example.com", False),
        ("example.com.evil", False),
        ("localhost@evil", False),
        ("[::1", False),
        ("", False),
    ],
)
def test_hosts_are_compared_by_name(host, allowed):
    assert gate.host_is_allowed(host, ["localhost", "::1", " *.Example.com"]) == allowed
    assert gate.host_is_allowed("any", ["*"])


def test_a_websocket_from_another_site_is_refused(port):
    def handshake(origin: str) -> bytes:
        lines = ["GET /_stcore/stream HTTP/1.1", f"host: localhost:{port}", "upgrade: websocket", "connection: upgrade"]
        lines += [
            "sec-websocket-version: 13",
            "sec-websocket-key: MDEyMzQ1Njc4OWFiY2RlZg==",
            f"origin: {origin}",
            "",
            "",
        ]
        with socket.create_connection(("127.0.0.1", port), timeout=60) as stream:
            stream.sendall("\r\n".join(lines).encode())
            return stream.recv(1000).split(b"\r\n")[0]

    assert b" 101 " in handshake(f"http://localhost:{port}")
    assert b" 403 " in handshake("http://evil.example")


def test_a_message_of_a_browser_is_bounded_before_it_is_parsed(port):
    with connect(f"ws://localhost:{port}/_stcore/stream", subprotocols=["streamlit"], max_size=None) as stream:
        stream.send(bytes(12_500_000))  # no message of Streamlit's, which would be a protocol error, 1002
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                stream.recv(timeout=60)
    assert closed.value.rcvd.code == 1009


def test_a_message_of_millions_of_fields_stops_nobody(port):
    """One asks for the addresses of five million files, in 10 MB; others are answered meanwhile."""
    with connect(f"ws://localhost:{port}/_stcore/stream", subprotocols=["streamlit"], max_size=None) as stream:
        stream.send(names(5_000_000))
        began = time.monotonic()
        assert ask(port, "GET", gate.HEALTH)[0] == 200
        assert time.monotonic() - began < 10, "many times what it takes, and less than the answer would"
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                stream.recv(timeout=60)
    assert closed.value.rcvd.code == 1009


def test_a_name_is_shown_without_its_path():
    assert title("../../etc/passwd") == "passwd"
    assert title("C:\\clips\\a\u202eb\n.mp4") == "ab.mp4"
    assert len(title("x" * 10_000)) <= 120


def test_an_unforeseen_error_keeps_its_details_in_the_log(caplog):
    answer = json.loads(refusals.unforeseen(RuntimeError("secret detail")).response().body)
    assert conforms(answer, "Error")
    assert "secret detail" not in str(answer)
    assert caplog.records[0].exc_info[1].args == ("secret detail",)
    assert refusals.not_analysed(PlainError("The trained model could not be loaded.")).status == 503
    assert refusals.not_analysed(errors.NotStartedError()).status == 503
    assert "no memory left" in errors.sentence(MemoryError())
