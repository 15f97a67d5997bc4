"""Real people whom a model never met, one out at a time; writes `unseen_people.json` beside the checkpoint.

Run `python -m training.release.unseen_people --data ../shared/data --checkpoint checkpoints/alignmamba-open`.

For each of the seven people of the real pairs a model with the checkpoint's settings is trained without that person, on
CMU-MOSI's sentences only and for few epochs, and measured on that person's clips by voice, by face and by both. The
people are reported together. Also: does content alone find the simultaneous moment? That is the share of audio steps
whose chosen video step lies within `NEAR_SECONDS`, the time term of the cost being off, against a uniform choice and
against random weights. A person whose figures are under `--runs` is not trained again.

`--readouts` measures the read-outs of faces alone, and the choice of what they read, into
results/composed/face_readouts.json: no weights of a checkpoint go in.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from alignmamba.batch import ModalitySteps
from alignmamba.calibration import Calibration
from alignmamba.checkpoint import Checkpoint
from alignmamba.config import ModelConfig
from alignmamba.evaluation.metrics import expected_calibration_error, sentiment_class
from alignmamba.modality import SUBSETS, Modality, letters
from alignmamba.modeling.model import AlignMamba
from extractors.vision import facial
from training.data.corpora.pairs import RealPair, pair_audio
from training.data.corpora.speech import NEGATIVE, VALENCE
from training.release import readouts
from training.release.alignment_quality import untrained, without_time
from training.release.compose import COPIES, Corpora
from training.release.evaluate import HAPPY, neutral, signs
from training.release.inputs import (
    Outputs,
    batch_for,
    corpora_of,
    label_hashes,
    measuring_parser,
    open_checkpoint,
    outputs,
    probabilities,
)
from training.release.train import FACE_EXAMPLES, FACE_STRENGTH, TRAIN, ComposeConfig, data_digest, train
from training.reporting import result_files
from training.run_state import digest
from training.trainer import TrainConfig

log = logging.getLogger(__name__)

SEED = 1111
EPOCHS = 3
NEAR_SECONDS = 0.2  # between an audio step and the video step that it is matched to
ROUNDING = 1e-3  # s; steps lie on a grid of 0.1 s, and two steps apart is near
MEASURED = tuple(subset for subset in SUBSETS if Modality.LANGUAGE not in subset)


def short(corpora: Corpora) -> Corpora:
    """The corpora with CMU-MOSI's sentences only, so that a person takes minutes."""
    return replace(corpora, texts=[sample for sample in corpora.texts if sample.corpus == "mosi"])


def without(corpora: Corpora, person: str) -> Corpora:
    """The corpora without a person of the real pairs."""
    return replace(corpora, pairs=[pair for pair in corpora.pairs if pair.person != person])


def clips_of(model: AlignMamba, corpora: Corpora, pairs: Sequence[RealPair]) -> list[dict[Modality, ModalitySteps]]:
    """Real pairs as clips with the model's own read-outs, not augmented."""
    rng = np.random.default_rng(0)  # nothing is drawn without augmentation
    composer = corpora.composer(disagreement=0.0, read=readouts.from_model(model))
    return [composer.pair_clip(pair, pair_audio(pair, whisper=corpora.whisper), rng).clip for pair in pairs]


def measure(model: AlignMamba, corpora: Corpora, pairs: Sequence[RealPair]) -> list[dict[str, Any]]:
    """Scores and class logits of clips by voice, face and both, and how the steps of each are matched.

    Args:
        model: Trained without the people shown.
        corpora: What it was trained on.
        pairs: Clips.
    """
    clips = clips_of(model, corpora, pairs)
    found = {letters(s): outputs(model, [{m: clip[m] for m in s} for clip in clips]) for s in MEASURED}
    whole = Checkpoint(model, {}, {})
    content, chance = without_time(whole).model, without_time(untrained(whole, SEED)).model
    return [
        {
            "clip": pair.name,
            "person": pair.person,
            "label": pair.label,
            "score": {name: float(each.scores[place]) for name, each in found.items()},
            "logits": {name: each.logits[place].tolist() for name, each in found.items()},
            "near": {
                "trained": matched(model, clip),
                "content alone": matched(content, clip),
                "untrained, content alone": matched(chance, clip),
                "chance": uniform(clip),
            },
            "steps": len(clip[Modality.AUDIO].mask),
        }
        for place, (pair, clip) in enumerate(zip(pairs, clips, strict=True))
    ]


