"""BERT-like encoders for words: the default one, or a folder of one's own."""

from __future__ import annotations

import functools
import json
import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from extractors.assets.device import default_device
from extractors.assets.hashes import Stamp, files_sha256, stamps
from extractors.assets.registry import ASSETS, AssetError, asset, asset_sha256
from extractors.messages import Message
from extractors.schema import ModalitySchema

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch.nn import Module

ENCODER = "minilm"
HIDDEN = 384  # columns of the default encoder's states
MAX_BYTES = {"config.json": 1_000_000, "tokenizer.json": 50_000_000, "model.safetensors": 4_000_000_000}  # of its files
MAX_LAYERS = 200  # of an encoder, several times what the largest have
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
        encoder: Gives `last_hidden_state`; on `device`, or on the CPU after the GPU ran out of memory.
        schema: Of the features it makes.
        device: Where it was loaded, see `extractors.assets.device`.
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
        return _load(source, () if source == ENCODER else stamps(Path(source), FILES))


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
        raise AssetError(Message("encoder_not_fetched", {"name": repr(hub_id), "error": str(error)})) from error


def schema(source: str = ENCODER) -> ModalitySchema:
    """Return the schema of an encoder's features, known from its files without loading it.

    Raises:
        AssetError: If the folder holds no encoder of `FAMILY`.
    """
    if source == ENCODER:
        return SCHEMA
    folder = Path(source)
    settings = _settings(folder)
    dim = settings.get("dim" if settings["model_type"] == "distilbert" else "hidden_size")
    if not isinstance(dim, int) or dim < 1:
        raise AssetError(Message("encoder_without_size", {"path": str(folder / "config.json")}))
    extractor = f"{folder.resolve().name} last hidden state, transformers {version('transformers').split('.')[0]}"
    sha256 = fingerprint(source)["model.safetensors"]
    return ModalitySchema(dim=dim, rate=None, extractor=extractor, sha256=sha256)


def fingerprint(source: str = ENCODER) -> dict[str, str]:
    """Return the SHA-256 of every file that decides what an encoder makes of words.

    Raises:
        AssetError: If one cannot be read.
    """
    if source == ENCODER:
        return {file.name: file.sha256 for file in ASSETS[ENCODER].files}
    try:
        return files_sha256(Path(source), FILES)
    except OSError as error:
        raise AssetError(Message("encoder_unreadable", {"source": source, "error": str(error)})) from error


@functools.lru_cache(maxsize=2)
def _load(source: str, changed: tuple[Stamp | None, ...]) -> TextModel:
    """Load an encoder; `changed` makes one whose files have changed another one."""
    folder = asset(source) if source == ENCODER else Path(source)
    settings = _settings(folder)
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoModel
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        _check_weights(folder, settings)
        encoder = AutoModel.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, trust_remote_code=False
        )
        _check_finite(encoder)
    except Exception as error:  # tokenizers raises bare Exceptions, safetensors and transformers a dozen others
        raise AssetError(Message("encoder_not_loaded", {"source": str(folder), "error": str(error)})) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    _put_spaces_before_words(tokenizer)
    around = tuple(tokenizer.encode("").ids)
    if len(around) != 2:
        raise AssetError(Message("tokenizer_of_other_kind", {"source": str(folder), "count": len(around)}))
    device = default_device(gpu=torch.cuda.is_available())
    padding = encoder.config.pad_token_id or 0
    # RoBERTa counts positions from the one after its padding token's.
    unused = padding + 1 if settings["model_type"] == "roberta" else 0
    return TextModel(
        tokenizer=tokenizer,
        encoder=encoder.eval().float().to(device),  # half precision on disk is slow on a CPU
        schema=schema(source),
        device=device,
        around=around,
        padding=padding,
        window=encoder.config.max_position_embeddings - unused - 2,
    )


def _settings(folder: Path) -> dict[str, object]:
    """Return the encoder's config once everything about the folder is as expected."""
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        values = {"source": repr(str(folder)), "file": missing[0], "files": ", ".join(FILES)}
        raise AssetError(Message("encoder_incomplete", values))
    for name, limit in MAX_BYTES.items():
        if (size := (folder / name).stat().st_size) > limit:
            error = f"{name} has {size:,} bytes, expected at most {limit:,}"
            raise AssetError(Message("encoder_unreadable", {"source": str(folder), "error": error}))
    try:
        settings = dict(json.loads((folder / "config.json").read_bytes()))
    except (ValueError, TypeError, RecursionError, OSError) as error:
        values = {"path": str(folder / "config.json"), "error": str(error)}
        raise AssetError(Message("encoder_config_unreadable", values)) from error
    if settings.get("model_type") not in FAMILY:
        values = {"source": str(folder), "type": repr(settings.get("model_type")), "expected": str(FAMILY)}
        raise AssetError(Message("encoder_of_other_type", values))
    return settings


def _check_weights(folder: Path, settings: Mapping[str, object]) -> None:
    """Compare the sizes in an encoder's config with the header of its weights, before memory is taken for either.

    Raises:
        ValueError: If the weights cannot be those of the config.
    """
    import torch
    from safetensors import safe_open
    from transformers import AutoConfig, AutoModel

    for name in ("num_hidden_layers", "n_layers"):
        if not 0 <= (layers := int(str(settings.get(name, 0)))) <= MAX_LAYERS:
            raise ValueError(f"{name}: {layers}, expected at most {MAX_LAYERS}")
    with safe_open(folder / "model.safetensors", framework="pt") as stream:
        held = sum(math.prod(stream.get_slice(name).get_shape()) for name in stream.keys())
    with torch.device("meta"):
        settings_of = AutoConfig.from_pretrained(folder, local_files_only=True)
        model = AutoModel.from_config(settings_of)  # type: ignore[no-untyped-call]
    # A pooler is not used, and many files lack it.
    needed = sum(weights.numel() for name, weights in model.named_parameters() if not name.startswith("pooler."))
    if needed > held:
        raise ValueError(f"config.json asks for {needed:,} weights, model.safetensors holds {held:,}")


def _check_finite(encoder: Module) -> None:
    broken = (name for name, weights in encoder.named_parameters() if not bool(weights.isfinite().all()))
    if (name := next(broken, None)) is not None:
        raise ValueError(f"{name} holds NaN or infinity")


def _put_spaces_before_words(tokenizer: Tokenizer) -> None:
    """Let a byte-level tokenizer (RoBERTa's), which separates words by the space before them, find one before each."""
    from tokenizers.pre_tokenizers import ByteLevel

    if isinstance(tokenizer.pre_tokenizer, ByteLevel):
        tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=True)
