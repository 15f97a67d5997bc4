"""Words: a BERT-like encoder's last hidden states, one vector per word (or per sub-word)."""

from __future__ import annotations

import functools
import hashlib
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32

from extractors.assets import AssetError, asset, asset_sha256
from extractors.schema import ModalityFeatures, ModalitySchema, Word

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer
    from torch.nn import Module

ENCODER = "minilm"
HIDDEN = 384  # columns of the default encoder's states
WINDOW = 510  # tokens that fit between the default encoder's [CLS] and [SEP]
MARGIN = 128  # most tokens of context that a window gives to the ones it keeps, on each side
BATCH_TOKENS = 4096  # with padding
FAMILY = ("bert", "distilbert", "electra", "roberta")  # `model_type` of the encoders that are understood
FILES = ("config.json", "tokenizer.json", "model.safetensors")  # what an encoder's folder holds

SCHEMA = ModalitySchema(
    dim=HIDDEN,
    rate=None,
    extractor=f"all-MiniLM-L6-v2 last hidden state, transformers {version('transformers').split('.')[0]}",
    sha256=asset_sha256("minilm"),
)


@dataclass(frozen=True, kw_only=True)
class TextModel:
    """A tokenizer and its encoder.

    Attributes:
        tokenizer: Without truncation and padding.
        encoder: Gives `last_hidden_state`; on `device`.
        schema: Of the features it makes.
        device: "cuda" where torch has a GPU, else "cpu".
        around: Token ids that begin and end an input ([CLS] and [SEP] in BERT).
        padding: Token id of padding.
        window: Tokens that fit between the two.
    """

    tokenizer: Tokenizer
    encoder: Module
    schema: ModalitySchema
    device: str
    around: tuple[int, int]
    padding: int
    window: int


_lock = threading.Lock()


def load(source: str = ENCODER) -> TextModel:
    """Return an encoder, loaded once per process from local files only, on a GPU where torch has one.

    Args:
        source: "minilm", or a folder with `FILES` of an encoder of `FAMILY`, as `fetch` or `save_pretrained` write it.

    Raises:
        AssetError: If the model files cannot be had or are of another kind.
    """
    with _lock:
        return _load(source)


def fetch(hub_id: str) -> Path:
    """Download an encoder, such as "google-bert/bert-base-uncased", from the Hugging Face hub.

    Args:
        hub_id: Owner and name.

    Returns:
        Its folder in the hub's own cache, for `load`.

    Raises:
        AssetError: If the hub cannot be reached or has no such encoder.
    """
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(hub_id, allow_patterns=list(FILES)))
    except (OSError, ValueError, RuntimeError) as error:  # the hub's errors are OSErrors or ValueErrors
        raise AssetError(
            f"The text encoder {hub_id!r} could not be fetched: {error}. Check its name and the connection."
        ) from error


def schema(source: str = ENCODER) -> ModalitySchema:
    """Return the schema of an encoder's features; the default one is known without loading it.

    Raises:
        AssetError: As `load`.
    """
    return SCHEMA if source == ENCODER else load(source).schema


