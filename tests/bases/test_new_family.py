"""A new family is one file in bases/, one record in licenses/ and its rows in presets.toml, and no other line.

A package is laid out with just these three beside what is here, and a program that never heard of the family lists it,
checks its licence, trains on it and draws with it as the unmodified pipeline does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
MEMBER = '''"""Stable Diffusion 2: 768 px, one OpenCLIP text encoder."""

from __future__ import annotations

from typing import Any

from synthgen.bases._declare import drawing, few, into, modelspec
from synthgen.bases._unet import UNetFamily
from synthgen.bases._weights import Weights
from synthgen.model_folder import ModelFolder


class StableDiffusion2(UNetFamily):
    """Family `sd2`."""

    LICENSE = "LicenseRef-new"
    NAMES = (Weights("sd2", "nobody/sd2", LICENSE, "a test"),)
    PIPELINE = "StableDiffusionPipeline"
    CONTROLLED = "StableDiffusionControlNetPipeline"
    INTO = into("StableDiffusionImg2ImgPipeline", "StableDiffusionInpaintPipeline")
    SIDE = 768
    SETTINGS = drawing(steps=2, guidance=4.0, batch=2)
    FEW = few(steps=4, guidance=1.0)
    MODELSPEC = modelspec("stable-diffusion-v2-768-v", 768)
    INSTEAD = "sd2"

    def claims_unet(self, unet: dict[str, Any], folder: ModelFolder) -> bool:
        return unet.get("cross_attention_dim") == 1024

    def opening(self) -> dict[str, Any]:
        return {"safety_checker": None, "requires_safety_checker": False}

    def options(self, pipe: Any) -> dict[str, Any]:
        return {"requires_safety_checker": False}


FAMILY = StableDiffusion2()
'''
PRESET = "\n[[sd2]]\nphotos = 20\nrank = 6\nalpha = 3.0\nlearning_rate = 0.5\n"
PROGRAM = """
import json, sys
from pathlib import Path
import numpy as np, torch, diffusers
import toy_bases
from toy_base import OWN, photos
from synthgen import base_facts, bases, generate, licenses, adapters, store, train
from synthgen.bases._device import quiet
from synthgen.types import Asset

quiet()
place = Path(sys.argv[1])
torch.manual_seed(0)
words = toy_bases.clip_tokenizer(place / "words")
network = toy_bases.unet(1024)
diffusers.StableDiffusionPipeline(
    vae=toy_bases.kl_vae(), unet=network, text_encoder=toy_bases.clip_text(words, 1024), tokenizer=words,
    scheduler=diffusers.DDIMScheduler(beta_schedule="scaled_linear", prediction_type="v_prediction"),
    safety_checker=None, feature_extractor=None, requires_safety_checker=False,
).save_pretrained(place / "toy")
family, identity = bases.find(str(place / "toy"))
adapter = train.fit(train.TrainRequest(
    photos(place / "shirts", 2), base=str(place / "toy"), steps=2, batch=2, size=64, rights=OWN,
    out=place / "adapter"))
made = generate.run(generate.GenerateRequest(
    2, base=str(place / "toy"), adapters=(str(adapter),), size=64, out=place / "run"))
line = store.read(place / "run")[0]
base = family.load(identity, "cpu")
job = generate.Job("0" * 16, 0, "a sks shirt", "", 5, {})
ours = base.render([job], [None], {**base.settings, "threads": 1, "size": 64})[0].pixels
pipe = diffusers.StableDiffusionPipeline.from_pretrained(place / "toy", safety_checker=None, use_safetensors=True)
pipe.set_progress_bar_config(disable=True)
drawn = pipe(job.prompt, num_inference_steps=2, guidance_scale=4.0, height=64, width=64, output_type="np",
             generator=torch.Generator().manual_seed(5)).images[0]
facts = base_facts.of("sd2")
card = adapters.load_card(adapter)
print(json.dumps({
    "family": family.name, "names": list(bases.names()), "license": facts["license"],
    "commercial": licenses.clear([Asset("base", "sd2", family.LICENSE)], "commercial").answer,
    "rank": card.rank, "alpha": card.alpha, "made": made.made, "fit": line["lineage"]["adapters"][0]["base_fit"],
    "same": bool((ours == (np.clip(drawn, 0, 1) * 255).round().astype(np.uint8)).all()),
}))
"""


def linked(source: Path, target: Path, *opened: str) -> None:
    """A folder whose entries are links into another; those of these names are folders of links themselves."""
    target.mkdir()
    for entry in source.iterdir():
        inner = [name.partition("/")[2] for name in opened if name.partition("/")[0] == entry.name]
        if inner:
            linked(entry, target / entry.name, *filter(None, inner))
        elif entry.name != "__pycache__":
            (target / entry.name).symlink_to(entry)


def test_a_new_family_is_one_file_one_record_and_its_presets(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    linked(ROOT / "synthgen", tree / "synthgen", "bases")
    linked(ROOT / "licenses", tree / "licenses")
    for name in ("pyproject.toml", "pipelines", "adapters"):
        (tree / name).symlink_to(ROOT / name)
    (tree / "synthgen" / "bases" / "sd2.py").write_text(MEMBER, encoding="utf-8")
    record = (ROOT / "licenses" / "MIT.toml").read_text(encoding="utf-8")
    record = record.replace('id = "MIT"', 'id = "LicenseRef-new"').replace('["mit license"]', '["a new licence"]')
    (tree / "licenses" / "LicenseRef-new.toml").write_text(record, encoding="utf-8")
    presets = tree / "synthgen" / "presets.toml"
    presets.unlink()
    presets.write_text((ROOT / "synthgen" / "presets.toml").read_text(encoding="utf-8") + PRESET, encoding="utf-8")
    changed = {
        path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file() and not path.is_symlink()
    }
    assert changed == {"synthgen/bases/sd2.py", "licenses/LicenseRef-new.toml", "synthgen/presets.toml"}
    told = ran(tree, tmp_path / "work")
    assert told == {
        "family": "sd2", "names": told["names"], "license": "LicenseRef-new", "commercial": "allow", "rank": 6,
        "alpha": 3.0, "made": 2, "fit": "exact", "same": True,
    }  # fmt: skip
    assert "sd2" in told["names"] and len(told["names"]) > 10


def ran(tree: Path, work: Path) -> dict[str, Any]:
    """What the program says that runs on this tree."""
    work.mkdir()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tree), str(ROOT / "tests")])}
    command = [sys.executable, "-c", PROGRAM, str(work)]
    done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
