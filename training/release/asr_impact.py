"""Loss of accuracy where words are recognised instead of known; writes `recognised.json` beside the checkpoint.

Run `python -m training.release.asr_impact --data ../shared/data --checkpoint checkpoints/alignmamba-open`.

CMU-MOSI's recordings are not here, so a drawn sample of its test sentences is spoken by a synthetic voice, which is
clearer than people are, and recognised as the app does it: the loss found is a lower bound. Read recordings with
transcripts (LibriVox) stand beside it. Needs training/demo_clips/requirements.txt and tests/requirements.txt.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
from jaxtyping import Float32
from scipy.io import wavfile
from scipy.signal import resample_poly
from tqdm import tqdm

from alignmamba.checkpoint import Checkpoint
from alignmamba.evaluation.metrics import sentiment_metrics
from alignmamba.modality import Modality
from extractors.language import asr, text_encoder, word_features
from extractors.language import transcript as transcripts
from training.data.corpora.texts import sentences
from training.demo_clips.make import VOICE_RATE, Speaker, Voice
from training.release.compose import as_clip
from training.release.inputs import label_hashes, measuring_parser, open_checkpoint, outputs
from training.reporting import result_files

SENTENCES = 150
SEED = 4444  # of the sample
TRANSCRIPTION = re.compile(r"<s> (?P<said>.*) </s> \(.*-(?P<name>\d+)\)")
METRICS = ("acc2_non0", "acc2_has0", "mae", "corr")


@dataclass(frozen=True, kw_only=True)
class Spoken:
    """A sentence, spoken and recognised.

    Attributes:
        said: True words.
        recognised: Recognised words; none where the recogniser found no speech.
        seconds: Length of the sound.
        score: True sentiment; None where nobody gave one.
    """

    said: tuple[str, ...]
    recognised: tuple[str, ...]
    seconds: float
    score: float | None = None


def sample(data: Path, *, count: int = SENTENCES, seed: int = SEED) -> list[tuple[str, float]]:
    """Test sentences of CMU-MOSI, drawn without repetition, with their scores.

    Raises:
        ValueError: If there are fewer.
    """
    rows = [(said, score) for said, score, corpus, split, *_ in sentences(data) if (corpus, split) == ("mosi", "test")]
    rows = [row for row in rows if transcripts.clean_words(row[0])]
    if count > len(rows):
        raise ValueError(f"count: {count}, expected at most {len(rows)} test sentences")
    return [rows[index] for index in np.random.default_rng(seed).permutation(len(rows))[:count]]


def plain(words: Sequence[str]) -> str:
    """Words as errors are counted: lower case, letters, digits and apostrophes only; numbers are not spelt out."""
    return " ".join(filter(None, (re.sub(r"[^\w']", "", word.casefold()) for word in words)))


def recognised_words(samples: Float32[np.ndarray, " samples"]) -> tuple[str, ...]:
    """Words of a 16 kHz mono recording by the app's recogniser."""
    return tuple(word.text for word in asr.recognise(samples).words)


def synthetic(drawn: Sequence[tuple[str, float]], cache: Path) -> list[Spoken]:
    """Speak and recognise sentences; results are cached, because they depend on no checkpoint."""
    cache.mkdir(parents=True, exist_ok=True)
    maker = json.dumps([version("hibari-tts"), version("faster-whisper"), asr.fingerprint()], sort_keys=True)
    speaker: Speaker | None = None
    found = []
    for said, score in tqdm(drawn, desc="spoken", unit="sentence"):
        key = hashlib.sha256(f"{maker}\0{said}".encode()).hexdigest()[:24]
        kept = cache / f"{key}.json"
        if not kept.exists():
            speaker = speaker or Speaker()
            sound = speaker.say((said.lower(),), Voice())  # capitals would be spelt
            recognised = recognised_words(resample_poly(sound, asr.SAMPLE_RATE, VOICE_RATE).astype(np.float32))
            draft = kept.with_suffix(".partial")
            draft.write_text(json.dumps({"heard": recognised, "seconds": len(sound) / VOICE_RATE}), encoding="utf-8")
            draft.replace(kept)
        cached = json.loads(kept.read_text(encoding="utf-8"))
        words = tuple(transcripts.clean_words(said))
        found.append(Spoken(said=words, recognised=tuple(cached["heard"]), seconds=cached["seconds"], score=score))
    return found


