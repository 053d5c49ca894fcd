"""The lineage of a picture: whole, the same for the same picture, readable again, and safe to write anywhere."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from synthgen import provenance
from synthgen.errors import RequestError, SynthgenError, UnreadableImage
from synthgen.types import Job, Judgement, Picture, Verdict

IPTC = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
CONTEXT = provenance.Context(
    base={"id": "mini", "sha256": "ab" * 32, "license": "Apache-2.0"},
    adapters=({"name": "shirts", "sha256": "cd" * 32, "weight": 0.8, "license": "LicenseRef-own"},),
    verdict=Verdict("internal", "allow", ("base 'mini' is Apache-2.0: run -> allow (2)",)),
    pipeline="apparel",
    settings={"size": 16, "guidance_scale": 3.0},
    versions={"torch": "2.15"},
    plan="1a2b3c4d",
)


def picture(prompt: str = "a photo", seed: int = 2**53 - 1, job_id: str = "0123456789abcdef") -> Picture:
    values = np.random.default_rng(seed % 1000).integers(0, 256, (16, 12, 3), dtype=np.uint8)
    return Picture(Job(job_id, 0, prompt, "", seed, {"pose": "walking"}, "shirt"), values)


def saved(folder, data: bytes):
    path = folder / "picture.png"
    path.write_bytes(data)
    return path


def test_a_record_holds_everything_that_made_the_picture_and_its_pixels():
    made = provenance.record(picture(), CONTEXT, [Judgement("blank", True, measured={"spread": np.float32(0.5)})])
    assert made["seed"] == str(2**53 - 1)
    assert made["base"]["sha256"] == "ab" * 32
    assert made["adapters"][0]["weight"] == 0.8
    assert made["requested"] == {"pose": "walking"}
    assert made["measured"] == {"spread": 0.5}
    assert made["license"]["verdict"] == "allow"
    assert made["synthetic"] is True
    assert made["pixel_sha256"] == hashlib.sha256(b"16x12x3:" + picture().pixels.tobytes()).hexdigest()
    assert json.loads(provenance.canonical_json(made)) == made


def test_the_id_is_the_digest_of_all_the_rest():
    made = provenance.record(picture(), CONTEXT)
    rest = {key: value for key, value in made.items() if key not in ("id", "prompt", "negative_prompt")}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert made["id"] == hashlib.sha256(text.encode()).hexdigest()
    assert made["id"] != provenance.record(picture("another"), CONTEXT)["id"]
    assert made["id"] != provenance.record(picture(), dataclasses.replace(CONTEXT, plan="other"))["id"]


def test_a_prompt_counts_by_its_digest_so_that_it_can_be_left_out():
    made = provenance.record(picture("secret words"), CONTEXT)
    shown = provenance.published(made)
    assert "secret" not in json.dumps(shown)
    assert shown["prompt_sha256"] == hashlib.sha256(b"secret words").hexdigest()
    assert provenance.lineage_id(shown) == made["id"]
    assert provenance.lineage_id({**made, "prompt": "other words"}) != made["id"]
    assert provenance.lineage_id({**shown, "prompt_sha256": "0" * 64}) != made["id"]


def test_the_same_picture_gives_the_same_bytes():
    made = [provenance.png_bytes(picture(), provenance.record(picture(), CONTEXT)) for _ in range(2)]
    assert made[0] == made[1]


def test_pixels_and_lineage_come_back_from_the_file(tmp_path):
    one = picture("ein Hemd, grün \N{SNOWMAN}")
    made = provenance.record(one, CONTEXT)
    path = saved(tmp_path, provenance.png_bytes(one, made))
    assert provenance.read(path) == made
    with Image.open(path) as image:
        assert np.array_equal(np.asarray(image), one.pixels)
        assert provenance.pixel_sha256(np.asarray(image)) == made["pixel_sha256"]


@settings(max_examples=60, deadline=None)
@given(st.text(), st.text())
def test_xmp_is_well_formed_and_says_that_an_ai_made_it_whatever_the_names_are(base, sha256):
    context = dataclasses.replace(CONTEXT, base={"id": base, "sha256": sha256})
    packet = provenance.xmp(provenance.record(picture(), context))
    facts = {item.tag: item.text for item in ElementTree.fromstring(packet).iter() if item.tag.startswith(IPTC)}
    source = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    assert facts[f"{IPTC}DigitalSourceType"] == source
    assert facts[f"{IPTC}AISystemUsed"].startswith("synthgen with base ")
    names = ("DigitalSourceType", "AISystemUsed", "AISystemVersionUsed", "AIPromptInformation")
    assert set(facts) == {f"{IPTC}{name}" for name in names}


def test_xmp_tells_prompts_and_their_writer_only_where_they_are_published():
    made = provenance.record(picture("a <red> shirt"), CONTEXT)
    packet = provenance.xmp(made, "Ada & Co")
    facts = {item.tag.removeprefix(IPTC): item.text for item in ElementTree.fromstring(packet).iter()}
    assert (facts["AIPromptInformation"], facts["AIPromptWriterName"]) == ("a <red> shirt", "Ada & Co")
    assert "Prompt" not in provenance.xmp(provenance.published(made), "Ada & Co")


@pytest.mark.parametrize("kind", provenance.FORMATS)
@pytest.mark.parametrize("prompt", ["ein Hemd, grün \N{SNOWMAN}", ']]> <x> & \ufffe \x00 \x85 \u2028 \\ "'])
def test_every_format_carries_the_lineage_whatever_is_in_it(tmp_path, kind, prompt):
    made = provenance.record(picture(prompt), CONTEXT)
    (tmp_path / "picture").write_bytes(provenance.encoded(picture().pixels, made, kind))
    assert provenance.read(tmp_path / "picture") == made
    with Image.open(tmp_path / "picture") as image:
        assert image.format == kind
        same = np.array_equal(np.asarray(image), picture().pixels)
    assert same == (kind != "JPEG")


def test_a_lineage_too_long_for_a_jpeg_is_told():
    made = provenance.record(picture("long " * 20000), CONTEXT)
    with pytest.raises(SynthgenError, match="Write PNG or WebP"):
        provenance.encoded(picture().pixels, made, "JPEG")


def test_the_xmp_packet_stands_where_readers_look_for_it():
    one = picture()
    data = provenance.png_bytes(one, provenance.record(one, CONTEXT))
    with Image.open(io.BytesIO(data)) as image:
        assert "trainedAlgorithmicMedia" in image.text["XML:com.adobe.xmp"]
        assert "synthgen with base mini" in image.text["XML:com.adobe.xmp"]


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters()), st.one_of(st.floats(), st.text(), st.integers()))
def test_any_prompt_and_any_measure_can_be_recorded(prompt, value):
    made = provenance.record(picture(prompt), CONTEXT, [Judgement("g", True, measured={"m": value})])
    text = provenance.canonical_json(made).encode("utf-8")
    assert json.loads(text)["id"] == provenance.lineage_id(json.loads(text)) == made["id"]


def test_two_gates_that_measure_under_one_name_both_keep_their_value():
    judged = [Judgement("blank", True, measured={"mean": 1}), Judgement("broken", False, "x", {"mean": 2})]
    made = provenance.record(picture(), CONTEXT, judged)
    assert made["measured"] == {"mean": 1, "broken_mean": 2}
    assert made["gates"][1] == {"gate": "broken", "accepted": False, "reason": "x"}


def test_a_changed_lineage_is_told(tmp_path):
    one = picture()
    made = provenance.record(one, CONTEXT)
    forged = {**made, "license": {**made["license"], "verdict": "deny"}}
    with pytest.raises(RequestError, match="was changed"):
        provenance.read(saved(tmp_path, provenance.png_bytes(one, forged)))


def test_a_picture_that_was_not_made_here_is_told(tmp_path):
    plain = tmp_path / "plain.png"
    Image.new("RGB", (4, 4)).save(plain)
    with pytest.raises(RequestError, match="holds no synthgen lineage"):
        provenance.read(plain)
    with pytest.raises(UnreadableImage):
        provenance.read(saved(tmp_path, b"no picture at all"))
    with pytest.raises(UnreadableImage):
        provenance.read(tmp_path / "missing.png")


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 4), (3, 4, 4)])
def test_pixels_of_another_form_are_refused(shape):
    with pytest.raises(SynthgenError, match=r"wanted \(h, w, 3\) uint8"):
        provenance.record(dataclasses.replace(picture(), pixels=np.zeros(shape, np.uint8)), CONTEXT)
    with pytest.raises(SynthgenError, match="float32"):
        provenance.record(dataclasses.replace(picture(), pixels=np.zeros((4, 4, 3), np.float32)), CONTEXT)
