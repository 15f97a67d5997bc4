"""Features by content, so that the same clip is not extracted twice."""

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
from extractors.storage.feature_files import FORMAT_VERSION, SUFFIX, StoreError, load, save
from extractors.storage.recipe import Recipe

# Libraries whose release may change a number.
LIBRARIES = (
    *("av", "numpy", "scipy", "opensmile", "mediapipe", "torch", "transformers", "tokenizers"),
    *("faster-whisper", "ctranslate2", "onnxruntime"),
)

log = logging.getLogger(__name__)


class Cache:
    """A folder of features.

    An entry is named by the hash of everything that decides its numbers: the clip's bytes, the recipe, this package's
    code, its libraries and the device that computes. Any difference, be it a comment in the code, is another entry:
    nobody has to remember anything. Nothing is ever removed; delete the folder to empty it.

    Args:
        folder: Made when first needed, for its owner's eyes only. Several processes may use it at once.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, file_sha256: str, recipe: Recipe) -> Path:
        """Return where the features of a clip of this hash are or would be."""
        decided = f"{FORMAT_VERSION} {file_sha256} {recipe.sha256()} {_maker()}"
        name = hashlib.sha256(decided.encode()).hexdigest()
        return self.folder / name[:2] / f"{name}{SUFFIX}"

    def fetch(self, file: Path, recipe: Recipe, make: Callable[[], ClipFeatures]) -> ClipFeatures:
        """Return a clip's features, made only if they are not there.

        What cannot be used or kept is told in the log: a damaged entry is made anew, and where the folder cannot be
        written or the clip has changed while it was read, nothing is kept.

        Args:
            file: The clip.
            recipe: How `make` makes the features.
            make: Extracts the clip.

        Returns:
            What `make` returns, now or when it was called first (of which only `step_seconds` tells).

        Raises:
            AssetError: If a model file of one's own cannot be read.
        """
        digest = _hash(file, recipe.limits.file_bytes)
        if digest is None:  # then `make` knows the right error
            return make()
        path = self.path(digest, recipe)
        try:
            return load(path, schema=recipe.schema())
        except FileNotFoundError:
            log.info("%s: not in the cache", file.name)
        except (StoreError, SchemaError, OSError) as error:
            log.warning("%s: its cache entry cannot be used and is made anew: %s", file.name, error)
        features = make()
        if _hash(file, recipe.limits.file_bytes) != digest:
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
