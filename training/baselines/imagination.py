"""Peers that bear missing modalities, each in the plainest form that keeps its idea.

What follows the source and what is simpler is said in each docstring. All read the same batches through the same
encoders, with the configured width, dropout and heads; all are trained at once, with the task, on targets from the
complete batch. The weights of the losses beside the task are constants here, not tuned for any dataset.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from alignmamba.batch import Batch
from alignmamba.config import ModelConfig
from alignmamba.modality import ANCHOR_ORDER
from alignmamba.modeling.model import Output
from training.baselines.correlation import DeepCCA, DeepCCAAutoencoder
from training.baselines.sequence import Recurrent
from training.baselines.units import Imagining, Perceptron, feature_dims, mean_square, per_modality

TRANSLATION_WEIGHT = 0.1  # of MCTN's three translation errors
IMAGINATION_WEIGHT = 1.0  # of MMIN's two imagination errors, as in the source
COMPLETION_WEIGHT = 1.0  # of GCNet's completion error, as in the source; a mean over what is absent, there a sum
DIFFUSION_WEIGHT = 0.1  # of IMDer's two errors, as in the source; means over the width, there one is a sum

AUTOENCODERS = 3  # in MMIN's cascade, as in its released code
WINDOW = 2  # units that GCNet looks back and ahead
SIGMA = 25.0  # of IMDer's noise process, as in the source
DENOISING_STEPS = 10  # the source takes 100
EVALUATION_SEED = 1111  # of the noise that IMDer denoises at evaluation


class CyclicTranslation(Imagining):
    """One modality translated to the others; the prediction reads what is on the way (MCTN, Pham et al., AAAI 2019).

    As in the source: language is the source, encoded and decoded into a second modality, and the result back into
    language by the same encoder and decoder; a second encoder and decoder take the joint representation to the third
    modality, without a way back; the prediction reads the second joint representation. So only the source is ever read,
    here as there: voice and face teach, but do not speak, as long as there are words. Simpler or other here: a unit
    without language starts from the next modality that is there (the source trains a model for each case); encoder and
    decoder are bidirectional LSTMs over the units, without attention, in the space of the encoders; at level "clip"
    there is one unit, the mean of the clip.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config, joint=config.width)
        width = config.width
        self.kind = nn.Embedding(len(ANCHOR_ORDER), width)
        self.encoder, self.joint_encoder = Recurrent(width, width), Recurrent(width, width)
        self.decoder, self.joint_decoder = _Decoder(width), _Decoder(width)
        self.register_buffer("others", torch.tensor([[1, 2], [0, 2], [0, 1]]), persistent=False)

    def forward(self, batch: Batch, *, complete: Batch | None = None) -> Output:
        """Predict a batch of clips."""
        units = self.units(batch)
        there = units.here[:, :, self._ranked()]
        first = there.to(torch.uint8).argmax(-1)  # the first of ANCHOR_ORDER that is there
        mask = units.mask
        source = _pick(units.x[:, :, self._ranked()], first)
        joint = self.encoder(source + self.kind(first), mask)
        second = self.joint_encoder(joint, mask)
        auxiliary = None
        if complete is not None:
            target = self.target(complete)
            x, here = target.x[:, :, self._ranked()], target.here[:, :, self._ranked()]
            near, far = self.others[first].unbind(-1)
            read = there.any(-1)  # a unit of which nothing is left translates nothing
            translated = self.decoder(joint, mask)
            cycled = self.decoder(self.encoder(translated, mask), mask)
            auxiliary = TRANSLATION_WEIGHT * (
                mean_square(translated, _pick(x, near), read & _pick(here, near))
                + mean_square(cycled, _pick(x, first), read)
                + mean_square(self.joint_decoder(second, mask), _pick(x, far), read & _pick(here, far))
            )
        return self.answer(second, auxiliary)

    def _ranked(self) -> list[int]:
        return [self.config.order.index(modality) for modality in ANCHOR_ORDER]


