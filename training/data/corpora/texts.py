"""Labelled sentences: CMU-MOSI's transcripts, the Stanford Sentiment Treebank, film and shop reviews."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from alignmamba.prediction import SCORE_LIMIT
from extractors.language import text_encoder, word_features
from extractors.language.text_encoder import ENCODER
from training.data.corpora.sequence import LabelledSequence, cache_file, cached

MOSI_LABELS = "text/mosi_label.csv"  # in the data folder
SST_SCALE = 1.25  # classes 0..4 around 2 -> -2.5..2.5
SNIPPET_SCALE = 0.75  # rater means -4..4 -> -3..3
BLOCK = 512  # sentences a call, so that progress shows


def sentences(data: Path) -> Iterator[tuple[str, float, str, str, str]]:
    """Text, score, corpus, split and id of every labelled sentence; only CMU-MOSI gives ids."""
    folder = data / "text"
    with (data / MOSI_LABELS).open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            yield row["text"], float(row["label"]), "mosi", row["mode"], row["id"]
    for part, split in (("train", "train"), ("dev", "valid"), ("test", "test")):
        for line in (folder / f"stsa.fine.{part}").read_text(encoding="utf-8").splitlines():
            yield line[2:], (int(line[0]) - 2) * SST_SCALE, "sst", split, ""
    for name in ("movie", "amazon"):
        raw = (folder / f"{name}ReviewSnippets_GroundTruth.txt").read_text(encoding="utf-8", errors="replace")
        for line in raw.splitlines():
            _, mean, sentence = line.split("\t", 2)
            yield sentence, float(np.clip(float(mean) * SNIPPET_SCALE, -SCORE_LIMIT, SCORE_LIMIT)), name, "train", ""


def read(data: Path, cache: Path, *, encoder: str = ENCODER) -> list[LabelledSequence]:
    """Every sentence as word states; sentences without a word are left out."""
    rows = [(sentence.split(), *rest) for sentence, *rest in sentences(data)]
    rows = [row for row in rows if row[0]]

    def encode() -> Iterator[np.ndarray]:
        model = text_encoder.load(encoder)
        for first in tqdm(range(0, len(rows), BLOCK), desc="sentences", unit="block"):
            yield from word_features.encode_words([words for words, *_ in rows[first : first + BLOCK]], model=model)

    file = cache_file(cache, "text", text_encoder.schema(encoder), (" ".join(words) for words, *_ in rows))
    return [
        LabelledSequence(values=values, score=score, label=str(score), corpus=corpus, split=split, id=id_)
        for values, (_, score, corpus, split, id_) in zip(cached(file, encode), rows, strict=True)
    ]
