"""What sd-scripts calls the modules that it puts a LoRA on, and the web UIs after it: words joined by underscores.

    unet.down_blocks.1.attentions.0.proj_in    lora_unet_down_blocks_1_attentions_0_proj_in, for Stable Diffusion 1
                                               lora_unet_input_blocks_4_1_proj_in, for XL: the first program's names
    text_encoder.encoder.layers.0.mlp.fc1      lora_te_text_model_..., lora_te1_text_model_... where there are two
    text_encoder_2....                         lora_te2_text_model_...
    transformer....                            lora_unet_..., by the first program's name where its family has a table;
                                               read as lora_transformer_... (OneTrainer), lycoris_... (SimpleTuner) too

Web UIs read both names of a UNet's module. Sources: kohya-ss/sd-scripts networks/lora.py (prefixes, joining) and its
SDXL UNet; comfyanonymous/ComfyUI comfy/lora.py (what is read).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from synthgen import ldm_names

TWO_ENCODERS = ("stable-diffusion-xl", "stable-diffusion-3", "flux-1")  # ModelSpec's; FLUX.1's second one is T5
SECOND = "text_encoder_2."


def of_place(place: str, two: bool = False) -> str:
    """The name of a module as it is written.

    two  whether the base has two text encoders of CLIP
    """
    component, _, inner = place.partition(".")
    start = {"unet": "lora_unet", "transformer": "lora_unet", "text_encoder_2": "lora_te2"}
    start["text_encoder"] = "lora_te1" if two else "lora_te"
    if component in ("text_encoder", "text_encoder_2") and not inner.startswith("text_model."):
        inner = f"text_model.{inner}"  # the level that transformers 5 has no more
    return f"{start.get(component, f'lora_{component}')}_{inner}".replace(".", "_")


def two_encoders(architecture: str) -> bool:
    """Whether a base of this ModelSpec architecture has two text encoders of CLIP."""
    return architecture.startswith(TWO_ENCODERS)


def flat(places: Iterable[str]) -> dict[str, str]:
    """Every name under which a place is read -> the place; a name that two places share means neither."""
    known = list(places)
    starts = _starts(known)
    found: dict[str, str] = {}
    for place in known:
        for name in _read(place, starts):
            found[name] = place if found.get(name, place) == place else ""
    return found


def _read(place: str, starts: Mapping[str, str]) -> Iterator[str]:
    yield of_place(place)
    if place.startswith("text_encoder."):
        yield of_place(place, two=True)  # of the only one, too, as diffusers writes it
    component, _, module = place.partition(".")
    if component == "transformer":
        yield from (f"{start}_{module}".replace(".", "_") for start in ("lora_transformer", "lycoris"))
    if component == "unet" and (first := ldm_names.of_unet(module, starts)):
        yield f"lora_unet_{first}".replace(".", "_")


def _starts(places: Iterable[str]) -> dict[str, str]:
    """The first program's names of the blocks of a UNet that has these modules; none where there is none."""
    config = ldm_names.structure(place.removeprefix("unet.") for place in places if place.startswith("unet."))
    return ldm_names.blocks(config) if config else {}