@torch.inference_mode()
def matched(model: AlignMamba, clip: Mapping[Modality, ModalitySteps]) -> float:
    """Share of the audio steps whose chosen video step lies within `NEAR_SECONDS`; clips have no invalid step."""
    plan = model(batch_for(model, [clip]), with_mmd=False).plans[Modality.AUDIO].dense()[0]
    chosen = clip[Modality.VIDEO].seconds[plan.argmax(1).cpu()]
    return _near(clip[Modality.AUDIO].seconds - chosen)


def uniform(clip: Mapping[Modality, ModalitySteps]) -> float:
    """The same share of a uniform choice, in closed form."""
    return _near(clip[Modality.AUDIO].seconds[:, None] - clip[Modality.VIDEO].seconds)


def _near(apart: Float[Tensor, "..."]) -> float:
    return float((apart.abs() <= NEAR_SECONDS + ROUNDING).double().mean())


def leave_out(
    corpora: Corpora, person: str, config: ModelConfig, *, settings: TrainConfig, folder: Path
) -> list[dict[str, Any]]:
    """Train without a person and measure on their clips, or read what such a run has found.

    Args:
        corpora: With everybody.
        person: Number of the person.
        config: Of the model.
        settings: Of its training.
        folder: Where the figures of each person, and the state that a killed run goes on from, are kept.
    """
    composing = ComposeConfig(mosi_repeat=1)
    data = data_digest(corpora, composing)
    known = {"model": config.to_dict(), "settings": asdict(settings), "data": data}
    name = f"{person}-{digest(known)[:12]}"
    file = folder / f"{name}.json"
    if file.exists():
        log.info("person %s: reused from %s", person, file)
        return json.loads(file.read_text(encoding="utf-8"))["clips"]
    others = without(corpora, person)
    model, _, _ = train(others, config, settings, composing, folder=folder / f"{name}-state")
    clips = measure(model.requires_grad_(False), others, [pair for pair in corpora.pairs if pair.person == person])
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps({"known": known, "clips": clips}), encoding="utf-8")
    partial.replace(file)
    return clips


def rows(clips: Sequence[Mapping[str, Any]], *, calibration: Calibration | None = None) -> list[dict[str, Any]]:
    """Figures over all people together: a row per set of modalities, then one of the matching.

    Args:
        clips: Of `measure`, of every person.
        calibration: Of the shipped checkpoint, whose temperatures are tried on these models.
    """
    labels = np.array([clip["label"] for clip in clips])
    signed, happy, plain = np.isin(labels, [HAPPY, *NEGATIVE]), labels == HAPPY, labels == "neutral"
    people = np.array([clip["person"] for clip in clips])
    made = []
    for subset in MEASURED:
        name = letters(subset)
        scores = np.array([clip["score"][name] for clip in clips])
        found = Outputs(scores, np.array([clip["logits"][name] for clip in clips]))
        per_person = {str(one): signs(*_of(people == one, signed, scores, happy))["auc"] for one in np.unique(people)}
        made.append(
            {
                "modalities": name,
                "people": len(per_person),
                **signs(scores[signed], happy[signed]),
                "auc_per_person": per_person,
                **{f"neutral_{key}": value for key, value in neutral(scores[plain]).items()},
                **_reliability(found, clips, subset=subset, calibration=calibration),
            }
        )
    steps = np.array([clip["steps"] for clip in clips])
    near = {
        key: float(np.array([clip["near"][key] for clip in clips]) @ steps / steps.sum()) for key in clips[0]["near"]
    }
    above = sum(clip["near"]["content alone"] > clip["near"]["chance"] for clip in clips)
    matching = {
        "near_seconds": NEAR_SECONDS,
        "near_share": near,
        "clips_above_chance": above,
        "steps": int(steps.sum()),
    }
    return [*made, {"modalities": letters(frozenset(MEASURED[0])), "n": len(clips), **matching}]


