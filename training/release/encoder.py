"""Fine-tune the text encoder for sentiment: `python -m training.release.encoder --data ../shared/data --out FOLDER`.

First on reviews (SST-5, movie and product snippets) and dialogues (MELD), then on the task's own CMU-MOSI sentences.
The epoch is chosen on MOSI's validation part; the weights of several seeds are averaged. What is written is a folder
that `extractors.language.text_encoder.load` takes.
"""

from __future__ import annotations

import copy
import csv
import json
import logging
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm
from transformers import get_linear_schedule_with_warmup

from alignmamba.evaluation.metrics import sentiment_metrics
from alignmamba.prediction import SCORE_LIMIT
from extractors.assets.registry import asset
from extractors.language import text_encoder
from extractors.language.text_encoder import ENCODER, TextModel
from training.data.corpora.texts import sentences
from training.release import inputs

log = logging.getLogger(__name__)

MELD_SCORES = {"negative": -1.2, "neutral": 0.0, "positive": 1.2}  # our place for its three classes
PUNCTUATION = re.compile(r"[^\w\s']|_")
MOSI = "mosi"
SEEDS = (1111, 1112, 1113)


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """Settings of a run; all are our choice.

    Attributes:
        seed: Of the head, the order and the augmentation.
        epochs: On reviews and dialogues, then on MOSI.
        batch_size: Sentences a step.
        learning_rate: Highest of each of the two stages; warms up, then falls to zero.
        head_rate: Times the learning rate, for the new linear head.
        weight_decay: Of AdamW.
        warmup: Share of a stage's steps.
        layer_decay: Learning rate of a layer as a share of the next one's.
        bare: Share of the sentences that lose their punctuation, as recognised speech and MOSI have none.
        word_drop: Share of words left out, as by a recogniser.
        average: Share of the old weights that a step of the weight average keeps.
    """

    seed: int = 1111
    epochs: tuple[int, int] = (2, 5)
    batch_size: int = 32
    learning_rate: tuple[float, float] = (1e-4, 5e-5)
    head_rate: float = 10.0
    weight_decay: float = 1e-2
    warmup: float = 0.1
    layer_decay: float = 0.9
    bare: float = 0.5
    word_drop: float = 0.03
    average: float = 0.99


@dataclass(frozen=True)
class Sentence:
    """A labelled sentence."""

    words: str
    score: float
    corpus: str
    split: str


def read(data: Path) -> list[Sentence]:
    """Every labelled sentence of the text corpora, MELD's dialogues included."""
    found = [Sentence(*row) for *row, _ in sentences(data)]
    for part, split in (("train", "train"), ("dev", "valid"), ("test", "test")):
        with (data / "text" / "meld" / f"{part}_sent_emo.csv").open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                found.append(Sentence(row["Utterance"], MELD_SCORES[row["Sentiment"]], "meld", split))
    return [sentence for sentence in found if sentence.words.strip()]


def augmented(words: str, config: EncoderConfig, rng: np.random.Generator) -> str:
    """The sentence as a speech recogniser might return it."""
    if rng.random() < config.bare:
        words = PUNCTUATION.sub(" ", words)
    kept = [word for word in words.split() if rng.random() >= config.word_drop]
    return " ".join(kept) or words


class Regressor(nn.Module):
    """The encoder, the mean over its tokens and a linear head."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(encoder.config.hidden_size, 1)

    def forward(self, tokens: Int[Tensor, "batch time"], mask: Bool[Tensor, "batch time"]) -> Float[Tensor, " batch"]:
        """Score sentences; [CLS] and [SEP] are left out of the mean, as the extractor leaves them out."""
        hidden = self.encoder(input_ids=tokens, attention_mask=mask.long()).last_hidden_state
        inside = mask.clone()
        inside[:, 0] = False
        inside[torch.arange(len(mask), device=mask.device), mask.sum(1) - 1] = False
        weight = inside[:, :, None].to(hidden.dtype)
        pooled = (hidden * weight).sum(1) / weight.sum(1).clamp(min=1)
        return self.head(self.dropout(pooled)).squeeze(-1).float()


def tokenised(texts: Sequence[str], model: TextModel) -> tuple[Int[Tensor, "batch time"], Bool[Tensor, "batch time"]]:
    """Token ids of sentences on the encoder's device, padded, with the mask of what is none."""
    begin, end = model.around
    ids = [
        [begin, *encoding.ids[: model.window], end]
        for encoding in model.tokenizer.encode_batch(
            [one.split() for one in texts], is_pretokenized=True, add_special_tokens=False
        )
    ]
    length = max(map(len, ids))
    tokens = torch.tensor([row + [model.padding] * (length - len(row)) for row in ids])
    lengths = torch.tensor([len(row) for row in ids])
    mask = torch.arange(length)[None] < lengths[:, None]
    return tokens.to(model.device), mask.to(model.device)


def _batches(chosen: Sequence[Sentence], size: int, rng: np.random.Generator) -> Iterator[list[Sentence]]:
    """Batches of similar length, in random order."""
    order = np.argsort([len(one.words) * rng.uniform(0.8, 1.25) for one in chosen])
    starts = np.arange(0, len(order), size)
    for first in rng.permutation(starts):
        yield [chosen[index] for index in order[first : first + size]]


