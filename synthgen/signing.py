"""With whose key pictures are signed: that of a local authority, made on first use, or the user's own.

The user's own key is a file, or stays in a safe or with a service that is asked for each signature.

SYNTHGEN_HOME/signing/ = ca.pem and ca.key (the authority, 20 years), signer.pem (key and chain of the leaf, 10 years;
one file, so that the two always fit). Files with keys are 0600. Nobody but the owner of this folder trusts the
authority: a reader elsewhere is given ca.pem (`synthgen verify --trust`), or pictures are signed with a certificate
that the world trusts. A signature without a time stamp counts as long as its certificate is valid: hence ten years.
"""

from __future__ import annotations

import functools
import os
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from synthgen import resources
from synthgen.errors import RequestError, SynthgenError

CERTIFICATE, KEY = "SYNTHGEN_CERTIFICATE", "SYNTHGEN_KEY"  # environment variables with the user's own files
COMMAND = "SYNTHGEN_SIGN_WITH"  # and with a command that signs in place of a key file
COMMAND_SECONDS = 60
Sign = Callable[[bytes], bytes]  # what is to be signed -> its signature, as `Identity.algorithm` makes it
CA_DAYS, LEAF_DAYS, RENEW_DAYS = 20 * 365, 10 * 365, 30
LIMIT_BYTES = 1 << 20
# What a signer's certificate may be for: e-mail protection (which readers accept by default), documents, C2PA claims.
PURPOSES = ("1.3.6.1.5.5.7.3.4", "1.3.6.1.5.5.7.3.36", "1.3.6.1.4.1.62558.2.1")


@dataclass(frozen=True)
class Identity:
    """A certificate chain, and the key of its first certificate or what signs with that."""

    algorithm: str  # as C2PA calls it: es256, es384, es512, ed25519, ps256
    chain: bytes  # PEM, the signer's certificate first
    key: bytes = field(default=b"", repr=False)  # PEM, PKCS 8, not encrypted
    sign: Sign | None = field(default=None, repr=False)  # asked where there is no key


def identity(certificate: Path | None = None, key: Path | None = None, sign: Sign | None = None) -> Identity:
    """The user's own certificate where one is given or named by the environment, else the local one.

    sign  signs in place of a key: C2PA's algorithm for the certificate's key, over the very bytes that it gets;
          of elliptic curves r and s side by side or as DER
    Raises RequestError for files that do not fit, SynthgenError where SYNTHGEN_HOME cannot be written.
    """
    chain, secret = certificate or _named(CERTIFICATE), key or (None if sign else _named(KEY))
    if sign is None and key is None and (text := os.environ.get(COMMAND, "")):
        sign, secret = command(text), None
    if chain is None and secret is None and sign is None:
        return _local()
    if chain is None or (secret is None) == (sign is None):
        raise RequestError(
            "a certificate needs its key, or a command that signs with it, and not both. Give --certificate with --key "
            f"or --sign-with, or set {CERTIFICATE} with {KEY} or {COMMAND}. Nothing was made."
        )
    return _own(chain, secret) if secret is not None else _elsewhere(chain, sign)


def command(text: str) -> Sign:
    """A program that signs: what is to be signed on its standard input, the signature on its output. Run by no shell.

    Raises RequestError for a text that is no command line.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise RequestError(f"--sign-with '{text}' is no command line ({error}). Nothing was made.") from error
    if not words:
        raise RequestError("--sign-with wants a command. Nothing was made.")

    def sign(data: bytes) -> bytes:
        try:
            done = subprocess.run(
                words, input=data, capture_output=True, timeout=COMMAND_SECONDS, check=False, start_new_session=True
            )  # a session of its own: Ctrl-C ends the run after this picture, not the signature in the middle
        except (OSError, subprocess.TimeoutExpired) as error:
            raise _not_signed(words[0], str(error)) from error
        if done.returncode or not done.stdout:
            said = done.stderr.decode("utf-8", "replace").strip() or "it said nothing"
            raise _not_signed(words[0], f"exit code {done.returncode}: {said.splitlines()[-1][:200]}")
        return done.stdout

    return sign


def _not_signed(program: str, why: str) -> SynthgenError:
    return SynthgenError(
        f"'{program}' of --sign-with gave no signature ({why}). What is finished is kept; the same command goes on."
    )


def anchors(trust: tuple[Path, ...] = ()) -> bytes:
    """PEM certificates that a signature is checked against: those given, else the local authority and the user's own.

    b"" where there are none: nothing was ever signed here. Raises RequestError for a file that holds no certificate.
    """
    own = _named(CERTIFICATE)
    local = _folder() / "ca.pem"
    paths = trust or tuple(path for path in (local if local.is_file() else None, own) if path is not None)
    return b"\n".join(_certificates(path) for path in paths)


def signer(who: Identity) -> Any:
    """The c2pa signer of this process. A forked process makes its own: the library's handles must not be shared."""
    return _signer(who, os.getpid())