class _Decoder(nn.Module):
    """A bidirectional LSTM with a linear output."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.lstm, self.out = Recurrent(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.out(self.lstm(x, mask))


def _pick(of_modalities: Tensor, index: Tensor) -> Tensor:
    """Entry `index` of each unit, along the third axis."""
    rows, columns = torch.meshgrid(*(torch.arange(n, device=index.device) for n in index.shape), indexing="ij")
    return of_modalities[rows, columns, index]


class CascadeAutoencoder(nn.Module):
    """Residual autoencoders, each correcting what those before it have made (Tran et al., CVPR 2017)."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(Perceptron(dim, width, width) for _ in range(AUTOENCODERS))
        self.decoders = nn.ModuleList(Perceptron(width, width, dim) for _ in range(AUTOENCODERS))
        self.out = Perceptron(dim, dim, dim)

    def forward(
        self, x: Float[Tensor, "batch time dim"]
    ) -> tuple[Float[Tensor, "batch time dim"], Float[Tensor, "batch time latent"]]:
        """Return what is imagined, and the latent vectors of all autoencoders."""
        latents = []
        for encoder, decoder in zip(self.encoders, self.decoders, strict=True):
            latents.append(encoder(x))
            x = x + decoder(latents[-1])
        return self.out(x), torch.cat(latents, -1)


class Imagination(Imagining):
    """What is absent is imagined from what is there, and that again from it (MMIN, Zhao et al., ACL 2021).

    As in the source: the vectors of all modalities, zeros where absent, go through a cascade of residual autoencoders
    that is to give the vectors of the absent ones; a second cascade is to lead back; the prediction reads the latent
    vectors of the first. Simpler or other here: the targets come from the same encoders, at that moment and without
    gradient, where the source first trains them on complete clips and keeps that copy; an autoencoder has two layers
    each way.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config, joint=AUTOENCODERS * config.width)
        dim = config.width * len(config.order)
        self.forwards, self.backwards = CascadeAutoencoder(dim, config.width), CascadeAutoencoder(dim, config.width)

    def forward(self, batch: Batch, *, complete: Batch | None = None) -> Output:
        """Predict a batch of clips."""
        units = self.units(batch)
        imagined, latent = self.forwards(units.x.flatten(2))
        auxiliary = None
        if complete is not None:
            target = self.target(complete)
            absent = target.x * ~units.here[..., None]
            back = self.backwards(imagined)[0]
            auxiliary = IMAGINATION_WEIGHT * (
                mean_square(imagined.view_as(absent), absent, target.here)
                + mean_square(back.view_as(absent), units.x.detach(), target.here)
            )
        return self.answer(latent, auxiliary)


class GraphCompletion(Imagining):
    """A graph over the units completes the features and predicts at once (GCNet, Lian et al., TPAMI 2023).

    As in the source: features of all modalities side by side, zeros where absent, through a bidirectional LSTM give
    one node per unit; a graph convolution with a relation each for past, present and future neighbours in a window,
    then one over all neighbours; a second LSTM over both; from its output the prediction and, linearly, the features,
    whose squared error counts where they are absent. Simpler or other here: one graph, since that of the speakers has
    no edges to tell apart where one person speaks; no attention after the second LSTM; one layer in each; features are
    projected to the common width first; adjacency is dense. At level "clip" a graph has one node, so what is left is
    the completion, of the mean features.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config, joint=config.width, layers=0)
        width = config.width
        self.context = Recurrent(width * len(config.order), width)
        self.relations = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(3))
        self.own, self.second_own = nn.Linear(width, width), nn.Linear(width, width)
        self.second = nn.Linear(width, width, bias=False)
        self.sequence, self.joint = Recurrent(2 * width, width), nn.Linear(width, width)
        self.rebuild = nn.ModuleDict({str(m): nn.Linear(width, dim) for m, dim in feature_dims(config).items()})

    def forward(self, batch: Batch, *, complete: Batch | None = None) -> Output:
        """Predict a batch of clips."""
        units = self.units(batch)
        mask = units.mask
        nodes = self.context(units.x.flatten(2), mask)
        joint = self.joint(self.sequence(torch.cat([nodes, self.convolve(nodes, mask)], -1), mask)).relu()
        auxiliary = None
        if complete is not None:
            true, had = self.features(complete), self.present(complete)
            lost = [
                mean_square(self.rebuild[modality](joint), true[modality], (had & ~units.here)[:, :, place])
                for place, modality in enumerate(self.config.order)
            ]
            auxiliary = COMPLETION_WEIGHT * torch.stack(lost).mean()
        return self.answer(joint, auxiliary)

    def convolve(
        self, nodes: Float[Tensor, "batch time width"], mask: Bool[Tensor, "batch time"]
    ) -> Float[Tensor, "batch time width"]:
        """Two graph convolutions: the mean over neighbours by relation, then their sum."""
        place = torch.arange(nodes.shape[1], device=nodes.device)
        ahead = place[None, :] - place[:, None]  # of the neighbour
        near = [(-WINDOW <= ahead) & (ahead < 0), ahead == 0, (ahead > 0) & (ahead <= WINDOW)]
        edges = [(relation & mask[:, None, :]).to(nodes.dtype) for relation in near]
        found = self.own(nodes)
        for edge, weight in zip(edges, self.relations, strict=True):
            found = found + weight(edge @ nodes / edge.sum(-1, keepdim=True).clamp(min=1))
        return self.second_own(found) + self.second(sum(edges) @ found)


