"""What a family says of the memory that its bases take, before anything is loaded."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from synthgen.bases._weights import Size
from synthgen.memory_modes import Passing


class Memory:
    """The part of a family that counts."""

    DENOISER: ClassVar[str]
    NEGATIVE: ClassVar[bool]
    HELD: ClassVar[tuple[float, float]] = (24.0, 45.0)  # `kept` and `at_work` of memory_modes.Passing
    LAYER: ClassVar[int] = 0  # numbers of the largest layer of its published weights
    WORDS: ClassVar[int] = 77  # that a text is read as, at the most
    DECODER: ClassVar[Mapping[str, Any]] = MappingProxyType({"block_out_channels": (128, 256, 512, 512)})  # published
    T5: ClassVar[tuple[str, int]] = ("", 0)  # the part that is T5, and how many words it reads

    def passing(self, configs: Mapping[str, Mapping[str, Any]], side: int, words: int = 0) -> Passing:
        """What passes through for a picture of `side` px.

        configs  part -> its configuration
        words    that a text is read as; 0: the most
        """
        blocks = self.blocks(configs[self.DENOISER], side, words or self.WORDS)
        vae = configs.get("vae", {})
        widths = vae.get("block_out_channels") or [
            vae.get("base_dim", 96) * many for many in vae.get("dim_mult", (1, 2))
        ]
        tile = min(side, int(vae.get("sample_size") or side))
        heads = configs.get(self.T5[0], {}).get("num_heads", 0)
        return Passing(
            sum(blocks), max(blocks), side * side * widths[1], tile * tile * widths[1], heads * self.T5[1] ** 2,
            *self.HELD, 2 if self.NEGATIVE else 1,
        )  # fmt: skip

    def published(self, size: Size) -> Mapping[str, Mapping[str, Any]]:
        """What `passing` wants to know of published weights that are not here."""
        return {self.DENOISER: size.network, "vae": self.DECODER, self.T5[0]: {"num_heads": 64}}

    @abstractmethod
    def blocks(self, config: Mapping[str, Any], side: int, words: int) -> list[int]:
        """Places x width of every block of the denoiser, for a picture of `side` px and so many words."""

    def in_few_bits(self, parts: Mapping[str, str]) -> list[str]:
        """Of a pipeline's parts (name -> class) those whose linear layers modes of few bits hold so: the large ones."""
        large = [
            part for part, kind in parts.items() if part.startswith("text_encoder") and not kind.startswith("CLIP")
        ]
        return [self.DENOISER, *large]
