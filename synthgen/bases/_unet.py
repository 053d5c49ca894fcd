"""What families with a UNet have in common: noise by a schedule, CLIP for words, an autoencoder with one factor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from synthgen import model_folder
from synthgen.bases._family import Family
from synthgen.bases._identity import Identity
from synthgen.bases._process import Noise
from synthgen.bases._words import Words
from synthgen.model_folder import ModelFolder


class UNetFamily(Family):
    """Stable Diffusion and its kin."""

    DENOISER = "unet"
    TEXT_PARTS: ClassVar[tuple[str, ...]] = ("text_encoder",)
    # attention alone misses a product's form and print; these reach the feed-forward layers too
    TARGETS = ("to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2")
    SIDE_STEP = 8
    SEVERAL = "MultiControlNetModel"
    INTO_ALONG_SEVERAL = True

    def claims_folder(self, folder: ModelFolder) -> bool:
        unet, vae = (model_folder.config(folder.path, part) for part in ("unet", "vae"))
        paints = unet.get("in_channels", 4) == vae.get("latent_channels", 4)  # inpainting takes a mask beside
        return folder.pipeline == self.PIPELINE and paints and self.claims_unet(unet, folder)

    def claims_unet(self, unet: dict[str, Any], folder: ModelFolder) -> bool:
        """Whether a UNet of this pipeline is of this family."""
        return True

    def blocks(self, config: Mapping[str, Any], side: int, words: int) -> list[int]:
        """Of each residual layer and each layer of attention, down and up again."""
        widths, layers = config["block_out_channels"], config.get("layers_per_block", 2)
        told = config.get("transformer_layers_per_block", 1)
        depth = told if isinstance(told, list | tuple) else [told] * len(widths)
        kinds = config.get("down_block_types") or ["CrossAttnDownBlock2D"] * (len(widths) - 1) + ["DownBlock2D"]
        found = []
        for level, width in enumerate(widths):
            one = (side // 8 // 2**level) ** 2 * width
            found += [one] * (2 * layers + 1) * (1 + (depth[level] if kinds[level].startswith("CrossAttn") else 0))
        return [*found, *([one] * (2 + depth[-1]))]

    def side(self, identity: Identity) -> int:
        unet, vae = (model_folder.config(identity.folder, part) for part in ("unet", "vae"))
        factor = 2 ** (len(vae.get("block_out_channels", (0,) * 4)) - 1)
        return int(unet.get("sample_size") or self.SIDE // factor) * factor

    def misfit(self, identity: Identity, control: Mapping[str, Any]) -> str:
        unet = model_folder.config(identity.folder, "unet")
        for key, usual in (
            ("in_channels", 4),
            ("cross_attention_dim", 1280),
            ("block_out_channels", [320, 640, 1280, 1280]),
        ):
            wanted, found = unet.get(key, usual), control.get(key, usual)
            if wanted != found:
                return f"its {key} is {found} and that of the base is {wanted}"
        return ""

    def keeps(self, base: Any, masked: bool) -> bool:
        return masked and base.denoiser.config.in_channels != 4  # the only number that diffusers' own class takes

    def distilled(self, folder: ModelFolder) -> str:
        if model_folder.config(folder.path, "unet").get("time_cond_proj_dim"):
            return "its network is told the guidance"
        return super().distilled(folder)

    def process(self, base: Any) -> Noise:
        return Noise(base.parts.scheduler.config, base.device)

    def latents(self, base: Any, pixels: Any) -> Any:
        vae = base.parts.vae
        return vae.encode(pixels.to(vae.dtype)).latent_dist.mean * vae.config.scaling_factor

    def words(self, base: Any, texts: Sequence[str]) -> Words:
        told = base.parts.encode_prompt(list(texts), base.device, 1, False)
        return Words({"states": told[0]})

    def predict(self, base: Any, noisy: Any, moment: Any, words: Words) -> Any:
        return base.denoiser(noisy, moment, words.values["states"]).sample
