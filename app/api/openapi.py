"""The OpenAPI document of the HTTP interface, and an HTML page rendered from it."""

from __future__ import annotations

import functools
import json
from typing import Any

from alignmamba.modality import MODALITIES
from app.export.templating import render
from app.services import model, upload
from extractors.media.probe import LIMITS

CURL = "curl -sS -F file=@app/samples/positive.webm http://localhost:8501/api/v1/analyse"
# HTTP status -> (its error codes, when it is returned).
ERRORS = {
    400: (
        ("no_file", "unreadable_form", "two_lengths"),
        "The form cannot be read, or holds no file; or the request has both a Content-Length and a Transfer-Encoding.",
    ),
    403: (
        ("other_site", "other_host"),
        "A browser sends the request for a page of another site, or to a name that is not this server's.",
    ),
    404: (("not_found",), "There is nothing at this address."),
    405: (("method_not_allowed",), "Another method than POST."),
    408: (("too_slow",), "The upload takes too long."),
    413: (("too_large",), "The file or a field is too large."),
    415: (
        ("not_a_form", "other_charset", "unknown_kind"),
        "The body is not a form in UTF-8, or the kind of file is not accepted.",
    ),
    422: (
        ("unusable_clip", "unusable_transcript", "unknown_modalities", "unknown_checkpoint", "modality_absent"),
        "Clip, transcript, modalities or checkpoint cannot be used.",
    ),
    431: (("head_too_large",), "Address and headers are too long."),
    500: (("unforeseen",), "An unforeseen error; the server's log has the details."),
    503: (
        ("busy", "not_ready", "no_memory"),
        "No place is free (see Retry-After), the model cannot be loaded, or the memory is used up.",
    ),
    507: (("no_storage",), "The server's disk is full, or may not be written."),
}
CODES = tuple(code for codes, _when in ERRORS.values() for code in codes)


def result_schema() -> dict[str, Any]:
    """Return the JSON Schema of a result."""
    from alignmamba.result import schema

    return schema()


@functools.cache
def document() -> dict[str, Any]:
    """Return the OpenAPI document."""
    answers = {
        "200": {
            "description": "The result. A clip without a face, without sound or without speech has a result too.",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Result"}}},
        }
    }
    for status, (_codes, when) in ERRORS.items():
        if status != 404:
            content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
            answers[str(status)] = {"description": when, "content": content}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "AlignMamba",
            "version": "1",
            "summary": "Sentiment of a short clip from words, voice and face.",
            "description": (
                "An estimate of how a clip comes across, often wrong, and no statement about what a person feels. Not "
                "for assessing people at work or in education. A clip is kept in a private folder while it is "
                "analysed, then deleted; nothing is stored or sent elsewhere."
            ),
            "license": {
                "name": "MIT (code); the trained model is for research only",
                "url": "https://spdx.org/licenses/MIT",
            },
        },
        "paths": {"/api/v1/analyse": {"post": _analyse(answers)}},
        "components": {"schemas": {"Form": _form(), "Error": _error(), **_result()}},
    }


def _analyse(answers: dict[str, Any]) -> dict[str, Any]:
    return {
        "operationId": "analyse",
        "summary": "Analyse a clip",
        "description": (
            f"One or several speakers, at most {LIMITS.seconds:.0f} seconds and {upload.MAX_MEGABYTES} MB. The answer "
            "comes when the analysis has ended; disconnecting stops the analysis."
        ),
        "requestBody": {
            "required": True,
            "content": {"multipart/form-data": {"schema": {"$ref": "#/components/schemas/Form"}}},
        },
        "responses": answers,
    }


def page() -> str:
    """Return the document as a self-contained HTML page."""
    return render("docs.html", document=document(), errors=ERRORS, curl=CURL)


def _result() -> dict[str, Any]:
    """Return the schema of a result and its parts, as components of the OpenAPI document."""
    schema = json.loads(json.dumps(result_schema()).replace("#/$defs/", "#/components/schemas/"))
    parts = schema.pop("$defs")
    return {"Result": {key: value for key, value in schema.items() if not key.startswith("$")}, **parts}


def _form() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["file"],
        "additionalProperties": False,
        "properties": {
            "file": {
                "type": "string",
                "contentMediaType": "application/octet-stream",
                "description": f"The clip, by its content one of: {', '.join(upload.MIME_TYPES)}.",
            },
            "transcript": {
                "type": "string",
                "description": "What is said in the clip: text or captions. If left out, speech is recognised.",
            },
            "captions": {
                "type": "string",
                "contentMediaType": "application/octet-stream",
                "description": (
                    "A caption file in place of `transcript`: WebVTT, SRT, SubStation Alpha, SBV, LRC, MicroDVD, MPL2, "
                    "TMPlayer, SAMI, TTML or plain text, in UTF-8, UTF-16 or a code page of Windows."
                ),
            },
            "audio_track": {
                "type": "integer",
                "minimum": 1,
                "maximum": 99,
                "description": "Which sound track is used, from 1; if left out, the one with the most speech.",
            },
            "caption_track": {
                "type": "integer",
                "minimum": 1,
                "maximum": 99,
                "description": (
                    "Which caption track of the file says the words, from 1, in place of `transcript` and `captions`; "
                    "if left out, none does. A note of the result names the tracks."
                ),
            },
            "modalities": {
                "type": "string",
                "description": (
                    f"Which of {', '.join(MODALITIES)} to predict from, separated by commas; if left out, all that "
                    "the clip has."
                ),
                "examples": ["audio,video"],
            },
            "checkpoint": {
                "type": "string",
                "enum": model.names(),
                "description": f"Name of the model; if left out, {model.CHECKPOINT.name}.",
            },
        },
    }


def _error() -> dict[str, Any]:
    texts = {
        "what": "What happened.",
        "why": "Why, in the words of the app's screen.",
        "what_to_do": "What to do about it.",
    }
    return {
        "type": "object",
        "required": ["error"],
        "additionalProperties": False,
        "properties": {
            "error": {
                "type": "object",
                "required": ["code", *texts],
                "additionalProperties": False,
                "properties": {
                    "code": {"enum": list(CODES)},
                    **{name: {"type": "string", "minLength": 1, "description": text} for name, text in texts.items()},
                },
            }
        },
    }
