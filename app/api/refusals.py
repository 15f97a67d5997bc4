"""Error responses of the HTTP interface; each says what happened, why, and what to do."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import JSONResponse

from alignmamba.modality import MODALITIES
from app.i18n.translate import SOURCE, spoken_in
from app.services import errors, upload
from app.services.errors import PlainError
from extractors.media.probe import LIMITS

NOT_ACCEPTED, NOT_ANALYSED = "The clip was not accepted.", "The clip was not analysed."
DOCS = "/api/v1/docs"
# Of every answer of the HTTP interface: it is data, for the caller alone, and no part of another page.
SECURITY_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
QUOTED_CHARACTERS = 200  # of a request's values, in error messages


class RefusedError(Exception):
    """A request that is answered with an error.

    Attributes:
        status: HTTP status.
        code: For programs: one of `openapi.CODES`.
        what: What happened.
        why: Why; the screen's message where there is one.
        remedy: What to do about it.
        headers: Further headers of the response.
    """

    def __init__(
        self, status: int, code: str, *, what: str, why: str, remedy: str, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(why)
        self.status, self.code, self.what, self.why, self.remedy = status, code, what, why, remedy
        self.headers = headers or {}

    def response(self) -> JSONResponse:
        """Return the HTTP response."""
        error = {"code": self.code, "what": self.what, "why": self.why, "what_to_do": self.remedy}
        return JSONResponse({"error": error}, self.status, headers={**SECURITY_HEADERS, **self.headers})


def not_found() -> RefusedError:
    """Return the error for an unknown address."""
    why = "There is nothing at this address."
    return RefusedError(404, "not_found", what="Nothing was done.", why=why, remedy=f"See {DOCS} for what there is.")


def method_not_allowed(method: str, allowed: Sequence[str]) -> RefusedError:
    """Return the error for a method that an address does not support."""
    return RefusedError(
        405,
        "method_not_allowed",
        what="Nothing was done.",
        why=f"This address does not support {method[:QUOTED_CHARACTERS]}.",
        remedy=f"Use {' or '.join(allowed)}; {DOCS} shows how.",
        headers={"allow": ", ".join(allowed)},
    )


def other_site() -> RefusedError:
    """Return the error for a request from another site's page through a user's browser."""
    return RefusedError(
        403,
        "other_site",
        what=NOT_ACCEPTED,
        why="A page of another site has sent this request through a browser.",
        remedy="Send it from a program, or from this server's own address.",
    )


def other_host() -> RefusedError:
    """Return the error for a request to a host name that is not this server's."""
    return RefusedError(
        403,
        "other_host",
        what="Nothing was done.",
        why="This server does not go by the name in the Host header.",
        remedy="Use its own address; its operator sets the names by --server.allowedHosts.",
    )


def head_too_large(limit: int) -> RefusedError:
    """Return the error for a request whose head is too long."""
    return RefusedError(
        431,
        "head_too_large",
        what="The request was not read.",
        why=f"Its address and headers have more than {limit:,} bytes.",
        remedy="Send fewer or shorter headers, and fields in the body.",
        headers={"connection": "close"},
    )


def two_lengths() -> RefusedError:
    """Return the error for a request of two lengths, between which a proxy might choose otherwise (RFC 9112, 6.1)."""
    return RefusedError(
        400,
        "two_lengths",
        what="The request was not read.",
        why="It has both a Content-Length and a Transfer-Encoding.",
        remedy="Send only one of these headers.",
        headers={"connection": "close"},
    )


def other_charset() -> RefusedError:
    """Return the error for a body in another encoding than UTF-8."""
    return RefusedError(
        415,
        "other_charset",
        what="The request was not read.",
        why="Its content type names another charset than UTF-8, which is the only one that is read.",
        remedy="Send it as UTF-8, as curl -F does.",
        headers={"connection": "close"},
    )


def not_a_form() -> RefusedError:
    """Return the error for a body that is not a form."""
    return RefusedError(
        415,
        "not_a_form",
        what="The request was not read.",
        why="Its content type is not multipart/form-data.",
        remedy="Send the clip as the field `file` of a form, as curl -F does.",
    )


def unreadable_form(why: str, fields: Sequence[str]) -> RefusedError:
    """Return the error for a form that cannot be read or has unexpected fields."""
    remedy = (
        f"Send each of these fields once at most: {', '.join(fields)}; `file` and `captions` as files, the others as "
        "text."
    )
    return RefusedError(400, "unreadable_form", what="The form could not be used.", why=why, remedy=remedy)


def no_file() -> RefusedError:
    """Return the error for a form without a clip."""
    return RefusedError(
        400,
        "no_file",
        what="There is nothing to analyse.",
        why="The form holds no file in the field `file`.",
        remedy="Send one: curl -F file=@clip.mp4",
    )


