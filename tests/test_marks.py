"""Marks: what a reader that is not ours sees, with whose key, and what must not depend on it."""

from __future__ import annotations

import io
import json
import os
import re
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
from marked_run import benchmark, marker  # noqa: F401
from PIL import Image

from synthgen import marks, png_file, provenance, signing
from synthgen.errors import RequestError, SynthgenError
from synthgen.types import Job, Picture

GOLDEN = Path(__file__).parent / "golden" / "manifest.json"
JOB = Job("0123456789abcdef", 0, "a secret prompt", "blurry", 7, {"pose": "walking"}, "shirt")
PICTURE = Picture(JOB, np.random.default_rng(7).integers(0, 256, (32, 24, 3), dtype=np.uint8))
LINEAGE = provenance.record(PICTURE, benchmark.CONTEXT)


def own_certificate(folder: Path, purpose: str, key_kind: str = "ec", days: int = 30) -> tuple[Path, Path]:
    """A certificate chain and its key from an authority of the user's own, made by cryptography alone."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    made = {"ec": lambda: ec.generate_private_key(ec.SECP384R1()), "ed25519": ed25519.Ed25519PrivateKey.generate,
            "rsa": lambda: rsa.generate_private_key(65537, 2048)}  # fmt: skip
    authority, key, now = ec.generate_private_key(ec.SECP256R1()), made[key_kind](), datetime.now(UTC)
    organisation = x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Acme")
    issuer = x509.Name([organisation, x509.NameAttribute(x509.NameOID.COMMON_NAME, "Acme CA")])
    root = (
        x509.CertificateBuilder(issuer, issuer, authority.public_key(), 4)
        .not_valid_before(now - timedelta(days=90))
        .not_valid_after(now + timedelta(days=900))
        .add_extension(x509.BasicConstraints(True, 0), critical=True)
        .add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(authority.public_key()), critical=False)
        .sign(authority, hashes.SHA256())
    )
    certificate = (
        x509.CertificateBuilder(issuer, x509.Name([organisation]), key.public_key(), 5)
        .not_valid_before(now - timedelta(days=60))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.ExtendedKeyUsage([x509.ObjectIdentifier(purpose)]), critical=False)
        .add_extension(x509.KeyUsage(True, False, False, False, False, False, False, False, False), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), critical=False)
        .sign(authority, hashes.SHA256())
    )
    chain, secret = folder / "acme.pem", folder / "acme.key"
    chain.write_bytes(b"".join(one.public_bytes(serialization.Encoding.PEM) for one in (certificate, root)))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return chain, secret


@pytest.mark.parametrize("kind", provenance.FORMATS)
def test_every_format_is_trusted_under_the_local_authority_and_nobody_elses(kind, marker):  # noqa: F811
    data = marker.mark(PICTURE.pixels, LINEAGE, kind)
    found = marks.examine(data, signing.anchors())
    assert (found.kind, found.state, found.problem) == (kind, "Trusted", "")
    assert found.lineage == provenance.published(LINEAGE)
    assert found.pixel_sha256 == provenance.pixel_sha256(np.asarray(Image.open(io.BytesIO(data))))
    assert (found.pixel_sha256 == LINEAGE["pixel_sha256"]) == (kind != "JPEG")
    assert marks.examine(data, b"").state == "Valid"
    assert b"secret" not in data


def test_pixels_and_lineage_do_not_depend_on_the_signature(marker):  # noqa: F811
    one, two = (marker.mark(PICTURE.pixels, LINEAGE) for _ in range(2))
    assert one != two
    first, second = (marks.examine(data, signing.anchors()) for data in (one, two))
    assert first == second
    assert png_file.fault(one) == ""


def test_prompts_are_published_when_asked_for():
    data = marks.Marker(signing.identity(), prompts=True, writer="Ada").mark(PICTURE.pixels, LINEAGE)
    assert marks.examine(data, signing.anchors()).lineage == LINEAGE
    with Image.open(io.BytesIO(data)) as image:
        packet = image.info["xmp"]
    assert b"AIPromptInformation>a secret prompt (without: blurry)<" in packet
    assert b"AIPromptWriterName>Ada<" in packet


def test_a_reader_with_default_settings_reads_our_manifest(marker):  # noqa: F811
    """c2pa-python's own Reader; its JSON, without what is new each time, is the golden file."""
    import c2pa

    with c2pa.Reader("image/png", io.BytesIO(marker.mark(PICTURE.pixels, LINEAGE))) as reader:
        text = reader.json()
    for pattern, name in (
        (r"urn:c2pa:[0-9a-f-]{36}", "urn:c2pa:MANIFEST"),
        (r"xmp\.iid:[0-9a-f-]{36}", "xmp.iid:INSTANCE"),
        (r'"cert_serial_number": "\d+"', '"cert_serial_number": "SERIAL"'),
        (r'"when": "[0-9TZ:-]+"', '"when": "TIME"'),
        (LINEAGE["versions"]["numpy"], "NUMPY"),
        (LINEAGE["id"], "LINEAGE"),
    ):
        text = re.sub(pattern, name, text)
    told = json.loads(text)
    assert told == json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert told["validation_state"] == "Valid"