def failure(who: Identity) -> Exception | None:
    """Why the last signature that was asked for elsewhere failed, told once: the library passes on only that it did."""
    return _FAILED.pop(who, None)


_FAILED: dict[Identity, Exception] = {}


@functools.lru_cache(maxsize=4)
def _signer(who: Identity, process: int) -> Any:
    import c2pa

    def asked(data: bytes) -> bytes:
        try:
            assert who.sign is not None
            return who.sign(data)
        except Exception as error:
            _FAILED[who] = error
            return b""

    try:
        if who.sign is not None:
            kind = c2pa.C2paSigningAlg[who.algorithm.upper()]
            return c2pa.Signer.from_callback(asked, kind, who.chain.decode("ascii"), None)
        return c2pa.Signer.from_info(c2pa.C2paSignerInfo(who.algorithm.encode("ascii"), who.chain, who.key, None))
    except c2pa.C2paError as error:
        raise RequestError(
            f"the certificate or its key cannot be used for signing ({error}). Nothing was made."
        ) from error


def _named(variable: str) -> Path | None:
    text = os.environ.get(variable, "")
    return Path(text) if text else None


def _folder() -> Path:
    return resources.home() / "signing"


def _local() -> Identity:
    """The local leaf, made on first use and again before it ends."""
    from filelock import FileLock

    folder = _folder()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with FileLock(folder / "lock", timeout=60):  # two first runs at once must not make two authorities
            if not (folder / "ca.pem").is_file():
                _make_authority(folder)
            if not (folder / "signer.pem").is_file() or _ends_soon(_private(folder / "signer.pem")):
                _make_leaf(folder)
            key, begin, chain = _private(folder / "signer.pem").partition(b"-----BEGIN CERTIFICATE-----")
            return Identity("es256", begin + chain, key)
    except OSError as error:
        raise RequestError(
            f"{folder} cannot be used for the signing key ({error.strerror or error}). Set SYNTHGEN_HOME to a folder "
            "of your own. Nothing was made."
        ) from error
    except ValueError as error:
        raise SynthgenError(
            f"{folder} holds a broken certificate or key ({error}). Restore it from a copy, or move the folder away: a "
            "new authority is then made, and pictures signed before verify with --trust and the old ca.pem only."
        ) from error


def _make_authority(folder: Path) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = f"synthgen local CA {x509.random_serial_number() & 0xFFFFFFFF:08x}"  # no name of a person or a machine
    certificate = _certificate(name, key.public_key(), name, key, CA_DAYS)
    _write(folder / "ca.key", _pem(key), 0o600)
    _write(folder / "ca.pem", certificate, 0o644)


def _make_leaf(folder: Path) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    authority = (folder / "ca.pem").read_bytes()
    issuer = x509.load_pem_x509_certificate(authority)
    issuer_key: Any = serialization.load_pem_private_key(_private(folder / "ca.key"), None)
    issuer_name = str(issuer.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value)
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = _certificate("synthgen", key.public_key(), issuer_name, issuer_key, LEAF_DAYS)
    _write(folder / "signer.pem", _pem(key) + leaf + authority, 0o600)


