"""The judge's network and how it is asked: pictures in, labels with confidences, skeletons and masks out."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from synthgen import poses, vocabulary

INPUT_PX = 128
HEAT_PX = 32  # of the maps for points and garment
POINTS = 18
LABELS: Mapping[str, tuple[str, ...]] = {  # what is read, and its values
    "kind": ("person", "flat", "xray", "smear"),
    "category": tuple(vocabulary.CATEGORIES),
    "colour": tuple(vocabulary.COLOURS),
    "pattern": vocabulary.PATTERNS,
    "skin_tone": tuple(vocabulary.SKIN_TONES),
    "body_type": tuple(vocabulary.BODY_TYPES),
    "age": tuple(vocabulary.AGE_BANDS),
    "hair_style": vocabulary.HAIR_STYLES,
    "hair_colour": tuple(vocabulary.HAIR_COLOURS),
    "place": tuple(vocabulary.PLACES),
    "view": tuple(vocabulary.VIEWS),
    "pose": tuple(poses.groups()),
    "finding": tuple(vocabulary.FINDINGS),
    "side": ("left", "right"),
    "severity": ("mild", "moderate", "severe"),
    "cell": vocabulary.WHITE_CELLS,
    "stain": vocabulary.STAINS,
}
WIDTHS = (24, 48, 96, 160)
WEIGHTS = "judge.safetensors"


@dataclass(frozen=True, eq=False)
class Reading:
    """What the judge reads from one picture."""

    labels: Mapping[str, str]  # every label of LABELS, whether or not it makes sense for this kind of picture
    confidence: Mapping[str, float]  # 0 to 1, of each label
    keypoints: Any  # (18, 3) float32: x, y in px of the picture, and the probability that the point is in it
    mask: Any  # (32, 32) float32 in [0, 1]: where the labelled garment is
    shares: Mapping[str, Any]  # label -> (values,) float32, sum 1, in the order of LABELS

    def among(self, key: str, values: Collection[str]) -> str:
        """The likeliest of some values of a label."""
        known = [(float(share), value) for value, share in zip(LABELS[key], self.shares[key], strict=True)]
        return max(pair for pair in known if pair[1] in values)[1]


def build() -> Any:
    """The network, 1.3 M parameters: (b, 3, 128, 128) in [-1, 1] -> dict of logits, points and maps."""
    import torch
    from torch import nn

    class Residual(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
            self.norm_1, self.norm_2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)

        def forward(self, x: Any) -> Any:
            inner = torch.relu(self.norm_1(self.first(x)))
            return torch.relu(x + self.norm_2(self.second(inner)))

    def down(narrow: int, wide: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(narrow, wide, 3, stride=2, padding=1), nn.BatchNorm2d(wide), nn.ReLU())

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            one, two, three, four = WIDTHS
            self.stem = down(3, one)
            self.fine = nn.Sequential(down(one, two), Residual(two))
            self.middle = nn.Sequential(down(two, three), Residual(three), Residual(three))
            self.coarse = nn.Sequential(down(three, four), Residual(four))
            self.lift = nn.Sequential(nn.Conv2d(three + four, three, 1), nn.BatchNorm2d(three), nn.ReLU())
            self.join = nn.Sequential(nn.Conv2d(three + two, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU())
            self.maps = nn.Conv2d(64, POINTS + 1, 1)
            self.seen = nn.Linear(four, POINTS)
            width = four + three + two + 3
            self.heads = nn.ModuleDict({key: nn.Linear(width, len(values)) for key, values in LABELS.items()})

        def forward(self, pixels: Any, where: Any = None) -> dict[str, Any]:
            return self.tell(pixels, self.look(pixels), where)

        def look(self, pixels: Any) -> tuple[Any, ...]:
            """What is seen, whatever is asked: fine, middle and coarse features, and maps."""
            fine = self.fine(self.stem(pixels))
            middle = self.middle(fine)
            coarse = self.coarse(middle)
            grow = nn.functional.interpolate
            lifted = self.lift(torch.cat([middle, grow(coarse, scale_factor=2.0)], 1))
            return fine, middle, coarse, self.maps(self.join(torch.cat([grow(lifted, scale_factor=2.0), fine], 1)))

        def tell(self, pixels: Any, looked: tuple[Any, ...], where: Any = None) -> dict[str, Any]:
            """Labels, points and maps from what `look` saw."""
            fine, middle, coarse, maps = looked
            garment = maps[:, POINTS:].sigmoid()
            if where is not None:  # also there where no garment is seen: its edge may be missed
                garment = where * (garment + 0.1)
            heat = maps[:, :POINTS].flatten(2).softmax(-1).unflatten(2, (HEAT_PX, HEAT_PX))
            place = (torch.arange(HEAT_PX, device=pixels.device) + 0.5) / HEAT_PX
            points = torch.stack([(heat.sum(2) * place).sum(-1), (heat.sum(3) * place).sum(-1)], -1)
            small = nn.functional.avg_pool2d(pixels, INPUT_PX // HEAT_PX)
            told = torch.cat([coarse.mean((2, 3)), *(_under(garment, at) for at in (middle, fine, small))], 1)
            labels = {key: head(told) for key, head in self.heads.items()}
            return {
                "labels": labels,
                "points": points,
                "seen": self.seen(coarse.mean((2, 3))),
                "mask": maps[:, POINTS],
                "told": told,
            }

    def _under(garment: Any, features: Any) -> Any:
        """The mean of features where the garment is: its colour and pattern, whatever is around it."""
        weight = torch.nn.functional.adaptive_avg_pool2d(garment, features.shape[-1])
        return (features * weight).sum((2, 3)) / (weight.sum((2, 3)) + 1e-3)

    return Network()


class Judge:
    """A loaded judge. Not a measure of beauty: it says what it reads, and may be wrong; see its own accuracy."""

    def __init__(self, network: Any, sha256: str) -> None:
        self.network, self.sha256 = network.eval(), sha256
        self.name = f"synthgen-mini-judge@{sha256[:12]}"
        self._last: tuple[Any, Reading, Any] | None = None  # a picture, its reading, and what the network saw of it

    def read_one(self, picture: Any) -> Reading:
        """The reading of one picture; the last one is remembered, for two gates ask of the same picture."""
        return self._once(picture)[0]

    def _once(self, picture: Any) -> tuple[Reading, Any]:
        if self._last is None or self._last[0] is not picture:
            looked = self._look([picture])
            self._last = picture, self._read([picture], looked)[0], looked
        return self._last[1:]

    def worn(self, picture: Any, zone: str) -> dict[str, str]:
        """Colour and pattern of the garment that is worn in the "upper" or the "lower" zone of the body.

        Of two garments that a person wears, nothing but their place says which one is meant.
        """
        import torch

        reading, looked = self._once(picture)
        size = np.array([picture.shape[1], picture.shape[0]], np.float32)
        where = torch.from_numpy(_zone(reading.keypoints[:, :2] / size, zone))[None, None]
        with torch.no_grad():
            logits = self.network.tell(*looked, where)["labels"]
        return {key: LABELS[key][int(logits[key][0].argmax())] for key in ("colour", "pattern")}

    def features(self, pictures: Sequence[Any]) -> Any:
        """(n, 307) float32, one row a picture: what labels are read from: the whole, and what the garment covers."""
        import torch

        with torch.no_grad():
            return self.network(_seen(pictures))["told"].numpy()

    def read(self, pictures: Sequence[Any]) -> list[Reading]:
        """Readings of pictures, each (h, w, 3) uint8 sRGB of any one size; squares are what it was trained on."""
        return self._read(pictures, self._look(pictures))

    def _look(self, pictures: Sequence[Any]) -> tuple[Any, Any]:
        """Pictures as the network takes them, and what it sees, whatever is asked."""
        import torch

        pixels = _seen(pictures)
        with torch.no_grad():
            return pixels, self.network.look(pixels)

    def _read(self, pictures: Sequence[Any], looked: tuple[Any, Any]) -> list[Reading]:
        import torch

        with torch.no_grad():
            told = self.network.tell(*looked)
        shares = {key: logits.softmax(-1).numpy() for key, logits in told["labels"].items()}
        points, seen = told["points"].numpy(), told["seen"].sigmoid().numpy()
        masks = told["mask"].sigmoid().numpy()
        readings = []
        for row, picture in enumerate(pictures):
            size = np.array([picture.shape[1], picture.shape[0]], np.float32)
            keypoints = np.concatenate([points[row] * size, seen[row][:, None]], 1).astype(np.float32)
            best = {key: int(share[row].argmax()) for key, share in shares.items()}
            readings.append(
                Reading(
                    {key: LABELS[key][index] for key, index in best.items()},
                    {key: float(shares[key][row][index]) for key, index in best.items()},
                    keypoints,
                    masks[row],
                    {key: share[row] for key, share in shares.items()},
                )
            )
        return readings


def _zone(points: Any, zone: str) -> Any:
    """(32, 32) float32, 1 between shoulders and hips, or hips and knees; `points` in shares of the picture."""
    import cv2

    corners = {
        "upper": (poses.R_SHOULDER, poses.L_SHOULDER, poses.L_HIP, poses.R_HIP),
        "lower": (poses.R_HIP, poses.L_HIP, poses.L_KNEE, poses.R_KNEE),
    }[zone]
    mask = np.zeros((HEAT_PX, HEAT_PX), np.float32)
    cv2.fillPoly(mask, [np.rint(points[list(corners)] * HEAT_PX).astype(np.int32)], 1.0)
    return mask


def _seen(pictures: Sequence[Any]) -> Any:
    """(n, 3, 128, 128) float32 in [-1, 1]: pictures as the network takes them."""
    import torch

    return torch.from_numpy(np.stack([shrunk(one) for one in pictures])).permute(0, 3, 1, 2).float() / 127.5 - 1


def shrunk(picture: Any) -> Any:
    """(h, w, 3) uint8 -> (128, 128, 3) uint8, by area."""
    import cv2

    return cv2.resize(np.ascontiguousarray(picture), (INPUT_PX, INPUT_PX), interpolation=cv2.INTER_AREA)


def shipped() -> Path:
    """Where the shipped weights are."""
    return Path(str(files("synthgen"))) / "mini" / "judge" / WEIGHTS


def whole(tensor: Any) -> Any:
    """A stored tensor as the network computes with it: fp16 as fp32, counters as they are."""
    return tensor.float() if tensor.is_floating_point() else tensor


@cache
def load(path: Path | None = None) -> Judge:
    """The shipped judge, or the one in a file."""
    from safetensors.torch import load_file

    place = path or shipped()
    network = build()
    network.load_state_dict({key: whole(value) for key, value in load_file(place).items()})
    return Judge(network, hashlib.sha256(place.read_bytes()).hexdigest())