def test_only_what_was_allowed_outright_is_open_to_training(marker):  # noqa: F811
    for use, verdict, wanted in (
        ("dataset-release", "allow", "allowed"),
        ("dataset-release", "conditional", "constrained"),
        ("internal", "allow", "constrained"),
    ):
        lineage = {**LINEAGE, "license": {**LINEAGE["license"], "use": use, "verdict": verdict}}
        assert {entry["use"] for entry in marks._mining(lineage).values()} == {wanted}


def test_the_key_is_the_owners_alone_and_made_once(own_home):
    first = signing.identity()
    assert signing.identity() == first
    place = own_home / "signing"
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in place.iterdir()}
    assert (modes["ca.key"], modes["signer.pem"]) == (0o600, 0o600)
    assert "PRIVATE" not in repr(first)
    from cryptography import x509

    leaf = x509.load_pem_x509_certificate(first.chain)
    assert (leaf.not_valid_after_utc - leaf.not_valid_before_utc).days == 3651
    (place / "signer.pem").chmod(0o644)
    with pytest.raises(RequestError, match="can be read by others"):
        signing.identity()


def test_a_first_use_that_was_killed_half_way_is_begun_again(own_home):
    place = own_home / "signing"
    place.mkdir()
    (place / "ca.key").write_bytes(b"half")
    (place / ".ca.pem.part").write_bytes(b"half")
    assert marks.Marker(signing.identity())
    (place / "signer.pem").unlink()
    authority = (place / "ca.pem").read_bytes()
    assert marks.Marker(signing.identity())
    assert (place / "ca.pem").read_bytes() == authority


def test_a_leaf_that_ends_soon_is_replaced_under_the_same_authority(own_home, monkeypatch):
    monkeypatch.setattr(signing, "LEAF_DAYS", 3)
    old = marks.Marker(signing.identity()).mark(PICTURE.pixels, LINEAGE)
    monkeypatch.undo()
    os.environ["SYNTHGEN_HOME"] = str(own_home)
    monkeypatch.setenv("SYNTHGEN_HOME", str(own_home))
    new = marks.Marker(signing.identity()).mark(PICTURE.pixels, LINEAGE)
    assert {marks.examine(data, signing.anchors()).state for data in (old, new)} == {"Trusted"}


