"""The most bytes of tensors that are alive at once while something is calculated, as torch's own dispatch sees them."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveMemory(TorchDispatchMode):
    """`most`: the highest sum of the bytes of tensors that were made inside and not yet freed."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self.seen: weakref.WeakKeyDictionary[Any, bool] = weakref.WeakKeyDictionary()

    def __torch_dispatch__(self, function: Any, types: Any, given: Any = (), options: Any = None) -> Any:
        before = {id(one.untyped_storage()) for one in tree_leaves((given, options)) if isinstance(one, torch.Tensor)}
        made = function(*given, **(options or {}))
        for one in tree_leaves(made):
            if isinstance(one, torch.Tensor):
                self._count(one.untyped_storage(), before)
        return made

    def _count(self, storage: Any, before: set[int]) -> None:
        if storage in self.seen or id(storage) in before:
            return
        size = storage.nbytes()
        self.seen[storage] = True
        self.now += size
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._free, size)

    def _free(self, size: int) -> None:
        self.now -= size
