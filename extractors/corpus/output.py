"""The output folder of a corpus, from which a run can resume at any moment.

```
features/ID.safetensors   one per extracted clip (`extractors.storage.feature_files`)
failures/ID.json          one per clip that cannot be used
manifest.csv              all features there are, made at the end of each run
failures.jsonl            all failures there are, made at the end of each run
```

Every file is written whole under its final name, so that a run killed at any moment leaves nothing half done; these
files alone decide the state of a clip. One run per shard at a time; all shards may share a folder.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from extractors.assets.files import write_whole
from extractors.assets.hashes import file_sha256
from extractors.corpus.items import Item, Shard
from extractors.corpus.outcome import Failed, Task, stamp
from extractors.language.text_encoder import ENCODER
from extractors.media.probe import Limits
from extractors.schema import MODALITY_NAMES, FeatureSet
from extractors.storage.config import ExtractionConfig
from extractors.storage.feature_files import SUFFIX, FeatureFileError, load, read_origin

MANIFEST_COLUMNS = (
    *("id", "video", "features", "sha256", "seconds", "transcript"),
    *(f"{name}_{fact}" for name in MODALITY_NAMES for fact in ("steps", "valid", "absent")),
    "notes",
)

log = logging.getLogger(__name__)


class Output:
    """Features and failures of a corpus.

    Args:
        folder: Made if it is not there.
        limits: What each clip may cost.
        encoder: Of the text: a name or folder as `extractors.language.text_encoder.load` takes it.
        feature_set: Columns of audio and video.
    """

    def __init__(
        self, folder: Path, *, limits: Limits, encoder: str = ENCODER, feature_set: FeatureSet = "steps"
    ) -> None:
        self.folder = folder.absolute()
        self.limits, self.encoder, self.feature_set = limits, encoder, feature_set
        self.features = self.folder / "features"
        self.failures = self.folder / "failures"
        for made in (self.features, self.failures):
            made.mkdir(parents=True, exist_ok=True)

    def task(self, item: Item) -> Task:
        """Return what a worker needs to know of a clip."""
        return {
            "id": item.id,
            "video": item.video,
            "path": str(item.path),
            "transcript": item.transcript,
            "recipe": self._recipe(item),
            "limits": asdict(self.limits),
            "encoder": self.encoder,
            "feature_set": self.feature_set,
            "output": str(self._features(item.id)),
        }

    def state(self, item: Item) -> str:
        """Return "done", "failed" or "new"; a clip whose file, transcript or extraction has changed is new."""
        if self._is_done(item):
            return "done"
        try:
            failure = json.loads(self._failure(item.id).read_text())
            same = failure["recipe"] == self._recipe(item) and failure["stamp"] == stamp(item.path)
        except FileNotFoundError:
            return "new"
        except (ValueError, KeyError, TypeError) as error:
            log.warning("%s: its failure file is damaged (%s); it is tried again", item.video, error)
            return "new"
        return "failed" if same else "new"

    def forget_features(self, item: Item) -> None:
        """Remove features that no longer hold, so that features and a failure never stand side by side."""
        self._features(item.id).unlink(missing_ok=True)

    def forget_failure(self, item: Item) -> None:
        """Remove the failure of a clip that is done."""
        self._failure(item.id).unlink(missing_ok=True)

    def add_failure(self, item: Item, outcome: Failed) -> None:
        """Write why a clip cannot be used."""
        failure = {
            "id": item.id,
            "video": item.video,
            "kind": outcome["kind"],
            "reason": outcome["reason"],
            "detail": outcome["detail"],
            "recipe": self._recipe(item),
            "stamp": stamp(item.path),
        }
        write_whole(self._failure(item.id), json.dumps(failure, indent=1).encode())

    def clean(self, items: Sequence[Item], shard: Shard) -> None:
        """Remove what killed runs of this shard left half written; a run of the whole corpus removes all of it."""
        ours = {item.id for item in items}
        for folder in (self.folder, self.features, self.failures):
            for path in folder.glob(".*.tmp"):
                match = re.fullmatch(r"\.(?P<id>.+)\.(safetensors|json)\.[0-9a-f]+\.tmp", path.name)
                if shard.count == 1 or (match and match["id"] in ours):
                    path.unlink(missing_ok=True)

    def merge(self) -> None:
        """Write the manifest and the list of failures from all there is, of all shards.

        Shards may end at the same time: each looks again after it has written, so the last to write has seen all.
        """
        seen = None
        while (now := self._names()) != seen:
            done, not_done = now
            write_whole(self.folder / "manifest.csv", self._manifest(done))
            write_whole(self.folder / "failures.jsonl", self._failure_lines(not_done))
            seen = now

    def _names(self) -> tuple[list[str], list[str]]:
        """Return ids of features and of failures; features win where a run was killed between the two."""
        done = sorted(path.stem for path in self.features.glob(f"*{SUFFIX}") if path.name[0] != ".")
        not_done = {path.stem for path in self.failures.glob("*.json") if path.name[0] != "."}
        return done, sorted(not_done - set(done))

    def _manifest(self, done: Sequence[str]) -> bytes:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, MANIFEST_COLUMNS, lineterminator="\n")
        writer.writeheader()
        for name in done:
            path = self._features(name)
            try:
                origin = read_origin(path)
                named = {"features": path.relative_to(self.folder).as_posix()}
                facts = {key: origin[key] for key in ("id", "video", "sha256")}
                writer.writerow({**facts, **named, **origin["row"]})
            except FileNotFoundError:
                log.info("%s: went while the manifest was written", path.name)
            except (FeatureFileError, KeyError, ValueError) as error:
                log.warning("%s: is left out of the manifest: %s", path.name, error)
        return text.getvalue().encode(errors="surrogateescape")

    def _failure_lines(self, not_done: Sequence[str]) -> bytes:
        lines: list[str] = []
        for name in not_done:
            try:
                failure: dict[str, Any] = json.loads(self._failure(name).read_text())
                lines.append(json.dumps({key: failure[key] for key in ("id", "video", "kind", "reason", "detail")}))
            except FileNotFoundError:
                log.info("%s: went while the failures were written", name)
            except (ValueError, KeyError, TypeError) as error:
                log.warning("%s: its failure file is damaged: %s", name, error)
        return "".join(f"{line}\n" for line in lines).encode()

    def _is_done(self, item: Item) -> bool:
        path = self._features(item.id)
        try:
            load(path, schema=None)
            origin = read_origin(path)
            if origin["recipe"] != self._recipe(item):
                log.info("%s: transcript or extraction changed; it is made anew", item.video)
                return False
            now = stamp(item.path)
            # Features outlive their clip: without the file there is nothing to make them from again.
            if now is None or now == origin["stamp"] or file_sha256(item.path) == origin["sha256"]:
                return True
            log.info("%s: the file changed; it is made anew", item.video)
        except FileNotFoundError:
            return False
        except (FeatureFileError, KeyError) as error:
            log.warning("%s: its features are damaged and are made anew: %s", item.video, error)
        return False

    def _recipe(self, item: Item) -> str:
        config = ExtractionConfig(
            transcript=item.transcript, limits=self.limits, encoder=self.encoder, feature_set=self.feature_set
        )
        return config.sha256()

    def _features(self, name: str) -> Path:
        return self.features / f"{name}{SUFFIX}"

    def _failure(self, name: str) -> Path:
        return self.failures / f"{name}.json"
