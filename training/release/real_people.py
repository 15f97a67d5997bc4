"""Predictions of a checkpoint for clips of real people; writes `realclips.json` beside it.

Run `python -m training.release.real_people --data ../shared/data --checkpoint checkpoints/alignmamba-open`.

Few clips and no labels of sentiment: what can be asked is whether neutral sentences stay neutral, and whether the sign
is right where a clip's name states an acted emotion. This is no test set, and nothing to tune on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from alignmamba.checkpoint import Checkpoint
from alignmamba.modality import Modality, letters
from alignmamba.predictor import Predictor
from extractors.schema import ClipFeatures
from extractors.storage.config import feature_set_of
from training.data import real_clips
from training.data.real_clips import EMOTION_SIGNS, RealClip
from training.release.inputs import measuring_parser, open_checkpoint
from training.reporting import result_files

NEUTRAL_SCORE = 0.7  # a score nearer to zero than this counts as neutral
AUDIO, VIDEO = frozenset({Modality.AUDIO}), frozenset({Modality.VIDEO})


def predictions(
    trained: Checkpoint, named: Sequence[tuple[str, ClipFeatures]], *, only: frozenset[Modality] | None = None
) -> list[dict[str, Any]]:
    """The prediction for each clip that has the modalities asked for.

    Args:
        trained: The checkpoint.
        named: Names and features.
        only: Modalities to use; None for all that a clip has.
    """
    found = []
    for name, features in named:
        predictor = Predictor(trained, device=next(trained.model.parameters()).device)
        predictor.set_clip(features)
        if not predictor.available or (only is not None and not only <= predictor.available):
            continue
        prediction = predictor.predict(only)
        low, high = prediction.interval or (None, None)
        found.append(
            {
                "clip": name,
                "modalities": letters(prediction.used),
                "score": prediction.score,
                "interval_low": low,
                "interval_high": high,
                **{f"probability_{kind}": value for kind, value in prediction.classes.items()},
            }
        )
    return found


def _row(
    question: str, per_clip: list[dict[str, Any]], right: Callable[[dict[str, Any]], bool] | None
) -> dict[str, Any]:
    return {
        "question": question,
        "n": len(per_clip),
        "right": None if right is None else sum(map(right, per_clip)),
        "per_clip": per_clip,
    }


def measure(trained: Checkpoint, real: Sequence[RealClip]) -> list[dict[str, Any]]:
    """A row per question: how many of its clips have the right answer, and each clip's scores.

    Args:
        trained: The checkpoint.
        real: As `real_clips.read` gives them.
    """
    grid = [each for each in real if each.kind == "grid"]
    recognised = [(each.name, each.features) for each in grid]
    typed = [(each.name, each.with_true_words(encoder=trained.encoder)) for each in grid]
    signs = {each.name: EMOTION_SIGNS[each.emotion] for each in real if each.emotion is not None}
    signed = [(each.name, each.features) for each in real if signs.get(each.name)]
    other = [(each.name, each.features) for each in real if each.kind != "grid" and not signs.get(each.name)]

    def neutral(row: dict[str, Any]) -> bool:
        return abs(row["score"]) < NEUTRAL_SCORE

    def sign(row: dict[str, Any]) -> bool:
        return row["score"] * signs[row["clip"]] > 0

    questions = [
        ("GRID sentences, all modalities, words recognised: neutral", recognised, None, neutral),
        ("GRID sentences, all modalities, true words: neutral", typed, None, neutral),
        ("GRID sentences, video alone: neutral", recognised, VIDEO, neutral),
        ("GRID sentences, audio alone: neutral", recognised, AUDIO, neutral),
        ("acted emotions, video alone: sign", signed, VIDEO, sign),
        ("acted emotions, all modalities that the clip has: sign", signed, None, sign),
        ("no label, video alone: scores only", other, VIDEO, None),
        ("no label, all modalities that the clip has: scores only", other, None, None),
    ]
    rows = [_row(question, predictions(trained, named, only=only), right) for question, named, only, right in questions]
    return [row for row in rows if row["n"]]


def main() -> None:
    """Measure from the command line."""
    arguments = measuring_parser(__doc__, data="clips/", clips=True).parse_args()
    trained = open_checkpoint(arguments.checkpoint)
    feature_set = feature_set_of(trained.schema)
    real = real_clips.read(arguments.data, arguments.clip_cache, encoder=trained.encoder, feature_set=feature_set)
    rows = measure(trained, list(real))
    written = result_files.write(
        "realclips",
        f"python -m training.release.real_people --data DATA --checkpoint {arguments.checkpoint}",
        rows,
        data_sha256=real_clips.hashes(arguments.data),
        folder=arguments.checkpoint,
    )
    print(json.dumps(rows, indent=1), written, sep="\n")


if __name__ == "__main__":
    main()
