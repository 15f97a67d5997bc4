"""HTTP beside the screen: `POST /api/v1/analyse` takes a clip and answers with a result document.

These are routes of `st.App` and no server of their own (FastAPI, say). The screen and the interface then share one
process: one model in memory, one queue of jobs with one bound, one set of limits and sentences, one address to start,
stop and guard; a second server would load a gigabyte again and could only guess how busy the first is. What FastAPI
would add, forms read by type and an OpenAPI document, is little for one form, and neither bounds an upload while it
streams in. The document is `app.api.openapi`'s, and a test holds it against what the routes do.

Answers are English, whatever the screen speaks. Errors say what happened, why, and what to do.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import NamedTuple

from starlette.datastructures import FormData, Headers, UploadFile
from starlette.endpoints import HTTPEndpoint
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from alignmamba.modality import MODALITIES, Modality, parse_modalities
from app.api import openapi, refusals
from app.i18n.translate import SOURCE, spoken_in
from app.services import model, upload
from app.services.analysis import Analysis, Clip
from app.services.errors import PlainError
from app.services.jobs import Job
from extractors.media.probe import LIMITS

PLACES = 4  # requests whose clips are taken in, wait or are analysed; one more is asked to come back
UPLOAD_SECONDS = 120.0  # for a whole upload
RETRY_SECONDS = 10
TEXT_BYTES = 2_000_000  # of one field of text, as much as the longest subtitles; transcripts have their own limit
FORM_BYTES = LIMITS.file_bytes + 2 * TEXT_BYTES
FIELDS = ("file", "transcript", "modalities")
TOO_LARGE = f"The request has more than {FORM_BYTES / upload.MEGABYTE:.0f} MB."

_places = threading.BoundedSemaphore(PLACES)


class Wanted(NamedTuple):
    """What a request asks for."""

    clip: Clip
    modalities: frozenset[Modality] | None


class _Endpoint(HTTPEndpoint):
    """Answers every error in JSON."""

    async def dispatch(self) -> None:
        request = Request(self.scope, receive=self.receive)
        try:
            handler = getattr(self, request.method.lower(), None) if request.method in self.methods else None
            response = await (handler or self._not_allowed)(request)
        except refusals.RefusedError as refused:
            response = refused.response()
        except ClientDisconnect:
            return  # nobody is there to be answered
        except Exception as error:
            response = refusals.unforeseen(error).response()
        await response(self.scope, self.receive, self.send)

    methods: tuple[str, ...] = ("GET", "HEAD")

    async def _not_allowed(self, request: Request) -> Response:
        raise refusals.method_not_allowed(request.method, self.methods)


class Analyse(_Endpoint):
    """Analyses the clip of a form."""

    methods = ("POST",)

    async def post(self, request: Request) -> Response:
        """Take a clip in, analyse it in a process of its own, answer with a document."""
        _check_headers(request.headers)
        if not _places.acquire(blocking=False):
            raise refusals.busy(PLACES, retry_seconds=RETRY_SECONDS)
        try:
            wanted = await _read(request)
            analysis = await _analyse(wanted.clip, request)
            plain = await asyncio.to_thread(_document, analysis, wanted.modalities)
        finally:
            _places.release()
        return Response(plain, media_type="application/json", headers={"cache-control": "no-store"})


class Document(_Endpoint):
    """The OpenAPI document."""

    async def get(self, request: Request) -> Response:
        """Answer with it."""
        return JSONResponse(await asyncio.to_thread(openapi.document))

    head = get


class Schema(_Endpoint):
    """The JSON Schema of a result."""

    async def get(self, request: Request) -> Response:
        """Answer with it."""
        return JSONResponse(await asyncio.to_thread(openapi.result_schema), media_type="application/schema+json")

    head = get


class Docs(_Endpoint):
    """The OpenAPI document as a page."""

    async def get(self, request: Request) -> Response:
        """Answer with it."""
        policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
        page = await asyncio.to_thread(openapi.page)
        return HTMLResponse(page, headers={"content-security-policy": policy})

    head = get


class Nothing(_Endpoint):
    """Every other address under /api."""

    methods = ()

    async def _not_allowed(self, request: Request) -> Response:
        raise refusals.not_found()


@asynccontextmanager
async def lifespan(app: object) -> AsyncGenerator[None, None]:
    """Load the models when the server starts, before anybody asks."""
    model.warm_up()
    yield


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
    """Refuse what need not be read to be refused.

    Raises:
        RefusedError: Such a request.
    """
    if headers.get("sec-fetch-site", "none") in ("cross-site", "same-site"):
        raise refusals.other_site()
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "multipart/form-data":
        raise refusals.not_a_form()
    length = headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length) > FORM_BYTES:
        raise refusals.too_large(TOO_LARGE)


async def _read(request: Request) -> Wanted:
    """Read the form; its size and time are bounded while it streams in.

    Raises:
        RefusedError: If it cannot be used.
    """
    parser = MultiPartParser(
        request.headers, _bounded(request), max_files=1, max_fields=len(FIELDS) - 1, max_part_size=TEXT_BYTES
    )
    try:
        async with asyncio.timeout(UPLOAD_SECONDS):
            form = await parser.parse()
    except TimeoutError:
        raise refusals.too_slow(UPLOAD_SECONDS) from None
    except MultiPartException as error:
        if error.message.startswith("Part exceeded"):
            raise refusals.too_large(f"A field of text has more than {TEXT_BYTES:,} bytes.") from error
        raise refusals.unreadable_form(error.message, FIELDS) from error
    try:
        return await _wanted(form)
    finally:
        await form.close()


async def _bounded(request: Request) -> AsyncGenerator[bytes, None]:
    """Pass a body on until it is larger than any form may be."""
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > FORM_BYTES:
            raise refusals.too_large(TOO_LARGE)
        yield chunk


async def _wanted(form: FormData) -> Wanted:
    if unknown := sorted(set(form) - set(FIELDS)):
        raise refusals.unreadable_form(
            f"It has the unknown field {unknown[0][: refusals.QUOTED_CHARACTERS]!r}.", FIELDS
        )
    if len(form.multi_items()) > len(form):
        raise refusals.unreadable_form("It has a field more than once.", FIELDS)
    file, transcript, names = (form.get(field) for field in FIELDS)
    if isinstance(transcript, UploadFile) or isinstance(names, UploadFile):
        raise refusals.unreadable_form("A field of text was sent as a file.", FIELDS)
    if not isinstance(file, UploadFile) or not file.filename:
        raise refusals.no_file()
    modalities = None if names is None else _modalities(names)
    try:
        with spoken_in(SOURCE):
            upload.check_size(file.size or 0)
            clip = upload.clip(file.filename, await file.read(), transcript=transcript)
    except upload.SizeError as error:
        raise refusals.too_large(str(error)) from error
    except upload.KindError as error:
        raise refusals.unknown_kind(error) from error
    return Wanted(clip, modalities)


def _modalities(names: str) -> frozenset[Modality]:
    try:
        return parse_modalities(name.strip() for name in names[: refusals.QUOTED_CHARACTERS].split(",") if name.strip())
    except ValueError as error:
        raise refusals.unknown_modalities(error) from error


async def _analyse(clip: Clip, request: Request) -> Analysis:
    """Wait for a job; it is abandoned when the sender goes away.

    Raises:
        RefusedError: If the clip cannot be analysed.
        ClientDisconnect: If nobody waits any more.
    """
    job = Job(clip)
    done, gone = asyncio.wrap_future(job.future), asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({done, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not done.done():
            raise ClientDisconnect
        return done.result()
    except PlainError as error:
        raise refusals.not_analysed(error) from error
    finally:
        gone.cancel()
        job.abandon()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _document(analysis: Analysis, modalities: frozenset[Modality] | None) -> str:
    """Write an analysis as a document.

    Raises:
        RefusedError: If the clip lacks a modality that was asked for.
    """
    for modality in MODALITIES:
        if modality in (modalities or ()) and modality not in analysis.available:
            raise refusals.modality_absent(modality, str(analysis.features.modality(modality).absent))
    from alignmamba.result import to_json

    return to_json(analysis.document(modalities))
