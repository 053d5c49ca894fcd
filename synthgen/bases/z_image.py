"""Z-Image: 1024 px, Qwen3 reads the words, ControlNets; the base is trained on, Turbo draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from synthgen.bases._declare import drawing, few, into, modelspec
from synthgen.bases._transformer import ATTENTION, FlowFamily
from synthgen.bases._weights import IN_DIFFUSERS, Size, Weights
from synthgen.bases._words import Words

NUMBERS = {"transformer": 6_154_908_736, "text_encoder": 4_022_468_096, "vae": 83_819_683}
NETWORK: dict[str, Any] = {"dim": 3840, "n_layers": 30, "n_refiner_layers": 2, "n_heads": 30, "n_kv_heads": 30}


class ZImage(FlowFamily):
    """Family `z_image`."""

    LICENSE = "Apache-2.0"
    NAMES = (
        Weights(
            "z-image",
            "Tongyi-MAI/Z-Image",
            LICENSE,
            "github Tongyi-MAI/Z-Image",
            size=Size(NUMBERS, NETWORK, few=9_787_179_008, pair=2_480_640),
        ),
        Weights(
            "z-image-turbo",
            "Tongyi-MAI/Z-Image-Turbo",
            LICENSE,
            IN_DIFFUSERS,
            "its name says Turbo",
            size=Size(NUMBERS, NETWORK, few=9_787_179_008, pair=2_480_640),
        ),
    )
    PIPELINE = "ZImagePipeline"
    CONTROLLED = "ZImageControlNetPipeline"
    INTO = into("ZImageImg2ImgPipeline", "ZImageInpaintPipeline")
    CONTROLNET = "ZImageControlNetModel"
    TIMED = False
    SIGNS = ("layers.0.adaLN_modulation.0.weight", "cap_pad_token")
    CONTROL = "control_image"
    FIRST = """
        layers.#.attention.qkv             layers.#.attention.{to_q,to_k,to_v}
        layers.#.attention.out             layers.#.attention.to_out.0
        noise_refiner.#.attention.qkv      noise_refiner.#.attention.{to_q,to_k,to_v}
        noise_refiner.#.attention.out      noise_refiner.#.attention.to_out.0
        context_refiner.#.attention.qkv    context_refiner.#.attention.{to_q,to_k,to_v}
        context_refiner.#.attention.out    context_refiner.#.attention.to_out.0
        layers.#.attention.q_norm            layers.#.attention.norm_q
        layers.#.attention.k_norm            layers.#.attention.norm_k
        noise_refiner.#.attention.q_norm     noise_refiner.#.attention.norm_q
        noise_refiner.#.attention.k_norm     noise_refiner.#.attention.norm_k
        context_refiner.#.attention.q_norm   context_refiner.#.attention.norm_q
        context_refiner.#.attention.k_norm   context_refiner.#.attention.norm_k
        final_layer.adaLN_modulation.1       all_final_layer.2-1.adaLN_modulation.1
        x_embedder                         all_x_embedder.2-1
        final_layer.linear                 all_final_layer.2-1.linear
    """
    TARGETS = (*ATTENTION, "feed_forward.w1", "feed_forward.w2", "feed_forward.w3")
    RANK = 32
    HELD = (45.0, 54.0)
    WORDS = 512
    LAYER = 388_956_160
    SETTINGS = drawing(steps=28, guidance=4.0, batch=1)
    FEW = few(steps=9, guidance=0.0)
    MODELSPEC = modelspec("z-image", 1024)
    INSTEAD = "z-image"

    def blocks(self, config: Mapping[str, Any], side: int, words: int) -> list[int]:
        """Picture and words are refined apart first; each is filled up to a multiple of 32."""
        places, words = ((count + 31) // 32 * 32 for count in ((side // self.SIDE_STEP) ** 2, words))
        apart = [places * config["dim"], words * config["dim"]] * config["n_refiner_layers"]
        return [*apart, *([(places + words) * config["dim"]] * config["n_layers"])]

    def words(self, base: Any, texts: Sequence[str]) -> Words:
        """Each text has its own number of words; the rows are filled up, and the mask tells how far they go."""
        import torch

        rows, _ = base.parts.encode_prompt(list(texts), device=base.device, do_classifier_free_guidance=False)
        states = torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True)
        mask = torch.arange(states.shape[1])[None] < torch.tensor([len(row) for row in rows])[:, None]
        return Words({"states": states, "mask": mask.to(states.device)})

    def predict(self, base: Any, noisy: Any, moment: Any, words: Words) -> Any:
        import torch

        states = [row[mask] for row, mask in zip(words.values["states"], words.values["mask"], strict=True)]
        # it counts from noise to picture, and tells the way from noise to picture
        found = base.denoiser(list(noisy.unsqueeze(2).unbind(0)), 1 - moment, states, return_dict=False)[0]
        return -torch.stack(list(found)).squeeze(2)


FAMILY = ZImage()
