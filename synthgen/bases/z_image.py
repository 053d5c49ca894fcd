"""Z-Image: 1024 px, Qwen3 reads the words, ControlNets; the base is trained on, Turbo draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from synthgen.bases._declare import drawing, into, modelspec
from synthgen.bases._transformer import ATTENTION, FlowFamily
from synthgen.bases._weights import IN_DIFFUSERS, Weights
from synthgen.bases._words import Words


class ZImage(FlowFamily):
    """Family `z_image`."""

    LICENSE = "Apache-2.0"
    NAMES = (
        Weights("z-image", "Tongyi-MAI/Z-Image", LICENSE, "github Tongyi-MAI/Z-Image"),
        Weights(
            "z-image-turbo",
            "Tongyi-MAI/Z-Image-Turbo",
            LICENSE,
            IN_DIFFUSERS,
            "its name says Turbo",
        ),
    )
    PIPELINE = "ZImagePipeline"
    CONTROLLED = "ZImageControlNetPipeline"
    INTO = into("ZImageImg2ImgPipeline", "ZImageInpaintPipeline")
    CONTROLNET = "ZImageControlNetModel"
    TIMED = False
    CONTROL = "control_image"
    FIRST = """
        layers.#.attention.qkv             layers.#.attention.{to_q,to_k,to_v}
        layers.#.attention.out             layers.#.attention.to_out.0
        noise_refiner.#.attention.qkv      noise_refiner.#.attention.{to_q,to_k,to_v}
        noise_refiner.#.attention.out      noise_refiner.#.attention.to_out.0
        context_refiner.#.attention.qkv    context_refiner.#.attention.{to_q,to_k,to_v}
        context_refiner.#.attention.out    context_refiner.#.attention.to_out.0
        x_embedder                         all_x_embedder.2-1
        final_layer.linear                 all_final_layer.2-1.linear
    """
    TARGETS = (*ATTENTION, "feed_forward.w1", "feed_forward.w2", "feed_forward.w3")
    RANK = 32
    SETTINGS = drawing(steps=28, guidance=4.0, batch=1)
    MODELSPEC = modelspec("z-image", 1024)
    INSTEAD = "z-image"

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
