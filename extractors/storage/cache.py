"""Cache of features by content, so that the same clip is not extracted twice."""

from __future__ import annotations

import functools
import hashlib
import json
import logging
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from extractors.assets.hashes import file_sha256
from extractors.language import asr
from extractors.schema import ClipFeatures, SchemaError
from extractors.storage.config import ExtractionConfig
from extractors.storage.feature_files import FORMAT_VERSION, SUFFIX, FeatureFileError, load, save

# Libraries whose release may change a number.
LIBRARIES = (
    *("av", "numpy", "scipy", "opensmile", "mediapipe", "torch", "transformers", "tokenizers"),
    *("faster-whisper", "ctranslate2", "onnxruntime"),
)

log = logging.getLogger(__name__)


class Cache:
    """A folder of features.

    An entry is named by the hash of everything that decides its numbers: the clip's bytes, the config, this package's
    code, its libraries and the device that computes. Any difference, be it a comment in the code, is another entry:
    nothing has to be invalidated by hand. Nothing is ever removed; delete the folder to empty it.

    Args:
        folder: Made when first needed, readable by its owner only. Several processes may use it at once.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, file_sha256: str, config: ExtractionConfig) -> Path:
        """Return where the features of a clip of this hash are or would be."""
        decided = f"{FORMAT_VERSION} {file_sha256} {config.sha256()} {_maker()}"
        name = hashlib.sha256(decided.encode()).hexdigest()
        return self.folder / name[:2] / f"{name}{SUFFIX}"

    def fetch(self, file: Path, config: ExtractionConfig, make: Callable[[], ClipFeatures]) -> ClipFeatures:
        """Return a clip's features, made only if they are not there.

        What cannot be used or kept is logged: a damaged entry is made anew, and where the folder cannot be
        written or the clip has changed while it was read, nothing is kept.

        Args:
            file: The clip.
            config: How `make` makes the features.
            make: Extracts the clip.

        Returns:
            What `make` returns, now or when it was called first (only `step_seconds` shows which).

        Raises:
            AssetError: If a model file of one's own cannot be read.
        """
        digest = _hash(file, config.limits.file_bytes)
        if digest is None:  # then `make` knows the right error
            return make()
        path = self.path(digest, config)
        try:
            return load(path, schema=config.schema())
        except FileNotFoundError:
            log.info("%s: not in the cache", file.name)
        except (FeatureFileError, SchemaError, OSError) as error:
            log.warning("%s: its cache entry cannot be used and is made anew: %s", file.name, error)
        features = make()
        if _hash(file, config.limits.file_bytes) != digest:
            log.warning("%s: changed while it was read; its features are not kept", file.name)
            return features
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.parent.mkdir(exist_ok=True)
            save(features, path)
        except OSError as error:
            log.warning("%s: its features could not be kept: %s", file.name, error)
        return features


def _hash(file: Path, most_bytes: int) -> str | None:
    """Hash a clip; None where it is no file, too large to be one, or cannot be read."""
    try:
        return file_sha256(file) if file.is_file() and file.stat().st_size <= most_bytes else None
    except OSError:
        return None


@functools.cache
def _maker() -> str:
    """Hash what computes the features."""
    package = Path(__file__).parents[1]
    code = {path.relative_to(package).as_posix(): file_sha256(path) for path in package.rglob("*.py")}
    libraries = {name: version(name) for name in LIBRARIES}
    plain = {"code": code, "libraries": libraries, "device": asr.devices()[0]}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
