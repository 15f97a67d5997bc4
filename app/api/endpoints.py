"""The HTTP interface beside the screen: `POST /api/v1/analyse` accepts a clip and returns a result document.

These are routes of `st.App` rather than a server of their own (FastAPI, say). The screen and the interface share one
process: one model in memory, one bounded queue of jobs, one set of limits and messages, one address to start, stop and
guard. A second server would load a gigabyte again and could not know how busy the first one is. FastAPI would add typed
forms and an OpenAPI document, which is little for one form, and would not bound an upload while it streams in. The
document is built in `app.api.openapi`; a test checks it against the routes.

Responses are in English, whatever the language of the screen. Errors say what happened, why, and what to do.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import NamedTuple

from starlette.datastructures import Headers
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from alignmamba.modality import MODALITIES, Modality, parse_modalities
from app.api import connections, openapi, refusals, stopping
from app.api.forms import FieldSizeError, FormError, FormParser, Part
from app.api.gate import Gate
from app.api.places import HELD_BYTES, UPLOADS, UPLOADS_PER_CLIENT, NoPlaceError, Places
from app.i18n.translate import SOURCE, spoken_in
from app.services import jobs, model, upload
from app.services.analysis import Analysis, Clip
from app.services.errors import PlainError
from app.services.jobs import Job
from extractors.media.probe import LIMITS
from extractors.storage import scratch
from extractors.workers.fair_queue import FullError

TEXT_BYTES = 2_000_000  # of a text field, enough for the longest subtitles; transcripts have their own limit
FORM_BYTES = LIMITS.file_bytes + 2 * TEXT_BYTES
DISCARDED_BYTES = 100_000_000  # of a refused body; whoever sends more is cut off
CHUNK_BYTES = 256_000  # parsed at once, in a thread
RESTART_SECONDS = 30  # after which a server that is stopped may be back
FIELDS = ("file", "captions", "transcript", "modalities", "audio_track", "caption_track", "checkpoint")
TOO_LARGE = f"The request has more than {FORM_BYTES / upload.MEGABYTE:.0f} MB."

PLACES = Places(in_all=UPLOADS, per_client=UPLOADS_PER_CLIENT, held_bytes=HELD_BYTES)


class AnalyseRequest(NamedTuple):
    """The content of a request: a clip, the modalities to predict from (None for all), and the name of the model."""

    clip: Clip
    modalities: frozenset[Modality] | None
    checkpoint: str


class _Endpoint(HTTPEndpoint):
    """An endpoint that returns every error as JSON."""

    async def dispatch(self) -> None:
        request = Request(self.scope, receive=self.receive)
        try:
            handler = getattr(self, request.method.lower(), None) if request.method in self.methods else None
            response = await (handler or self._not_allowed)(request)
        except refusals.RefusedError as refused:
            response = refused.response()
        except ClientDisconnect:
            return  # nobody waits for a response
        except MemoryError:
            response = refusals.no_memory().response()
        except Exception as error:
            response = refusals.unforeseen(error).response()
        for name, value in refusals.SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        await response(self.scope, self.receive, self.send)

    methods: tuple[str, ...] = ("GET", "HEAD")

    async def _not_allowed(self, request: Request) -> Response:
        raise refusals.method_not_allowed(request.method, self.methods)


class Analyse(_Endpoint):
    """The endpoint that analyses a clip."""

    methods = ("POST",)

    async def post(self, request: Request) -> Response:
        """Read a clip, analyse it in a worker process, return the result document."""
        client = request.client.host if request.client else ""
        body = request.stream()
        try:
            _check_headers(request.headers)
            with PLACES.held(_claimed_bytes(request.headers)):
                with PLACES.upload(client):
                    asked = await _read(request.headers, body)
                analysis = await _analyse(asked, request, owner=client)
                document = await asyncio.to_thread(_document, analysis, asked.modalities)
        except refusals.RefusedError:
            await _discard(body, request.headers)
            raise
        except NoPlaceError as error:
            await _discard(body, request.headers)
            raise refusals.busy(str(error), retry_seconds=jobs.queue().retry_seconds()) from error
        except FullError as error:
            why = "More clips wait for their analysis than may wait"
            raise refusals.busy(why, retry_seconds=error.retry_seconds) from error
        return Response(document, media_type="application/json")


class Document(_Endpoint):
    """The OpenAPI document."""

    async def get(self, request: Request) -> Response:
        """Return it."""
        return JSONResponse(await asyncio.to_thread(openapi.document))

    head = get


class Schema(_Endpoint):
    """The JSON Schema of a result."""

    async def get(self, request: Request) -> Response:
        """Return it."""
        return JSONResponse(await asyncio.to_thread(openapi.result_schema), media_type="application/schema+json")

    head = get


class Docs(_Endpoint):
    """The OpenAPI document as an HTML page."""

    async def get(self, request: Request) -> Response:
        """Return it."""
        page = await asyncio.to_thread(openapi.page)
        policy = f"{refusals.SECURITY_HEADERS['content-security-policy']}; style-src 'unsafe-inline'"
        return HTMLResponse(page, headers={"content-security-policy": policy})

    head = get


class Nothing(_Endpoint):
    """Every other address under /api."""

    methods = ()

    async def _not_allowed(self, request: Request) -> Response:
        raise refusals.not_found()


@asynccontextmanager
async def lifespan(app: object) -> AsyncGenerator[None, None]:
    """Sweep up after a killed server and load the models before anybody asks; stop all jobs at the end."""
    connections.limit_heads()
    with stopping.noticed():
        await asyncio.to_thread(scratch.sweep)
        model.warm_up()
        yield
        await asyncio.to_thread(jobs.stop_all)
        await asyncio.to_thread(scratch.clear)  # of what could not end in time
        await asyncio.to_thread(model.end_warm_up)


def middleware() -> list[Middleware]:
    """Return the middleware for `st.App`."""
    return [Middleware(Gate)]


def routes() -> list[BaseRoute]:
    """Return the routes for `st.App`."""
    return [
        Route("/api/v1/analyse", Analyse),
        Route("/api/v1/openapi.json", Document),
        Route("/api/v1/result.schema.json", Schema),
        Route("/api/v1/docs", Docs),
        Route("/api/{rest:path}", Nothing),
    ]


def _check_headers(headers: Headers) -> None:
    """Check what can be checked before the body is read.

    Raises:
        RefusedError: If the request is not acceptable.
    """
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "multipart/form-data":
        raise refusals.not_a_form()
    if _claimed_bytes(headers) > FORM_BYTES:
        raise refusals.too_large(TOO_LARGE)


def _claimed_bytes(headers: Headers) -> int:
    """Return the length that a request claims to have, which the server holds it to; the limit where it claims none.

    The gate lets no request with another length beside it through, to which the server would hold it instead.
    """
    length = headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() else FORM_BYTES


async def _read(headers: Headers, body: AsyncIterator[bytes]) -> AnalyseRequest:
    """Read the form; its size is bounded while it streams in, and it is parsed in a thread.

    Raises:
        RefusedError: If it cannot be used.
    """
    try:
        parser = FormParser(headers["content-type"], max_parts=len(FIELDS), text_bytes=TEXT_BYTES)
        async for chunk in _bounded(body):
            await asyncio.to_thread(parser.feed, chunk)
        return await asyncio.to_thread(_parse, parser.finish())
    except FieldSizeError as error:
        raise refusals.too_large(str(error)) from error
    except FormError as error:
        raise refusals.unreadable_form(str(error), FIELDS) from error


async def _bounded(body: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Yield a body in chunks of about `CHUNK_BYTES`; refuse it once it exceeds the limit."""
    size, held = 0, bytearray()
    async for chunk in body:
        size += len(chunk)
        if size > FORM_BYTES:
            raise refusals.too_large(TOO_LARGE)
        held += chunk
        if len(held) >= CHUNK_BYTES:
            yield bytes(held)
            held.clear()
    yield bytes(held)