def _certificate(subject: str, public: Any, issuer: str, issuer_key: Any, days: int) -> bytes:
    """A certificate of the form that C2PA asks for; an authority's where subject and issuer are the same."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.x509.oid import ExtendedKeyUsageOID

    authority, now = subject == issuer, datetime.now(UTC)
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only",
         "decipher_only"), False
    )  # fmt: skip
    builder = (
        x509.CertificateBuilder(_name(issuer), _name(subject), public, x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # clocks differ
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(authority, 0 if authority else None), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=not authority, key_cert_sign=authority, crl_sign=authority, **usage),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if not authority:
        purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        builder = builder.add_extension(purpose, critical=False)
    return builder.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _name(common_name: str) -> Any:
    from cryptography import x509

    organisation = x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "synthgen")
    return x509.Name([organisation, x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])


def _pem(key: Any) -> bytes:
    from cryptography.hazmat.primitives import serialization

    form = serialization.PrivateFormat.PKCS8
    made: bytes = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return made


def _write(path: Path, data: bytes, mode: int) -> None:
    """Whole or not at all, and never readable by others, not for a moment."""
    unfinished = path.with_name(f".{path.name}.part")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(unfinished, path)


def _private(path: Path) -> bytes:
    """A key file of ours, refused where others may read it: with it they sign in our name."""
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise RequestError(f"{path} can be read by others, so its signatures prove nothing. Make it yours: chmod 600.")
    return path.read_bytes()


def _ends_soon(chain: bytes) -> bool:
    from cryptography import x509

    return x509.load_pem_x509_certificate(chain).not_valid_after_utc < datetime.now(UTC) + timedelta(days=RENEW_DAYS)


def _own(certificate: Path, key: Path) -> Identity:
    """The user's files, when the key is the certificate's and the certificate is valid today."""
    from cryptography.hazmat.primitives import serialization

    chain, secret = _certificates(certificate), _read(key)
    leaf, spki = _leaf(chain, certificate), serialization.PublicFormat.SubjectPublicKeyInfo
    try:
        loaded: Any = serialization.load_pem_private_key(secret, None)
    except (ValueError, TypeError) as error:
        raise RequestError(
            f"{key} is no private key in PEM form without a password ({error}). Nothing was made."
        ) from error
    der = serialization.Encoding.DER
    if loaded.public_key().public_bytes(der, spki) != leaf.public_key().public_bytes(der, spki):
        raise RequestError(f"{key} is not the key of the first certificate in {certificate}. Nothing was made.")
    return Identity(_algorithm(leaf.public_key(), certificate), chain, _pem(loaded))


def _elsewhere(certificate: Path, sign: Sign | None) -> Identity:
    """The user's certificate, whose key is not here. Whether the two fit is seen when something is signed."""
    chain = _certificates(certificate)
    return Identity(_algorithm(_leaf(chain, certificate).public_key(), certificate), chain, sign=sign)


def _leaf(chain: bytes, path: Path) -> Any:
    """The signer's certificate. Raises RequestError where it is not valid today."""
    from cryptography import x509

    leaf = x509.load_pem_x509_certificate(chain)
    if not leaf.not_valid_before_utc <= datetime.now(UTC) <= leaf.not_valid_after_utc:
        raise RequestError(
            f"{path} is valid from {leaf.not_valid_before_utc:%Y-%m-%d} to {leaf.not_valid_after_utc:%Y-%m-%d}, "
            "not today. Nothing was made."
        )
    return leaf


def _algorithm(key: Any, path: Path) -> str:
    """The signature that C2PA knows for this kind of key. Raises RequestError where it knows none."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, ed25519.Ed25519PublicKey):
        return "ed25519"
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= 2048:
        return "ps256"
    curves = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in curves:
        return curves[key.curve.name]
    raise RequestError(
        f"{path} is for a key that C2PA has no signature for. Wanted: EC on P-256, P-384 or P-521, Ed25519, or RSA of "
        "2048 bits or more. Nothing was made."
    )


def _certificates(path: Path) -> bytes:
    """The certificates of a PEM file, without what else stands there. Raises RequestError where there are none."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    try:
        found = x509.load_pem_x509_certificates(_read(path))
    except ValueError as error:
        raise RequestError(f"{path} holds no certificate in PEM form ({error}). Nothing was changed.") from error
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in found)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(LIMIT_BYTES + 1)
    except OSError as error:
        raise RequestError(f"{path} cannot be read ({error.strerror}). Nothing was changed.") from error
    if len(data) > LIMIT_BYTES:
        raise RequestError(
            f"{path} has more than {LIMIT_BYTES} bytes: it is no certificate or key. Nothing was changed."
        )
    return data