def test_a_home_that_cannot_be_written_is_told(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SYNTHGEN_HOME", str(tmp_path / "file"))
    with pytest.raises(RequestError, match="Set SYNTHGEN_HOME to a folder of your own"):
        signing.identity()


@pytest.mark.parametrize("kind", ["ec", "ed25519", "rsa"])
@pytest.mark.parametrize("purpose", signing.PURPOSES)
def test_ones_own_certificate_signs_and_is_trusted(tmp_path, monkeypatch, kind, purpose):
    if kind == "rsa" and purpose != signing.PURPOSES[0]:
        pytest.skip("one RSA key is enough: making it takes longest")
    chain, key = own_certificate(tmp_path, purpose, kind)
    data = marks.Marker(signing.identity(chain, key)).mark(PICTURE.pixels, LINEAGE)
    assert marks.examine(data, signing.anchors((chain,))).state == "Trusted"
    assert marks.examine(data, signing.anchors()).state == "Valid"
    monkeypatch.setenv(signing.CERTIFICATE, str(chain))
    monkeypatch.setenv(signing.KEY, str(key))
    assert signing.identity().chain == chain.read_bytes()
    assert marks.examine(data, signing.anchors()).state == "Trusted"


SIGNER = """
import pathlib, sys
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding

key = serialization.load_pem_private_key(pathlib.Path(sys.argv[1]).read_bytes(), None)
data = sys.stdin.buffer.read()
if isinstance(key, ec.EllipticCurvePrivateKey):
    made = key.sign(data, ec.ECDSA(hashes.SHA384()))
elif hasattr(key, "key_size"):
    made = key.sign(data, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
else:
    made = key.sign(data)
sys.stdout.buffer.write(made)
"""


@pytest.mark.parametrize("kind", ["ec", "ed25519", "rsa"])
def test_a_key_that_never_leaves_its_safe_signs_by_a_command(tmp_path, monkeypatch, kind):
    chain, key = own_certificate(tmp_path, signing.PURPOSES[0], kind)
    (tmp_path / "sign.py").write_text(SIGNER)
    by_command = f"'{sys.executable}' '{tmp_path / 'sign.py'}' '{key}'"
    who = signing.identity(chain, sign=signing.command(by_command))
    assert who.key == b""
    data = marks.Marker(who).mark(PICTURE.pixels, LINEAGE)
    assert marks.examine(data, signing.anchors((chain,))).state == "Trusted"
    monkeypatch.setenv(signing.CERTIFICATE, str(chain))
    monkeypatch.setenv(signing.COMMAND, by_command)
    again = marks.Marker(signing.identity()).mark(PICTURE.pixels, LINEAGE)
    assert marks.examine(again, signing.anchors()).state == "Trusted"


def test_a_command_that_does_not_sign_is_told_with_its_own_words(tmp_path):
    chain, key = own_certificate(tmp_path, signing.PURPOSES[0])
    for text, words in (
        (f"'{sys.executable}' -c 'import sys; sys.exit(\"the safe is locked\")'", "exit code 1: the safe is locked"),
        (str(tmp_path / "none"), "No such file"),
        (f"'{sys.executable}' -c 'pass'", "it said nothing"),
    ):
        with pytest.raises(SynthgenError, match=words):
            marks.Marker(signing.identity(chain, sign=signing.command(text)))
    forged = signing.command(f"'{sys.executable}' -c 'print(1)'")
    with pytest.raises(RequestError, match="readers would refuse"):
        marks.Marker(signing.identity(chain, sign=forged))
    with pytest.raises(RequestError, match="and not both"):
        signing.identity(chain, key, forged)
    with pytest.raises(RequestError, match="and not both"):
        signing.identity(sign=forged)
    with pytest.raises(RequestError, match="is no command line"):
        signing.command("'open")


def test_certificates_that_cannot_do_it_are_refused_with_why(tmp_path):
    chain, key = own_certificate(tmp_path, signing.PURPOSES[0])
    (tmp_path / "other").mkdir()
    _, another = own_certificate(tmp_path / "other", signing.PURPOSES[0])
    with pytest.raises(RequestError, match="is not the key of the first certificate"):
        signing.identity(chain, another)
    with pytest.raises(RequestError, match="needs its key"):
        signing.identity(chain)
    with pytest.raises(RequestError, match="holds no certificate"):
        signing.identity(key, key)
    with pytest.raises(RequestError, match="is no private key"):
        signing.identity(chain, chain)
    with pytest.raises(RequestError, match="cannot be read"):
        signing.identity(tmp_path / "none.pem", key)
    alone = tmp_path / "alone.pem"
    alone.write_bytes(chain.read_bytes().partition(b"-----END CERTIFICATE-----\n")[0] + b"-----END CERTIFICATE-----\n")
    with pytest.raises(RequestError, match="the authority's certificate"):
        marks.Marker(signing.identity(alone, key))
    ended = own_certificate(tmp_path / "other", signing.PURPOSES[0], days=-1)
    with pytest.raises(RequestError, match="not today"):
        signing.identity(*ended)
    web = own_certificate(tmp_path / "other", "1.3.6.1.5.5.7.3.1")
    with pytest.raises(RequestError, match="certificate"):
        marks.Marker(signing.identity(*web))


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"RIFF\x04\0\0\0WEBP", b"GIF89a"])
def test_files_that_are_hardly_any_are_examined_without_an_error(data):
    found = marks.examine(data, b"")
    assert found.lineage is None and found.state in ("", "Invalid")