async def _discard(body: AsyncIterator[bytes], headers: Headers) -> None:
    """Read the rest of a body: a client that is still sending when the connection closes never sees the answer."""
    if _claimed_bytes(headers) > DISCARDED_BYTES:  # it would be cut off anyway
        return
    size = 0
    async for chunk in body:
        size += len(chunk)
        if size > DISCARDED_BYTES:
            return


def _parse(parts: Sequence[Part]) -> AnalyseRequest:
    form = {part.name: part for part in parts}
    if unknown := sorted(set(form) - set(FIELDS)):
        raise FormError(f"It has the unknown field {unknown[0][: refusals.QUOTED_CHARACTERS]!r}.")
    if len(parts) > len(form):
        raise FormError("It has a field more than once.")
    file, captions, transcript, names, track, caption_track, checkpoint = (form.get(field) for field in FIELDS)
    texts = (transcript, names, track, caption_track, checkpoint)
    if any(part is not None and part.filename is not None for part in texts):
        raise FormError("A field of text was sent as a file.")
    if captions is not None and captions.filename is None:
        raise FormError("The field `captions` was not sent as a file.")
    if file is None or not file.filename:
        raise refusals.no_file()
    modalities = None if names is None else _modalities(names.text())
    chosen = model.CHECKPOINT.name if checkpoint is None else _checkpoint(checkpoint.text().strip())
    try:
        with spoken_in(SOURCE):
            upload.check_size(len(file.data))
            written = None if captions is None else bytes(captions.data)
            typed = upload.said(None if transcript is None else transcript.text(), None)
            clip = upload.clip(file.filename, bytes(file.data), transcript=typed, captions=written)
            clip = replace(clip, audio_track=_track(track), caption_track=_track(caption_track))
    except upload.SizeError as error:
        raise refusals.too_large(str(error)) from error
    except upload.KindError as error:
        raise refusals.unknown_kind(error) from error
    except PlainError as error:
        raise refusals.not_read(error) from error
    return AnalyseRequest(clip, modalities, chosen)