def read_aloud(data: Path) -> list[Spoken]:
    """LibriVox recordings with their transcripts."""
    folder = data / "speech" / "librivox"
    found = []
    for line in (folder / "transcription").read_text(encoding="utf-8").splitlines():
        if (match := TRANSCRIPTION.fullmatch(line.strip())) and (folder / f"{match['name']}.wav").exists():
            rate, raw = wavfile.read(folder / f"{match['name']}.wav")
            if rate != asr.SAMPLE_RATE or raw.dtype != np.int16 or raw.ndim != 1:
                raise ValueError(f"{match['name']}.wav: {rate} Hz, {raw.dtype}, expected 16 kHz mono int16")
            recognised = recognised_words(raw.astype(np.float32) / np.iinfo(np.int16).max)
            found.append(Spoken(said=tuple(match["said"].split()), recognised=recognised, seconds=len(raw) / rate))
    return found


def row(trained: Checkpoint, source: str, spoken: Sequence[Spoken]) -> dict[str, Any]:
    """Word errors, and the figures by true and by recognised words of the same sentences.

    Sentences without a recognised word are counted and left out of both: the app gives them no score by text.

    Raises:
        ValueError: If no word was recognised at all.
    """
    kept = [each for each in spoken if each.recognised]
    if not kept:
        raise ValueError(f"spoken: no word was recognised in {len(spoken)} recordings, expected some")
    by_true, by_recognised = (
        _scores(trained, [getattr(each, name) for each in kept]) for name in ("said", "recognised")
    )
    apart = np.abs(by_true - by_recognised)
    found = {
        "source": source,
        "n": len(kept),
        "nothing_heard": len(spoken) - len(kept),
        "seconds": float(sum(each.seconds for each in kept)),
        "word_error_rate": jiwer.wer([plain(each.said) for each in kept], [plain(each.recognised) for each in kept]),
        "score_difference_mean": float(apart.mean()),
        "score_difference_max": float(apart.max()),
        "sign_changed": int(np.sum((by_true > 0) != (by_recognised > 0))),
    }
    if all(each.score is not None for each in kept):
        truth = np.array([each.score for each in kept], float)
        for name, scores in (("true", by_true), ("recognised", by_recognised)):
            measured = sentiment_metrics(scores, truth)
            found |= {f"{metric}_{name}": measured[metric] for metric in METRICS}
    return found


def _scores(trained: Checkpoint, sentences: Sequence[Sequence[str]]) -> np.ndarray:
    """Scores by words alone, as the app has them: its encoder, its model."""
    values = word_features.encode_words(sentences, model=text_encoder.load(trained.encoder))
    return outputs(trained.model, [as_clip({Modality.LANGUAGE: each[each.any(1)]}) for each in values]).scores


def main() -> None:
    """Measure from the command line."""
    parser = measuring_parser(__doc__, data="text/ and speech/")
    parser.add_argument("--heard", type=Path, default=Path("runs/heard"), help="where recognised sentences are kept")
    parser.add_argument("--sentences", type=int, default=SENTENCES, help="how many test sentences are drawn")
    arguments = parser.parse_args()
    trained = open_checkpoint(arguments.checkpoint)
    drawn = sample(arguments.data, count=arguments.sentences)
    rows = [
        row(trained, f"mosi-test, synthetic voice (seed {SEED})", synthetic(drawn, arguments.heard)),
        row(trained, "librivox, read aloud", read_aloud(arguments.data)),
    ]
    written = result_files.write(
        "recognised",
        f"python -m training.release.asr_impact --data DATA --checkpoint {arguments.checkpoint}"
        + (f" --sentences {arguments.sentences}" if arguments.sentences != SENTENCES else ""),
        rows,
        data_sha256=label_hashes(arguments.data),
        seeds=[SEED],
        folder=arguments.checkpoint,
    )
    print(json.dumps(rows, indent=1), written, sep="\n")


if __name__ == "__main__":
    main()