def _of(
    mine: np.ndarray, signed: np.ndarray, scores: Float[np.ndarray, " n"], happy: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    return scores[mine & signed], happy[mine & signed]


def _reliability(
    found: Outputs, clips: Sequence[Mapping[str, Any]], *, subset: frozenset[Modality], calibration: Calibration | None
) -> dict[str, float]:
    """Calibration error of the classes on real people; `ece` with the shipped temperature."""
    classes = np.array([sentiment_class(VALENCE[clip["label"]]) for clip in clips])
    figures = {"ece_before": expected_calibration_error(probabilities(found.logits), classes)}
    if calibration is not None:
        after = probabilities(found.logits, temperature=calibration[subset].temperature)
        figures["ece"] = expected_calibration_error(after, classes)
    return figures


def face_readouts(corpora: Corpora) -> list[dict[str, Any]]:
    """Read-outs of faces alone, per set of statistics that they read, by leaving out one real person at a time.

    Returns:
        A row per candidate: AUC on the six others of each person left out ("inner"), by which a set is chosen for that
        person, for how many it was chosen, and its figures on the people left out. Then a row for the choice as a
        whole, and one for the set that is chosen with nobody left out, as the shipped models are trained.
    """
    people = sorted({pair.person for pair in corpora.pairs})
    scores: dict[str, dict[str, float]] = {name: {} for name in readouts.FACE_KINDS}
    inner, chosen = [], {}
    for person in people:
        others = without(corpora, person).split("train")
        examples = others.face_examples(count=FACE_EXAMPLES)
        inner.append(readouts.inner_aucs(examples, others.real_faces(), strength=FACE_STRENGTH))
        chosen[person] = max(inner[-1], key=inner[-1].__getitem__)
        for name, kinds in readouts.FACE_KINDS.items():
            fitted = readouts.fit_all(examples, strength=FACE_STRENGTH, columns=facial.clip_columns(*kinds))
            for pair in corpora.pairs:
                if pair.person == person:
                    found = fitted(facial.clip_statistics(pair.video).astype(np.float64))
                    scores[name][pair.name] = float(found[0])
    made = [
        {
            "statistics": name,
            "inner_auc": float(np.mean([each[name] for each in inner])),
            "chosen_for": list(chosen.values()).count(name),
            **_signs_of(corpora.pairs, scores[name]),
        }
        for name in readouts.FACE_KINDS
    ]
    by_choice = {pair.name: scores[chosen[pair.person]][pair.name] for pair in corpora.pairs}
    everybody = corpora.split("train")
    examples = everybody.face_examples(count=FACE_EXAMPLES)
    ships = readouts.inner_aucs(examples, everybody.real_faces(), strength=FACE_STRENGTH)
    best = max(ships, key=ships.__getitem__)
    return [
        *made,
        {"statistics": "chosen without the person", **_signs_of(corpora.pairs, by_choice)},
        {"statistics": f"{best}, chosen with everybody", "inner_auc": ships[best]},
    ]


def _signs_of(pairs: Sequence[RealPair], scores: Mapping[str, float]) -> dict[str, Any]:
    signed = [pair for pair in pairs if pair.label in (HAPPY, *NEGATIVE)]
    values = np.array([scores[pair.name] for pair in signed])
    return signs(values, np.array([pair.label == HAPPY for pair in signed]))


def main() -> None:
    """Measure from the command line."""
    parser = measuring_parser(__doc__, features=True)
    parser.add_argument("--runs", type=Path, default=Path("runs/unseen"), help="where each person's figures are kept")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--without-mmd", action="store_true", help="train without global alignment, into its own file")
    which.add_argument(
        "--readouts", action="store_true", help="choose what the read-out of faces reads; trains nothing"
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    trained = open_checkpoint(arguments.checkpoint)
    config = trained.model.config
    if arguments.without_mmd:
        config = replace(config, align_weight=0.0)
    corpora = short(corpora_of(trained, arguments, copies=COPIES))
    if arguments.readouts:
        command = f"python -m training.release.unseen_people --data DATA --checkpoint {arguments.checkpoint} --readouts"
        found = face_readouts(corpora)
        written = result_files.write(
            "face_readouts",
            command,
            found,
            data_sha256=label_hashes(arguments.data),
            folder=result_files.ROOT / "training" / "results" / "composed",
        )
        print(json.dumps(found, indent=1), written, sep="\n")
        return
    settings = replace(TRAIN, seed=SEED, epochs=arguments.epochs)
    name = "unseen_people_without_mmd" if arguments.without_mmd else "unseen_people"
    clips = []
    for person in sorted({pair.person for pair in corpora.pairs}):
        folder = arguments.runs / arguments.checkpoint.name / name
        clips += leave_out(corpora, person, config, settings=settings, folder=folder)
        log.info("person %s: %d clips", person, len(clips))
    found = rows(clips, calibration=trained.calibration)
    written = result_files.write(
        name,
        f"python -m training.release.unseen_people --data DATA --checkpoint {arguments.checkpoint}"
        + (f" --epochs {arguments.epochs}" if arguments.epochs != EPOCHS else "")
        + (" --without-mmd" if arguments.without_mmd else ""),
        found,
        data_sha256=label_hashes(arguments.data),
        seeds=[SEED],
        folder=arguments.checkpoint,
    )
    print(json.dumps(found, indent=1), written, sep="\n")


if __name__ == "__main__":
    main()