def _track(part: Part | None) -> int | None:
    if part is None:
        return None
    number = part.text().strip()
    if not re.fullmatch(r"[1-9][0-9]?", number):
        raise refusals.unreadable_form(f"The field `{part.name}` is no number from 1 to 99.", FIELDS)
    return int(number)


def _checkpoint(name: str) -> str:
    if name not in model.names():
        raise refusals.unknown_checkpoint(name, model.names())
    return name


def _modalities(names: str) -> frozenset[Modality]:
    try:
        return parse_modalities(name.strip() for name in names[: refusals.QUOTED_CHARACTERS].split(",") if name.strip())
    except ValueError as error:
        raise refusals.unknown_modalities(error) from error


async def _analyse(asked: AnalyseRequest, request: Request, *, owner: str) -> Analysis:
    """Run a job; it is abandoned when the client disconnects, or the server stops.

    Raises:
        RefusedError: If the clip cannot be analysed, or not before the server stops.
        ClientDisconnect: If the client has disconnected.
        FullError: If too many clips wait already.
    """
    job = Job(asked.clip, owner=owner, checkpoint=asked.checkpoint)
    done, gone = asyncio.wrap_future(job.future), asyncio.ensure_future(_disconnected(request))
    stopped = asyncio.ensure_future(stopping.grace_is_over())
    done.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # an abandoned job's is not logged
    try:
        await asyncio.wait({done, gone, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if done.done():
            return done.result()
        if gone.done():
            raise ClientDisconnect
        raise refusals.busy("the server is being stopped", retry_seconds=RESTART_SECONDS)
    except PlainError as error:
        raise refusals.not_analysed(error) from error
    finally:
        gone.cancel()
        stopped.cancel()
        job.abandon()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _document(analysis: Analysis, modalities: frozenset[Modality] | None) -> str:
    """Return an analysis as a JSON document.

    Raises:
        RefusedError: If the clip lacks a requested modality.
    """
    for modality in MODALITIES:
        if modality in (modalities or ()) and modality not in analysis.available:
            raise refusals.modality_absent(modality, str(analysis.features.modality(modality).absent))
    from alignmamba.result import to_json

    return to_json(analysis.document(modalities))
