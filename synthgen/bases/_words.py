"""Texts as a network reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Words:
    """Texts as a network reads them: tensors with one row for each text."""

    values: Mapping[str, Any]

    def __getitem__(self, rows: Any) -> Words:
        return Words({name: value[rows] for name, value in self.values.items()})

    def __len__(self) -> int:
        return len(next(iter(self.values.values())))

    def joined(self, others: Words) -> Words:
        """These rows and then the others; texts that were read at another length are filled up with nothing."""
        import torch

        return Words({name: torch.cat(_as_long(value, others.values[name])) for name, value in self.values.items()})


def _as_long(*tensors: Any) -> list[Any]:
    """Tensors (n, length, ...) with zeros behind the shorter ones."""
    import torch

    longest = max(one.shape[1] for one in tensors)
    fill = [one.new_zeros(len(one), longest - one.shape[1], *one.shape[2:]) for one in tensors]
    return [torch.cat([one, more], 1) for one, more in zip(tensors, fill, strict=True)]
