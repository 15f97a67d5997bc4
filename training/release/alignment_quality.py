"""Quality of the alignment maps on real clips; writes `maps.json` beside the checkpoint.

Run `python -m training.release.alignment_quality --data ../shared/data --checkpoint checkpoints/alignmamba-open`.

For every step of audio and video: which word did the plan choose, and was that word spoken within `NEAR_SECONDS` of the
step? Beside the model stand the same model without the time term of its cost (what content alone does), untrained
models of the same shape with the same standardisation, the nearest word in time, and chance in closed form.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from alignmamba.checkpoint import Checkpoint
from alignmamba.modality import Modality
from alignmamba.modeling.model import AlignMamba
from alignmamba.predictor import Predictor
from extractors.schema import ClipFeatures, ModalityFeatures
from extractors.storage.config import feature_set_of
from training.data import real_clips
from training.release.inputs import measuring_parser, open_checkpoint
from training.reporting import result_files

NEAR_SECONDS = 0.5  # between a step and the word's time
UNTRAINED_SEEDS = (1, 2, 3, 4, 5)
SOURCES = (Modality.AUDIO, Modality.VIDEO)
FIGURES = ("distinct_words", "entropy_bits", "near_share", "nearest_share")


def near(steps: ModalityFeatures, words: ModalityFeatures) -> Bool[np.ndarray, "steps words"]:
    """Whether each valid step's middle lies within `NEAR_SECONDS` of each valid word's time."""
    middle = ((steps.start + steps.end) / 2)[steps.valid][:, None]
    start, end = words.start[words.valid], words.end[words.valid]
    return np.maximum(np.maximum(start - middle, middle - end), 0) <= NEAR_SECONDS


def nearest(steps: ModalityFeatures, words: ModalityFeatures) -> Int[np.ndarray, " steps"]:
    """The word whose middle is nearest in time to each step's: a plan of time alone."""
    middles = [((part.start + part.end) / 2)[part.valid] for part in (steps, words)]
    return np.abs(middles[0][:, None] - middles[1]).argmin(1)


def figures(
    chosen: Int[np.ndarray, " steps"], close: Bool[np.ndarray, "steps words"], by_time: Int[np.ndarray, " steps"]
) -> dict[str, float]:
    """What a choice of words looks like.

    Args:
        chosen: Word of each step.
        close: As `near` gives it.
        by_time: As `nearest` gives it.

    Returns:
        distinct_words (how many are chosen at all), entropy_bits (of how the steps spread over the words), near_share
        (of steps whose word is close), nearest_share (of steps whose word is the nearest in time: content moved the
        others).
    """
    counts = np.bincount(chosen, minlength=close.shape[1])
    shares = counts[counts > 0] / counts.sum()
    return {
        "distinct_words": float((counts > 0).sum()),
        "entropy_bits": float(-(shares * np.log2(shares)).sum() + 0.0),
        "near_share": float(close[np.arange(len(chosen)), chosen].mean()),
        "nearest_share": float((chosen == by_time).mean()),
    }


def chance(close: Bool[np.ndarray, "steps words"]) -> dict[str, float]:
    """Expected figures of a uniform choice: distinct words and near share in closed form, of the entropy its bound."""
    steps, words = close.shape
    return {
        "distinct_words": words * (1 - (1 - 1 / words) ** steps),
        "entropy_bits": float(np.log2(words)),
        "near_share": float(close.mean()),
        "nearest_share": 1 / words,
    }


def without_time(trained: Checkpoint) -> Checkpoint:
    """The same weights with a cost of content alone."""
    model = AlignMamba(replace(trained.model.config, time_weight=0.0))
    model.load_state_dict(trained.model.state_dict())
    return _with_model(trained, model)


def untrained(trained: Checkpoint, seed: int) -> Checkpoint:
    """Random weights in the same shape; the standardisation of the features and the read-outs stay."""
    torch.manual_seed(seed)
    model = AlignMamba(trained.model.config)
    model.load_state_dict(dict(trained.model.named_buffers()), strict=False)
    return _with_model(trained, model)


def _with_model(trained: Checkpoint, model: AlignMamba) -> Checkpoint:
    """A checkpoint with another model, on the same device."""
    device = next(trained.model.parameters()).device
    return trained._replace(model=model.to(device).eval().requires_grad_(False))