@functools.lru_cache(maxsize=2)
def _load(source: str) -> TextModel:
    folder = asset(source) if source == ENCODER else Path(source)
    settings = _settings(folder)
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoModel
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        encoder = AutoModel.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, trust_remote_code=False
        )
    except Exception as error:  # tokenizers raises bare Exceptions, safetensors and transformers a dozen others
        raise AssetError(f"The text encoder in {folder} cannot be loaded: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    _put_spaces_before_words(tokenizer)
    around = tuple(tokenizer.encode("").ids)
    if len(around) != 2:
        raise AssetError(f"The tokenizer in {folder} puts {len(around)} tokens around a sentence, expected 2.")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    padding = encoder.config.pad_token_id or 0
    # RoBERTa counts positions from the one after its padding token's.
    unused = padding + 1 if settings["model_type"] == "roberta" else 0
    return TextModel(
        tokenizer=tokenizer,
        encoder=encoder.eval().to(device),
        schema=SCHEMA if source == ENCODER else _schema_of(folder, encoder.config.hidden_size),
        device=device,
        around=around,
        padding=padding,
        window=encoder.config.max_position_embeddings - unused - 2,
    )


def _settings(folder: Path) -> dict[str, object]:
    """Return the encoder's config once everything about the folder is as expected."""
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise AssetError(
            f"The text encoder {str(folder)!r} has no {missing[0]}. Name a folder with {', '.join(FILES)}, "
            "or fetch one from the hub first."
        )
    try:
        settings = dict(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise AssetError(f"{folder / 'config.json'} cannot be read: {error}") from error
    if settings.get("model_type") not in FAMILY:
        raise AssetError(
            f"The text encoder in {folder} is of type {settings.get('model_type')!r}, expected one of {FAMILY}."
        )
    return settings


def _schema_of(folder: Path, dim: int) -> ModalitySchema:
    with (folder / "model.safetensors").open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    extractor = f"{folder.resolve().name} last hidden state, transformers {version('transformers').split('.')[0]}"
    return ModalitySchema(dim=dim, rate=None, extractor=extractor, sha256=digest)


def _put_spaces_before_words(tokenizer: Tokenizer) -> None:
    """Let a byte-level tokenizer (RoBERTa's), which tells words by the space before them, see one before each."""
    from tokenizers.pre_tokenizers import ByteLevel

    if isinstance(tokenizer.pre_tokenizer, ByteLevel):
        tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=True)


def from_words(words: Sequence[Word], *, encoder: str = ENCODER) -> ModalityFeatures:
    """Encode a transcript.

    Args:
        words: In time order.
        encoder: As in `load`.

    Returns:
        One step per word; a word that the tokenizer drops entirely is invalid.

    Raises:
        AssetError: If the model files cannot be had.
    """
    if not words:
        return ModalityFeatures.missing("no speech", schema(encoder).dim)
    model = load(encoder)
    with _one_thread():
        values = encode_words([[word.text for word in words]], model=model)[0]
    return _features(values, words)


def from_tokens(words: Sequence[Word], *, encoder: str = ENCODER) -> tuple[ModalityFeatures, tuple[Word, ...]]:
    """Encode a transcript and keep its sub-words.

    Args:
        words: In time order.
        encoder: As in `load`.

    Returns:
        One step per token, and the tokens: the characters each stands for, with its share of its word's time (by
        characters).

    Raises:
        AssetError: If the model files cannot be had.
    """
    if not words:
        return ModalityFeatures.missing("no speech", schema(encoder).dim), ()
    model = load(encoder)
    with _one_thread():
        (encoding,), (values,) = _encoded([[word.text for word in words]], model)
    tokens = tuple(_token(words[index], span) for index, span in zip(encoding.word_ids, encoding.offsets, strict=True))
    return _features(values, tokens), tokens


def encode_words(
    sentences: Sequence[Sequence[str]], *, model: TextModel | None = None
) -> list[Float32[np.ndarray, "words dim"]]:
    """Encode sentences of words: hidden states, averaged over each word's sub-words.

    Sentences are sorted by length and run in padded batches; long ones go through overlapping windows.

    Args:
        sentences: Words of each sentence; letter case is the tokenizer's business.
        model: None for the default one.

    Returns:
        One array per sentence, in order; zeros for a word without any token.

    Raises:
        AssetError: If the model files cannot be had.
    """
    encodings, states = _encoded(sentences, model or load())
    return [
        _word_means(state, encoding.word_ids, len(words))
        for state, encoding, words in zip(states, encodings, sentences, strict=True)
    ]


def _encoded(
    sentences: Sequence[Sequence[str]], model: TextModel
) -> tuple[list[Encoding], list[Float32[np.ndarray, "tokens dim"]]]:
    """Return each sentence's tokens and their states."""
    encodings = model.tokenizer.encode_batch(list(map(list, sentences)), is_pretokenized=True, add_special_tokens=False)
    windows = [
        (index, *span) for index, encoding in enumerate(encodings) for span in _windows(len(encoding.ids), model.window)
    ]
    states = [np.zeros((len(encoding.ids), model.schema.dim), np.float32) for encoding in encodings]
    for batch in _batches(windows):
        hidden = _hidden([encodings[index].ids[first:last] for index, first, last, _, _ in batch], model)
        for row, (index, first, _, keep, until) in zip(hidden, batch, strict=True):
            states[index][keep:until] = row[keep - first : until - first]
    return encodings, states


def _features(values: Float32[np.ndarray, "steps dim"], steps: Sequence[Word]) -> ModalityFeatures:
    valid = values.any(axis=1)
    return ModalityFeatures(
        values=values,
        start=np.array([step.start for step in steps], float),
        end=np.array([step.end for step in steps], float),
        valid=valid,
        absent=None if valid.any() else "no speech",
    )


def _token(word: Word, span: tuple[int, int]) -> Word:
    """Return the part of a word that a token stands for, with its share of the word's time."""
    first, last = (min(edge, len(word.text)) for edge in span)
    begin, end = (word.start + (word.end - word.start) * edge / len(word.text) for edge in (first, last))
    return Word(text=word.text[first:last], start=begin, end=max(begin, end))


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
    with torch.inference_mode():
        output = model.encoder(input_ids=tokens.to(model.device), attention_mask=mask.to(model.device))
    hidden = output.last_hidden_state.cpu().numpy()
    return [hidden[row, 1 : len(window) + 1] for row, window in enumerate(ids)]


def _word_means(
    states: Float32[np.ndarray, "tokens dim"], word_ids: list[int], words: int
) -> Float32[np.ndarray, "words dim"]:
    owner = np.array(word_ids, int)
    count = np.bincount(owner, minlength=words)
    means = np.zeros((words, states.shape[1]), np.float32)
    np.add.at(means, owner, states)
    return means / np.maximum(count, 1)[:, None].astype(np.float32)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Run torch on one thread: for one sentence far faster than two on a busy machine (19 against 370 ms)."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
