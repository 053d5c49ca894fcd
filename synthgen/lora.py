"""An adapter file as its tensors tell it: of which kind, in which layout, which pairs, which rank, at which strength.

LoRA has a pair of matrices for each module, DoRA a magnitude beside each pair; for LoKr and OFT see lora_kin.

    layout     a module in it is called                           its strength stands in
    kohya      lora_unet_mid_block_attentions_0_..._to_q          MODULE.alpha, a tensor
    comfyui    diffusion_model.layers.0.attention.to_q            MODULE.alpha, else it is the rank
    diffusers  unet.mid_block.attentions.0...to_q                 metadata lora_adapter_metadata, else it is the rank
    peft       base_model.model.mid_block.attentions.0...to_q     adapter_config.json beside the file

Sources: kohya-ss/sd-scripts networks/lora.py (names, alpha), diffusers loaders/lora_base.py (metadata), peft
utils/save_and_load.py. Nothing here loads torch.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthgen import lora_kin, tensor_file
from synthgen.errors import UnfitAdapter
from synthgen.lora_kin import Block
from synthgen.tensor_file import DOWN_UP, Tensors

PREFIXES = {  # layout -> what each of its modules begins with
    "kohya": ("lora_unet_", "lora_te_", "lora_te1_", "lora_te2_", "lora_te3_", "lora_transformer_", "lycoris_"),
    "peft": ("base_model.model.",),
    "diffusers": ("unet.", "text_encoder.", "text_encoder_2.", "transformer."),
    "comfyui": ("diffusion_model.", "text_encoders."),
}
MAGNITUDE = "lora_magnitude_vector"  # of DoRA, as peft names it
CONFIG = "lora_adapter_metadata"  # key of diffusers' metadata
CONFIG_FILE = "adapter_config.json"  # of peft, beside the file
MAX_CONFIG_BYTES = 2**20
PLAIN = {  # options of peft that leave a LoRA a plain one; any other that is set changes what its tensors mean
    "peft_type", "peft_version", "task_type", "r", "lora_alpha", "rank_pattern", "alpha_pattern", "target_modules",
    "init_lora_weights", "megatron_core", "qalora_group_size", "base_model_name_or_path", "revision", "inference_mode",
    "lora_dropout", "use_rslora", "auto_mapping", "exclude_modules", "layers_to_transform", "layers_pattern",
    "loftq_config", "eva_config", "corda_config", "lora_ga_config",
}  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """The two halves of one low-rank update, as the file names them."""

    module: str
    down: str  # name of its first tensor, of shape (rank, in, ...)
    up: str  # name of its second tensor, of shape (out, rank, ...)
    rank: int
    alpha: str = ""  # name of its alpha tensor, or ""
    magnitude: str = ""  # name of DoRA's magnitudes, one for each output, or ""
    rows: tuple[tuple[int, int], ...] = ()  # those of `up` that are its own, from one on and up to another; (): all


@dataclass(frozen=True)
class Lora:
    """What a file holds."""

    path: Path
    layout: str  # "kohya", "diffusers", "peft", "comfyui", "bare" (modules alone), or "mixed"
    pairs: tuple[Pair, ...]
    strays: tuple[str, ...]  # tensors that are no part of a pair or of a block
    tensors: Tensors
    metadata: Mapping[str, str]  # claims
    blocks: tuple[Block, ...] = ()  # of LoKr and OFT, which have no pairs

    @property
    def kind(self) -> str:
        """ "lora", "dora", "lokr" or "oft"."""
        if self.blocks:
            return self.blocks[0].kind
        return "dora" if any(pair.magnitude for pair in self.pairs) else "lora"

    @property
    def parts(self) -> tuple[Pair | Block, ...]:
        """What changes a module each, of whatever kind."""
        return self.pairs or self.blocks

    def shapes(self, pair: Pair) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """((rank, in, ...), (out, rank, ...))."""
        down, up = self.tensors[pair.down][1], self.tensors[pair.up][1]
        return down, (sum(end - start for start, end in pair.rows), *up[1:]) if pair.rows else up

    def reach(self, part: Pair | Block) -> tuple[int, int]:
        """(outputs, inputs) of the weight that a part is for; 0 for what its tensors do not tell."""
        return part.reach if isinstance(part, Block) else (self.shapes(part)[1][0], self.shapes(part)[0][1])


def read(path: Path) -> Lora:
    """The adapter in a file, from its header. Raises UnfitAdapter for an unsound file and for one that holds none."""
    tensors, metadata = tensor_file.check(path)
    if blocks := lora_kin.blocks(path, tensors):
        inside = {name for block in blocks for name in block.names.values()}
        modules = [block.module for block in blocks]
        return Lora(path, _layout(modules), (), tuple(sorted(set(tensors) - inside)), tensors, metadata, blocks)
    pairs = []
    for down, rank in tensor_file.lora_ranks(path, tensors).items():
        first, second = next(names for names in DOWN_UP if names[0] in down)
        module = down.partition(first)[0]
        alpha, magnitude = (name if (name := f"{module}.{end}") in tensors else "" for end in ("alpha", MAGNITUDE))
        pairs.append(Pair(module, down, down.replace(first, second), rank, alpha, magnitude))
    used = {name for pair in pairs for name in (pair.down, pair.up, pair.alpha, pair.magnitude)}
    strays = tuple(sorted(set(tensors) - used))
    whole = tuple(name for pair in pairs for name in (pair.down, pair.up) if not name.endswith(".weight"))
    modules = [pair.module for pair in pairs]
    return Lora(path, _layout(modules), tuple(pairs), tuple(sorted({*strays, *whole})), tensors, metadata)


def _layout(modules: Sequence[str]) -> str:
    found = {
        next((layout for layout, starts in PREFIXES.items() if module.startswith(starts)), "bare") for module in modules
    }
    return found.pop() if len(found) == 1 else "mixed"


def alphas(lora: Lora, stated: float | None = None) -> dict[str, float]:
    """module -> alpha; its strength is alpha / rank.

    stated  what the user says it is, where the file says nothing
    Raises UnfitAdapter where two places disagree, where no plain LoRA is meant, and where a peft file says nothing
    (peft's own default is 8, whatever the rank). Elsewhere nothing means the rank, as every program takes it.
    """
    if lora.blocks:
        return lora_kin.alphas(lora.blocks, _config_of_blocks(lora), lora.path)
    found = _config_alphas(lora)
    for module, alpha in _tensor_alphas(lora).items():
        if module in found and not math.isclose(found[module], alpha, rel_tol=1e-6):
            raise _unfit(lora, f"'{module}' has alpha {alpha:g} as a tensor and {found[module]:g} in its metadata")
        found[module] = alpha
    silent = [pair for pair in lora.pairs if pair.module not in found]
    if silent and stated is None and lora.layout in ("peft", "bare"):
        raise UnfitAdapter(
            f"{lora.path} does not say its alpha, so its strength is not known: {CONFIG_FILE} is not beside it. Put it "
            "there, or give --alpha. Nothing was loaded."
        )
    contrary = {module: alpha for module, alpha in found.items() if stated is not None and alpha != stated}
    if contrary:
        module, alpha = next(iter(contrary.items()))
        raise _unfit(lora, f"--alpha says {stated:g} and the file says {alpha:g} for '{module}'")
    result = {pair.module: found.get(pair.module, stated or float(pair.rank)) for pair in lora.pairs}
    for module, alpha in result.items():
        if not (math.isfinite(alpha) and alpha > 0):
            raise _unfit(lora, f"'{module}' has alpha {alpha:g}; wanted a number above 0")
    return result


def says_alpha(lora: Lora) -> bool:
    """Whether the file, or what is beside it, says any alpha at all."""
    return bool(_config_of_blocks(lora) if lora.blocks else _tensor_alphas(lora) or _config_alphas(lora))


def _unfit(lora: Lora, found: str) -> UnfitAdapter:
    return UnfitAdapter(f"{lora.path}: {found}. Nothing was loaded.")


def _tensor_alphas(lora: Lora) -> dict[str, float]:
    wanted = {pair.alpha for pair in lora.pairs if pair.alpha}
    if not wanted:
        return {}
    told = {}
    for name, dtype, shape, raw in tensor_file.tensors(lora.path):
        if name in wanted:
            if math.prod(shape) != 1 or dtype not in ("F32", "F16", "BF16"):
                raise _unfit(lora, f"'{name}' is {dtype} {shape}; wanted one float")
            told[name] = _number(dtype, raw)
    return {pair.module: told[pair.alpha] for pair in lora.pairs if pair.alpha}


def _number(dtype: str, raw: bytes) -> float:
    """The shortest decimal that is stored as these bytes, so that 0.1 comes back as 0.1 from four bytes."""
    if dtype == "BF16":
        return float(struct.unpack("<f", b"\0\0" + raw)[0])
    kind = {"F32": "<f", "F16": "<e"}[dtype]
    value = float(struct.unpack(kind, raw)[0])
    for digits in range(1, 10):
        near = float(f"{value:.{digits}g}")
        if math.isfinite(near) and abs(near) < 6e4 and struct.pack(kind, near) == raw:
            return near
    return value


def _config_alphas(lora: Lora) -> dict[str, float]:
    """What diffusers' metadata or peft's file says, for each pair that it speaks of."""
    if lora.layout == "diffusers" and CONFIG in lora.metadata:
        config = tensor_file.json_object(lora.metadata[CONFIG])
        if config is None:
            raise _unfit(lora, f"its metadata {CONFIG} is no JSON object")
        components = {pair.module.partition(".")[0] for pair in lora.pairs}
        found: dict[str, float] = {}
        for component in components:
            start = f"{component}."
            own = {key.removeprefix(start): value for key, value in config.items() if key.startswith(start)}
            found |= _alphas_of(lora, own, start)
        return found
    if lora.layout in ("peft", "bare"):
        beside = lora.path.with_name(CONFIG_FILE)
        if beside.is_file():
            return _alphas_of(lora, _beside(lora, beside), "base_model.model." if lora.layout == "peft" else "")
    return {}


def _config_of_blocks(lora: Lora) -> dict[str, Any] | None:
    """What the metadata says of the one part of the base that LoKr or OFT changes; None where it says nothing."""
    config = tensor_file.json_object(lora.metadata.get(CONFIG, ""))
    starts = {block.module.partition(".")[0] + "." for block in lora.blocks}
    if config is None or len(starts) != 1:
        return None
    (start,) = starts
    return {key.removeprefix(start): value for key, value in config.items() if key.startswith(start)} or None


def _beside(lora: Lora, path: Path) -> dict[str, Any]:
    raw = path.read_bytes() if path.stat().st_size <= MAX_CONFIG_BYTES else b""
    config = tensor_file.json_object(raw.decode("utf-8", "replace"))
    if config is None:
        raise _unfit(lora, f"{path.name} beside it is no JSON object of at most {MAX_CONFIG_BYTES} bytes")
    return config


def _alphas_of(lora: Lora, config: Mapping[str, Any], start: str) -> dict[str, float]:
    """The alphas that a LoraConfig means for the modules with this start; its ranks must be those of the tensors."""
    if "lora_alpha" not in config:
        return {}
    known = PLAIN | {"use_dora"} if lora.kind == "dora" else PLAIN
    if lora.kind == "dora" and not config.get("use_dora"):
        raise _unfit(lora, "it holds DoRA's magnitudes and its configuration does not say DoRA")
    strange = sorted(key for key, value in config.items() if key not in known and value not in (None, False, "none"))
    strange = [key for key in strange if config[key] not in ([], {}, "")]
    if strange:
        raise _unfit(lora, f"it is no plain LoRA: its configuration sets {', '.join(strange[:5])}")
    found = {}
    for pair in lora.pairs:
        if not pair.module.startswith(start):
            continue
        module = pair.module.removeprefix(start)
        rank = _chosen(lora, config, "rank_pattern", "r", module)
        if rank != pair.rank:
            raise _unfit(lora, f"'{pair.module}' has rank {pair.rank} by its tensors and {rank:g} by its configuration")
        alpha = _chosen(lora, config, "alpha_pattern", "lora_alpha", module)
        found[pair.module] = alpha * math.sqrt(rank) if config.get("use_rslora") else alpha
    return found


def _chosen(lora: Lora, config: Mapping[str, Any], pattern: str, default: str, module: str) -> float:
    """A number of a LoraConfig for one module. Its patterns are names here, never regular expressions of a stranger."""
    named = config.get(pattern) or {}
    value = config.get(default)
    if isinstance(named, dict):
        for key, own in named.items():
            plain = str(key).removeprefix("^").replace("\\.", ".").split(".lora_")[0]
            if module == plain or module.endswith(f".{plain}"):
                value = own
                break
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _unfit(lora, f"its configuration has {default} {str(value)[:20]!r}; wanted a number")
    return float(value)


def config_of(pairs: Mapping[str, tuple[int, float]], dora: bool = False) -> dict[str, Any]:
    """The LoraConfig, as diffusers keeps it, of module -> (rank, alpha) with the component before each module.

    Every module is named in full, so that no module of the base that ends alike is taken for it.
    """
    config: dict[str, Any] = {}
    for component in sorted({name.partition(".")[0] for name in pairs}):
        own = {name.partition(".")[2]: pair for name, pair in pairs.items() if name.startswith(f"{component}.")}
        kinds = list(own.values())
        rank, alpha = max(sorted(set(kinds)), key=kinds.count)
        patterns = {
            "rank_pattern": {f"^{re.escape(name)}": pair[0] for name, pair in own.items() if pair[0] != rank},
            "alpha_pattern": {f"^{re.escape(name)}": pair[1] for name, pair in own.items() if pair[1] != alpha},
        }
        told = {"r": rank, "lora_alpha": alpha, "target_modules": sorted(own), **patterns}
        told |= {"use_dora": True} if dora else {}
        config |= {f"{component}.{key}": value for key, value in told.items()}
    return config