def choices(trained: Checkpoint, features: ClipFeatures) -> dict[Modality, Int[np.ndarray, " steps"]]:
    """Which valid word each valid step of audio and video is matched to."""
    predictor = Predictor(trained, device=next(trained.model.parameters()).device)
    predictor.set_clip(features)
    words = features.language.valid
    found = {}
    for source, alignment in predictor.predict().alignments.items():
        plan = alignment.plan[features.modality(source).valid][:, words]
        found[Modality(source)] = plan.argmax(1)
    return found


def variants(trained: Checkpoint) -> dict[str, list[Checkpoint]]:
    """Models to compare; where several stand under a name, their figures are averaged."""
    random = [untrained(trained, seed) for seed in UNTRAINED_SEEDS]
    return {
        "trained": [trained],
        "trained, content alone": [without_time(trained)],
        "untrained": random,
        "untrained, content alone": [without_time(each) for each in random],
    }


def measure(trained: Checkpoint, named: Iterable[tuple[str, ClipFeatures]]) -> list[dict[str, Any]]:
    """Rows per modality and variant: means over clips, and each clip's own figures.

    Args:
        trained: The checkpoint.
        named: Names and features of clips; those with fewer than two words, or neither audio nor video, are left out.
    """
    models = variants(trained)
    found: dict[tuple[Modality, str], list[dict[str, Any]]] = {}
    for name, features in named:
        if features.language.valid.sum() < 2:
            continue
        for source in SOURCES:
            if features.modality(source).absent is not None:
                continue
            steps = features.modality(source)
            close, by_time = near(steps, features.language), nearest(steps, features.language)
            measured: dict[str, Mapping[str, float]] = {
                variant: _mean([figures(choices(model, features)[source], close, by_time) for model in group])
                for variant, group in models.items()
            }
            measured["nearest in time"] = figures(by_time, close, by_time)
            measured["chance"] = chance(close)
            sizes = {"clip": name, "words": close.shape[1], "steps": close.shape[0]}
            for variant, values in measured.items():
                found.setdefault((source, variant), []).append({**sizes, **values})
    return [_row(source, variant, per_clip, found) for (source, variant), per_clip in found.items()]


def _mean(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([part[name] for part in parts])) for name in FIGURES}


def _column(per_clip: list[dict[str, Any]], name: str) -> Float[np.ndarray, " clips"]:
    return np.array([each[name] for each in per_clip], float)


def _row(
    source: Modality, variant: str, per_clip: list[dict[str, Any]], found: Mapping[tuple[Modality, str], list]
) -> dict[str, Any]:
    by_chance = found[source, "chance"]
    steps, words = _column(per_clip, "steps"), _column(per_clip, "words")
    pooled = {name: _column(per_clip, name) @ steps / steps.sum() for name in ("near_share", "nearest_share")}
    return {
        "modality": str(source),
        "variant": variant,
        "clips": len(per_clip),
        "steps": int(steps.sum()),
        "words": float(words.mean()),
        "distinct_words": float(_column(per_clip, "distinct_words").mean()),
        "distinct_share": float((_column(per_clip, "distinct_words") / words).mean()),
        "entropy_bits": float(_column(per_clip, "entropy_bits").mean()),
        "entropy_share": float((_column(per_clip, "entropy_bits") / np.log2(words)).mean()),
        **{name: float(value) for name, value in pooled.items()},
        "clips_nearer_than_chance": int(
            sum(mine["near_share"] > its["near_share"] for mine, its in zip(per_clip, by_chance, strict=True))
        ),
        "per_clip": per_clip,
    }


def main() -> None:
    """Measure from the command line."""
    arguments = measuring_parser(__doc__, data="clips/", clips=True).parse_args()
    trained = open_checkpoint(arguments.checkpoint)
    real = real_clips.read(
        arguments.data, arguments.clip_cache, encoder=trained.encoder, feature_set=feature_set_of(trained.schema)
    )
    rows = measure(trained, ((each.name, each.with_true_words(encoder=trained.encoder)) for each in real))
    written = result_files.write(
        "maps",
        f"python -m training.release.alignment_quality --data DATA --checkpoint {arguments.checkpoint}",
        rows,
        data_sha256=real_clips.hashes(arguments.data),
        seeds=UNTRAINED_SEEDS,
        folder=arguments.checkpoint,
    )
    short = [{key: value for key, value in row.items() if key != "per_clip"} for row in rows]
    print(json.dumps(short, indent=1), written, sep="\n")


if __name__ == "__main__":
    main()
