"""Text features: a BERT-like encoder's last hidden states, averaged per word."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock, Thread
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float32

from extractors.language import sentences
from extractors.language.text_encoder import ENCODER, TextModel, load, schema
from extractors.messages import Message
from extractors.schema import ModalityFeatures, Word

if TYPE_CHECKING:
    from tokenizers import Encoding

log = logging.getLogger(__name__)

WINDOW = 510  # tokens that fit between the default encoder's [CLS] and [SEP]
MARGIN = 128  # most tokens of context that a window gives to the ones it keeps, on each side
BATCH_TOKENS = 4096  # with padding

_lock = Lock()


def from_words(words: Sequence[Word], *, encoder: str = ENCODER) -> ModalityFeatures:
    """Encode a transcript.

    Args:
        words: In time order.
        encoder: As in `load`.

    Returns:
        One step per word; a word that the tokenizer drops entirely is invalid. Where there are several sentences (see
        `sentences.split`), each is also encoded on its own, as `apart`.

    Raises:
        AssetError: If the model files cannot be had.
    """
    if not words:
        return ModalityFeatures.missing(Message("no_speech"), schema(encoder).dim)
    model, parts = load(encoder), sentences.split(words)
    texts = [word.text for word in words]
    alone = [texts[part.first : part.last + 1] for part in parts] if len(parts) > 1 else []
    with _one_thread():
        values = encode_words([texts], model=model)[0]
        apart = np.concatenate(encode_words(alone, model=model)) if alone else None
    return _features(values, words, apart)


def reread(
    words: Sequence[Word], kept: Sequence[Bool[np.ndarray, " words"]], *, encoder: str = ENCODER
) -> Iterator[ModalityFeatures]:
    """Encode a transcript again without some of its words, so that they leave no trace in the others' states.

    Args:
        words: In time order.
        kept: Which words are left, once per result.
        encoder: As in `text_encoder.load`.

    Returns:
        Per mask of `kept` one step per word that is left.

    Raises:
        AssetError: If the model files cannot be had.
    """
    for mask in kept:
        yield from_words([word for word, there in zip(words, mask, strict=True) if there], encoder=encoder)


def encode_words(
    texts: Sequence[Sequence[str]], *, model: TextModel | None = None
) -> list[Float32[np.ndarray, "words dim"]]:
    """Encode sentences of words: hidden states, averaged over each word's sub-words.

    Sentences are sorted by length and run in padded batches; long ones go through overlapping windows.

    Args:
        texts: Words of each sentence; letter case is the tokenizer's business.
        model: None for the default one.

    Returns:
        One array per sentence, in order; zeros for a word without any token.

    Raises:
        AssetError: If the model files cannot be had.
    """
    encodings, states = _encoded(texts, model or load())
    return [
        _word_means(state, encoding.word_ids, len(words))
        for state, encoding, words in zip(states, encodings, texts, strict=True)
    ]


def _encoded(
    texts: Sequence[Sequence[str]], model: TextModel
) -> tuple[list[Encoding], list[Float32[np.ndarray, "tokens dim"]]]:
    """Return each sentence's tokens and their states."""
    encodings = model.tokenizer.encode_batch(list(map(list, texts)), is_pretokenized=True, add_special_tokens=False)
    windows = [
        (index, *span) for index, encoding in enumerate(encodings) for span in _windows(len(encoding.ids), model.window)
    ]
    states = [np.zeros((len(encoding.ids), model.schema.dim), np.float32) for encoding in encodings]
    for batch in _batches(windows):
        hidden = _hidden([encodings[index].ids[first:last] for index, first, last, _, _ in batch], model)
        for row, (index, first, _, keep, until) in zip(hidden, batch, strict=True):
            states[index][keep:until] = row[keep - first : until - first]
    return encodings, states


def _features(
    values: Float32[np.ndarray, "steps dim"], steps: Sequence[Word], apart: Float32[np.ndarray, "steps dim"] | None
) -> ModalityFeatures:
    valid: Bool[np.ndarray, " steps"] = np.asarray(values.any(axis=1))
    return ModalityFeatures(
        values=values,
        start=np.array([step.start for step in steps], float),
        end=np.array([step.end for step in steps], float),
        valid=valid,
        absent=None if valid.any() else Message("no_speech"),
        apart=apart,
    )


def _windows(tokens: int, window: int = WINDOW) -> Iterator[tuple[int, int, int, int]]:
    """Yield (first, last, keep from, keep until) so that every token is kept once, with context around it."""
    margin = min(MARGIN, window // 3)
    keep = 0
    while keep < tokens:
        first = max(0, keep - margin)
        last = min(tokens, first + window)
        until = tokens if last == tokens else last - margin
        yield first, last, keep, until
        keep = until


def _batches(windows: list[tuple[int, int, int, int, int]]) -> Iterator[list[tuple[int, int, int, int, int]]]:
    batch: list[tuple[int, int, int, int, int]] = []
    for window in sorted(windows, key=lambda window: window[2] - window[1]):
        length = window[2] - window[1] + 2  # the longest so far: lengths only rise
        if batch and length * (len(batch) + 1) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(window)
    if batch:
        yield batch


def _hidden(ids: list[list[int]], model: TextModel) -> list[Float32[np.ndarray, "tokens dim"]]:
    """Run one padded batch; the states of [CLS], [SEP] and padding are left out."""
    import torch

    begin, end = model.around
    length = max(map(len, ids)) + 2
    tokens = torch.full((len(ids), length), model.padding)
    mask = torch.zeros(len(ids), length, dtype=torch.long)
    for row, window in enumerate(ids):
        tokens[row, : len(window) + 2] = torch.tensor([begin, *window, end])
        mask[row, : len(window) + 2] = 1

    def states() -> np.ndarray:
        device = next(model.encoder.parameters()).device
        with torch.inference_mode():
            output = model.encoder(input_ids=tokens.to(device), attention_mask=mask.to(device))
        hidden: np.ndarray = output.last_hidden_state.cpu().numpy()
        return hidden

    try:
        hidden = states()
    except torch.OutOfMemoryError as error:
        log.warning("the text encoder goes on on the CPU, because the GPU is out of memory: %s", error)
        model.encoder.to("cpu")
        hidden = states()
    return [hidden[row, 1 : len(window) + 1] for row, window in enumerate(ids)]


def _word_means(
    states: Float32[np.ndarray, "tokens dim"], word_ids: Sequence[int | None], words: int
) -> Float32[np.ndarray, "words dim"]:
    owner = np.array(word_ids, int)  # None, for special tokens, does not occur: they were not added
    count = np.bincount(owner, minlength=words)
    means = np.zeros((words, states.shape[1]), np.float32)
    np.add.at(means, owner, states)
    return means / np.maximum(count, 1)[:, None].astype(np.float32)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Run torch on one thread: for one sentence far faster than two on a busy machine (19 against 370 ms).

    torch keeps a number for each thread of Python, and one that every new one begins with. Both are set together, so
    that another thread puts the second one back.
    """
    import torch

    with _lock:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        other = Thread(target=torch.set_num_threads, args=(before,))
        other.start()
        other.join()
    try:
        yield
    finally:
        torch.set_num_threads(before)
