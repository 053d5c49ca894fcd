"""The architectures of the built-in candidates: a few thousand to a few hundred thousand weights each.

Imports torch; reach it from inside a function.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn


def network(architecture: str, width: int, side: int, classes: int) -> nn.Module:
    """(n, 3, side, side) float32 in [-1, 1] -> (n, classes) logits. Raises KeyError for an unknown architecture."""
    if architecture == "linear":
        return nn.Sequential(nn.Flatten(), nn.Linear(3 * side * side, classes))
    if architecture == "mlp":
        hidden = (nn.Linear(3 * side * side, width), nn.ReLU(), nn.Dropout(0.2))
        return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(width, classes))
    if architecture == "patches":
        return Patches(width, side, classes)
    block = {"conv": convolved, "residual": Residual}[architecture]
    widths = [3, width, 2 * width, 4 * width] if side <= 32 else [3, width, width, 2 * width, 4 * width]
    blocks = [block(before, after) for before, after in pairwise(widths)]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], classes))


def convolved(before: int, after: int) -> nn.Module:
    """One 3 x 3 convolution that halves the sides."""
    return nn.Sequential(nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU())


class Residual(nn.Module):
    """Two 3 x 3 convolutions beside a 1 x 1; halves the sides."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        second = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.main = nn.Sequential(convolved(before, after), second, nn.BatchNorm2d(after))
        self.beside = nn.Conv2d(before, after, 1, stride=2, bias=False)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """(n, before, h, w) -> (n, after, h / 2, w / 2)."""
        mixed: torch.Tensor = torch.relu(self.main(batch) + self.beside(batch))
        return mixed


class Patches(nn.Module):
    """A transformer of two layers over 8 x 8 patches with learnt places."""

    def __init__(self, width: int, side: int, classes: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, side // 8, side // 8)
        self.places = nn.Parameter(torch.zeros(1, 64, width))
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, dropout=0.1, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.out = nn.Linear(width, classes)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """(n, 3, side, side) -> (n, classes)."""
        seen = self.patches(batch).flatten(2).transpose(1, 2) + self.places
        logits: torch.Tensor = self.out(self.layers(seen).mean(dim=1))
        return logits