def _optimiser(model: Regressor, rate: float, config: EncoderConfig) -> torch.optim.Optimizer:
    """AdamW with lower rates for lower layers; the word embeddings stay as they are."""
    depth = model.encoder.config.num_hidden_layers
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if "embeddings" in name:
            parameter.requires_grad_(False)
            continue
        layer = re.search(r"layer\.(\d+)\.", name)
        share = (
            config.head_rate
            if name.startswith("head")
            else config.layer_decay ** (depth - 1 - int(layer[1]) if layer else 0)
        )
        groups.setdefault(rate * share, []).append(parameter)
    return torch.optim.AdamW(
        [{"params": parameters, "lr": each} for each, parameters in groups.items()], weight_decay=config.weight_decay
    )


@torch.no_grad()
def scores(model: Regressor, tools: TextModel, texts: Sequence[str], *, batch_size: int = 64) -> np.ndarray:
    """Scores of many sentences, clipped to [-3, 3]."""
    model.eval()
    order = np.argsort([len(one) for one in texts])
    found = np.zeros(len(texts))
    for first in range(0, len(order), batch_size):
        chosen = order[first : first + batch_size]
        found[chosen] = model(*tokenised([texts[index] for index in chosen], tools)).cpu().numpy()
    return found.clip(-SCORE_LIMIT, SCORE_LIMIT)


def measure(model: Regressor, tools: TextModel, chosen: Sequence[Sentence]) -> dict[str, float]:
    """Sentiment metrics, on the words in lower case without punctuation or not, as they stand."""
    found = scores(model, tools, [one.words for one in chosen])
    return sentiment_metrics(found, np.array([one.score for one in chosen]))


def train(everything: Sequence[Sentence], config: EncoderConfig) -> tuple[Regressor, TextModel, dict]:
    """Fine-tune in two stages; returns the best epoch by validation, the tokenizer's side and a record."""
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    tools = text_encoder.load()
    model = Regressor(copy.deepcopy(tools.encoder)).to(tools.device)
    best, best_state, history = np.inf, {}, []
    valid = [one for one in everything if one.corpus == MOSI and one.split == "valid"]
    for stage, (epochs, rate) in enumerate(zip(config.epochs, config.learning_rate, strict=True)):
        chosen = [one for one in everything if one.split == "train" and (one.corpus == MOSI) == (stage == 1)]
        optimiser = _optimiser(model, rate, config)
        steps = epochs * -(-len(chosen) // config.batch_size)
        schedule = get_linear_schedule_with_warmup(optimiser, int(config.warmup * steps), steps)
        average = torch.optim.swa_utils.AveragedModel(
            model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(config.average)
        )
        for epoch in range(1, epochs + 1):
            mean_loss = _epoch(model, tools, chosen, optimiser, schedule, average, config, rng)
            for kind, candidate in (("last", model), ("average", average.module)):
                measured = measure(candidate, tools, valid)
                history.append({"stage": stage, "epoch": epoch, "weights": kind, "loss": mean_loss, **measured})
                log.info(
                    "%s", json.dumps({k: round(v, 3) if isinstance(v, float) else v for k, v in history[-1].items()})
                )
                if measured["mae"] < best:
                    best, best_state = measured["mae"], copy.deepcopy(candidate.state_dict())
    model.load_state_dict(best_state)
    return model, tools, {"config": asdict(config), "history": history}


def _epoch(model, tools, chosen, optimiser, schedule, average, config, rng) -> float:
    model.train()
    total, batches = 0.0, list(_batches(chosen, config.batch_size, rng))
    for batch in tqdm(batches, desc="fine-tune", unit="batch", leave=False, disable=None):
        tokens, mask = tokenised([augmented(one.words, config, rng) for one in batch], tools)
        target = torch.tensor([one.score for one in batch], device=tokens.device)
        with torch.autocast(tokens.device.type, torch.bfloat16):
            value = F.l1_loss(model(tokens, mask), target)
        optimiser.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        average.update_parameters(model)
        total += value.item()
    return total / len(batches)


def average(models: Sequence[Regressor]) -> dict[str, Tensor]:
    """Mean of the encoders' weights: runs from one starting point lie close enough for it to be better than each."""
    states = [model.encoder.state_dict() for model in models]
    return {
        name: torch.stack([state[name] for state in states]).mean(0) if value.is_floating_point() else value
        for name, value in states[0].items()
    }


def save(weights: dict[str, Tensor], encoder: nn.Module, folder: Path) -> None:
    """Write an encoder, in half precision, as a folder that `extractors.language.text_encoder.load` takes."""
    made = copy.deepcopy(encoder)
    made.load_state_dict(weights)
    made.half().save_pretrained(folder)
    shutil.copyfile(asset(ENCODER) / "tokenizer.json", folder / "tokenizer.json")


def main() -> None:
    """Fine-tune from the command line."""
    parser = inputs.parser(__doc__, data="text/")
    parser.add_argument("--out", type=Path, required=True, help="folder to write the encoder into")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS), help="runs whose weights are averaged")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    everything = read(arguments.data)
    test = [one for one in everything if one.corpus == MOSI and one.split == "test"]
    models, runs = [], []
    for seed in arguments.seeds:
        model, tools, record = train(everything, EncoderConfig(seed=seed))
        models.append(model)
        runs.append({**record, "test": measure(model, tools, test)})
    save(average(models), models[0].encoder, arguments.out)
    record = json.dumps({"seeds": arguments.seeds, "runs": runs}, indent=1)
    (arguments.out / "training.json").write_text(record + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