class DiffusionRecovery(Imagining):
    """Absent vectors are drawn from noise by a score model that sees what is there (IMDer, Wang et al., NeurIPS 2023).

    As in the source: a noise process dx = sigma^t dw and a score network per modality, trained by denoising on the
    absent modalities and conditioned on those that are there; what is recovered is refined by another network, whose
    squared error counts; the prediction reads present and recovered modalities. Simpler or other here: the networks are
    perceptrons on one vector per unit instead of a U-Net over the sequence; few steps of the probability flow instead
    of a hundred random ones; at evaluation every unit starts from the same noise, so that a prediction depends neither
    on chance nor on the batch; the condition is not noised; prediction by the heads instead of crossmodal attention;
    the encoders are not trained beforehand on complete clips.
    """

    def __init__(self, config: ModelConfig) -> None:
        width, count = config.width, len(config.order)
        super().__init__(config, joint=width * count)
        self.scores = per_modality(Perceptron, width + (width + 1) * count + 1, 2 * width, width)
        self.refine = per_modality(Perceptron, width, 2 * width, width)
        generator = torch.Generator().manual_seed(EVALUATION_SEED)
        self.register_buffer("start", torch.randn(count, width, generator=generator))

    def forward(self, batch: Batch, *, complete: Batch | None = None) -> Output:
        """Predict a batch of clips."""
        units = self.units(batch)
        condition = torch.cat([units.x.flatten(2), units.here.to(units.x.dtype)], -1)
        whole, lost = [], []
        target = None if complete is None else self.target(complete)
        for place, modality in enumerate(self.config.order):
            here, x = units.here[:, :, place], units.x[:, :, place]
            recovered = self.refine[modality](self.recover(modality, condition))
            whole.append(torch.where(here[..., None], x, recovered))
            if target is not None:
                true, absent = target.x[:, :, place], target.here[:, :, place] & ~here
                lost.append(self.denoising_error(modality, true, condition, absent))
                lost.append(mean_square(recovered, true, absent))
        auxiliary = DIFFUSION_WEIGHT * torch.stack(lost).sum() if lost else None
        return self.answer(torch.cat(whole, -1), auxiliary)

    def noise(self, modality: str, x: Tensor, time: Tensor, condition: Tensor) -> Tensor:
        """The noise that the score network finds in x at a time: minus the score times its deviation."""
        scaled = x / (1 + _deviation(time) ** 2).sqrt()  # of about unit variance at all times
        return self.scores[modality](torch.cat([scaled, condition, time.expand(*x.shape[:2], 1)], -1))

    def denoising_error(self, modality: str, true: Tensor, condition: Tensor, chosen: Tensor) -> Tensor:
        """Denoising score matching at random times."""
        time = torch.rand_like(true[..., :1])
        noise = torch.randn_like(true)
        return mean_square(self.noise(modality, true + _deviation(time) * noise, time, condition), noise, chosen)

    @torch.no_grad()
    def recover(self, modality: str, condition: Tensor) -> Float[Tensor, "batch time width"]:
        """Follow the probability flow from pure noise to a vector, in Euler steps over the noise's deviation."""
        start = self.start[self.config.order.index(modality)].expand(*condition.shape[:2], -1)
        times = torch.linspace(1, 0, DENOISING_STEPS + 1, device=condition.device)
        x = _deviation(times[0]) * (torch.randn_like(start) if self.training else start)
        for now, later in pairwise(times):
            x = x - (_deviation(now) - _deviation(later)) * self.noise(modality, x, now, condition)
        return x


def _deviation(time: Tensor) -> Tensor:
    """Standard deviation of the noise at a time from 0 to 1."""
    return ((SIGMA ** (2 * time) - 1) / (2 * math.log(SIGMA))).sqrt()


IMAGINATION = {
    "dcca": DeepCCA,
    "dccae": DeepCCAAutoencoder,
    "mctn": CyclicTranslation,
    "mmin": Imagination,
    "gcnet": GraphCompletion,
    "imder": DiffusionRecovery,
}