def busy(why: str, *, retry_seconds: int) -> RefusedError:
    """Return the error for a request beyond the capacity."""
    return RefusedError(
        503,
        "busy",
        what=NOT_ACCEPTED,
        why=f"{why[0].upper()}{why[1:]}.",
        remedy=f"Send it again in {retry_seconds} seconds or later.",
        headers={"retry-after": str(retry_seconds)},
    )


def too_slow(grace_seconds: float, seconds: float) -> RefusedError:
    """Return the error for an upload that dawdles."""
    why = (
        f"The upload stood still or crawled for {grace_seconds:.0f} seconds, or took longer than {seconds:.0f} in all."
    )
    remedy = "Send a smaller clip, or use a faster connection."
    return RefusedError(408, "too_slow", what=NOT_ACCEPTED, why=why, remedy=remedy, headers={"connection": "close"})


def too_large(why: str) -> RefusedError:
    """Return the error for too many bytes."""
    return RefusedError(
        413,
        "too_large",
        what=NOT_ACCEPTED,
        why=why,
        remedy=(
            f"Send a file of at most {upload.MAX_MEGABYTES} MB, and as transcript only what is said in the clip: cut "
            "the clip, or compress it more."
        ),
        headers={"connection": "close"},
    )


def unknown_kind(error: upload.KindError) -> RefusedError:
    """Return the error for a kind of file that is not accepted."""
    remedy = "Convert it to MP4 and send that."
    return RefusedError(415, "unknown_kind", what=NOT_ACCEPTED, why=str(error), remedy=remedy)


def unknown_modalities(error: ValueError) -> RefusedError:
    """Return the error for unknown names of modalities."""
    return RefusedError(
        422,
        "unknown_modalities",
        what=NOT_ANALYSED,
        why=f"{error}.",
        remedy=f"Name some of {', '.join(MODALITIES)}, separated by commas, or leave the field out.",
    )


def unknown_checkpoint(name: str, known: Sequence[str]) -> RefusedError:
    """Return the error for a checkpoint that the server does not have."""
    return RefusedError(
        422,
        "unknown_checkpoint",
        what=NOT_ANALYSED,
        why=f"There is no checkpoint {name[:QUOTED_CHARACTERS]!r}.",
        remedy=f"Name one of {', '.join(known)}, or leave the field out.",
    )


def modality_absent(modality: str, reason: str) -> RefusedError:
    """Return the error for a clip that lacks a requested modality."""
    return RefusedError(
        422,
        "modality_absent",
        what="There is no prediction from the requested modalities.",
        why=f"It has no {modality}: {reason}.",
        remedy="Name other modalities, or leave the field out to use all that the clip has.",
    )


def not_analysed(error: PlainError) -> RefusedError:
    """Return the error for a clip, transcript or server that prevents an analysis, with the screen's message."""
    from extractors.workers.client import MediaError, TranscriptError  # imports decoders, loaded by now

    if isinstance(error.__cause__, TranscriptError):
        remedy = "Correct the field `transcript` or `captions`, or leave it out to have speech recognised."
        return RefusedError(422, "unusable_transcript", what=NOT_ANALYSED, why=str(error), remedy=remedy)
    if isinstance(error.__cause__, MediaError):
        remedy = f"Send a video or sound of at most {LIMITS.seconds:.0f} seconds and {upload.MAX_MEGABYTES} MB."
        return RefusedError(422, "unusable_clip", what=NOT_ANALYSED, why=str(error), remedy=remedy)
    remedy = "Inform the operator of this server."
    if isinstance(error, errors.StorageError):
        return RefusedError(507, "no_storage", what=NOT_ANALYSED, why=str(error), remedy=remedy)
    return RefusedError(503, "not_ready", what=NOT_ANALYSED, why=str(error), remedy=remedy)


def not_read(error: PlainError) -> RefusedError:
    """Return the error for a transcript or captions that cannot be read, before the clip is looked at."""
    remedy = "Send captions as SRT or WebVTT in UTF-8, or the words alone as `transcript`, or neither."
    return RefusedError(422, "unusable_transcript", what=NOT_ANALYSED, why=str(error), remedy=remedy)


def no_memory() -> RefusedError:
    """Return the error for a server that is out of memory."""
    why, remedy = "The server has no memory left for this clip.", "Try again later, or with a smaller clip."
    return RefusedError(503, "no_memory", what=NOT_ANALYSED, why=why, remedy=remedy)


def unforeseen(error: Exception) -> RefusedError:
    """Return the error for an unforeseen exception, whose details are logged under an id."""
    with spoken_in(SOURCE):
        why = errors.sentence(error)
    return RefusedError(500, "unforeseen", what=NOT_ANALYSED, why=why, remedy="Try again later.")
