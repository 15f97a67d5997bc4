"""CAM++ (Wang et al. 2023): a network that makes an embedding of a voice; names are those of 3D-Speaker's weights.

A small 2-D front end reads the spectrogram, densely connected time-delay layers follow it, each masked by what it hears
around it (context-aware masking), and mean and deviation over time become one vector.
"""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from extractors.language.speakers.mel import MELS

DIM = 192  # of an embedding
PLANES = 32  # channels of the front end
GROWTH = 32  # channels that a dense layer adds
BOTTLENECK = 128
BLOCKS = ((12, 1), (24, 2), (16, 2))  # (dense layers, dilation)
CONTEXT_STEPS = 100  # whose mean is the context of a mask


class _Residual(nn.Module):
    """Two convolutions and a shortcut; the stride is over frequency alone."""

    def __init__(self, *, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(PLANES, PLANES, 3, (stride, 1), 1, bias=False)
        self.bn1 = nn.BatchNorm2d(PLANES)
        self.conv2 = nn.Conv2d(PLANES, PLANES, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(PLANES)
        strided = [nn.Conv2d(PLANES, PLANES, 1, (stride, 1), bias=False), nn.BatchNorm2d(PLANES)]
        self.shortcut = nn.Sequential(*(strided if stride > 1 else []))

    def forward(self, x: Float[Tensor, "batch planes mels steps"]) -> Float[Tensor, "batch planes fewer steps"]:
        inner = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(inner)) + self.shortcut(x))


class _FrontEnd(nn.Module):
    """Convolutions over frequency and time."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, PLANES, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(PLANES)
        self.layer1 = nn.Sequential(_Residual(stride=2), _Residual(stride=1))
        self.layer2 = nn.Sequential(_Residual(stride=2), _Residual(stride=1))
        self.conv2 = nn.Conv2d(PLANES, PLANES, 3, (2, 1), 1, bias=False)
        self.bn2 = nn.BatchNorm2d(PLANES)

    def forward(self, mel: Float[Tensor, "batch steps mels"]) -> Float[Tensor, "batch channels steps"]:
        x = functional.relu(self.bn1(self.conv1(rearrange(mel, "b t m -> b 1 m t"))))
        x = functional.relu(self.bn2(self.conv2(self.layer2(self.layer1(x)))))
        return rearrange(x, "b c m t -> b (c m) t")


class _Normed(nn.Module):
    """Batch normalisation, and a ReLU where it is not the last."""

    def __init__(self, channels: int, *, last: bool = False) -> None:
        super().__init__()
        self.batchnorm = nn.BatchNorm1d(channels, affine=not last)
        self.last = last

    def forward(self, x: Float[Tensor, "batch channels steps"]) -> Float[Tensor, "batch channels steps"]:
        normed: Tensor = self.batchnorm(x)
        return normed if self.last else functional.relu(normed)


class _Masked(nn.Module):
    """A time-delay layer whose output is masked by the mean around each step and of the whole."""

    def __init__(self, *, dilation: int) -> None:
        super().__init__()
        self.linear_local = nn.Conv1d(BOTTLENECK, GROWTH, 3, padding=dilation, dilation=dilation, bias=False)
        self.linear1 = nn.Conv1d(BOTTLENECK, BOTTLENECK // 2, 1)
        self.linear2 = nn.Conv1d(BOTTLENECK // 2, GROWTH, 1)

    def forward(self, x: Float[Tensor, "batch bottleneck steps"]) -> Float[Tensor, "batch growth steps"]:
        around = functional.avg_pool1d(x, CONTEXT_STEPS, CONTEXT_STEPS, ceil_mode=True)
        around = around.repeat_interleave(CONTEXT_STEPS, dim=-1)[..., : x.shape[-1]]
        context = functional.relu(self.linear1(x.mean(-1, keepdim=True) + around))
        masked: Tensor = self.linear_local(x) * torch.sigmoid(self.linear2(context))
        return masked


class _Dense(nn.Module):
    """A layer that adds its channels to those it reads."""

    def __init__(self, channels: int, *, dilation: int) -> None:
        super().__init__()
        self.nonlinear1 = _Normed(channels)
        self.linear1 = nn.Conv1d(channels, BOTTLENECK, 1, bias=False)
        self.nonlinear2 = _Normed(BOTTLENECK)
        self.cam_layer = _Masked(dilation=dilation)

    def forward(self, x: Float[Tensor, "batch channels steps"]) -> Float[Tensor, "batch more steps"]:
        return torch.cat([x, self.cam_layer(self.nonlinear2(self.linear1(self.nonlinear1(x))))], dim=1)


class _Linear(nn.Module):
    """A convolution and a normalisation, in either order; its parts have the names of the weights."""

    def __init__(self, conv: nn.Conv1d, norm: _Normed, *, norm_first: bool = False) -> None:
        super().__init__()
        self.linear, self.nonlinear, self.norm_first = conv, norm, norm_first

    def forward(self, x: Float[Tensor, "batch channels steps"]) -> Float[Tensor, "batch out fewer"]:
        made: Tensor = self.linear(self.nonlinear(x)) if self.norm_first else self.nonlinear(self.linear(x))
        return made


class VoiceNetwork(nn.Module):
    """The whole network."""

    def __init__(self) -> None:
        super().__init__()
        self.head = _FrontEnd()
        channels = BOTTLENECK
        first = nn.Conv1d(PLANES * MELS // 8, channels, 5, stride=2, padding=2, bias=False)
        layers: dict[str, nn.Module] = {"tdnn": _Linear(first, _Normed(channels))}
        for number, (depth, dilation) in enumerate(BLOCKS, start=1):
            block = nn.Sequential()
            for place in range(depth):
                block.add_module(f"tdnnd{place + 1}", _Dense(channels + GROWTH * place, dilation=dilation))
            channels += GROWTH * depth
            halved = nn.Conv1d(channels, channels // 2, 1, bias=False)
            layers[f"block{number}"] = block
            layers[f"transit{number}"] = _Linear(halved, _Normed(channels), norm_first=True)
            channels //= 2
        layers["out_nonlinear"] = _Normed(channels)
        last = nn.Conv1d(2 * channels, DIM, 1, bias=False)
        layers["dense"] = _Linear(last, _Normed(DIM, last=True))
        self.xvector = nn.ModuleDict(layers)

    def forward(self, mel: Float[Tensor, "batch steps mels"]) -> Float[Tensor, "batch dim"]:
        """Return the embedding of each spectrogram, whose bands have a mean of zero over time."""
        x = self.head(mel)
        for name, layer in self.xvector.items():
            if name == "dense":
                x = torch.cat([x.mean(-1), x.std(-1)], dim=-1)[..., None]
            x = layer(x)
        made: Tensor = x[..., 0]
        return made
