"""A bill of materials of a run: CycloneDX 1.6 JSON, by cyclonedx-python-lib; the same run gives the same bytes.

Models are machine-learning-model components, whose cards name the photos that they learned from; photos, poses and the
set itself are data components. The library has no model cards and no data parts, so these are added to what it writes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from synthgen import __version__, licenses
from synthgen.types import Asset

FILE = "bom.json"
MODELS = ("base", "adapter", "control")
SET = "set"
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True)
class Made:
    """The set that the bill is of."""

    name: str
    plan: str  # digest of its plan, which serves as version
    created: str  # ISO 8601
    libraries: Mapping[str, str]  # name -> version of what drew it
    facts: Mapping[str, str]  # its use, verdict and reading


def bill(made: Made, assets: Sequence[Asset]) -> str:
    """The bill as JSON text."""
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6

    parts = list(_numbered(assets))
    components = {number: _component(number, asset) for number, asset, _ in parts}
    root = Component(name=licenses.shown(made.name), type=ComponentType.DATA, version=made.plan, bom_ref=SET,
                     properties=_properties({f"synthgen:{key}": text for key, text in made.facts.items()}))  # fmt: skip
    bom = Bom(components=[*components.values(), *_libraries(made.libraries)],
              serial_number=uuid5(NAMESPACE_URL, f"synthgen:{made.plan}:{made.created}"))  # fmt: skip
    bom.metadata.component = root
    bom.metadata.timestamp = datetime.fromisoformat(made.created)
    bom.metadata.tools.components.add(Component(name="synthgen", type=ComponentType.APPLICATION, version=__version__))
    bom.register_dependency(root, [components[number] for number, _, above in parts if not above])
    for number, _, _ in parts:
        bom.register_dependency(components[number], [components[n] for n, _, above in parts if above == number])
    return _with_cards(json.loads(JsonV1Dot6(bom).output_as_string()), parts)


def _numbered(assets: Sequence[Asset], above: str = "") -> Iterator[tuple[str, Asset, str]]:
    """Every asset with a number of its own, such as 2.1, and that of the asset that learned from it."""
    for place, asset in enumerate(assets, 1):
        number = f"{above}.{place}" if above else f"asset-{place}"
        yield number, asset, above
        yield from _numbered(asset.trained_on, number)


def _component(number: str, asset: Asset) -> Any:
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType

    digest = {"synthgen:digest": asset.sha256} if asset.sha256 and asset.kind != "adapter" else {}
    stated = {key: getattr(asset, key) for key in ("owner", "credit", "source", "expires")}
    facts = {"synthgen:kind": asset.kind, **digest, **{f"synthgen:{key}": text for key, text in stated.items() if text}}
    file_hash = asset.kind == "adapter" and _SHA256.match(asset.sha256)
    return Component(
        name=licenses.shown(asset.name) or asset.kind,
        type=ComponentType.MACHINE_LEARNING_MODEL if asset.kind in MODELS else ComponentType.DATA,
        bom_ref=number,
        licenses=[_license(asset)],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=asset.sha256)] if file_hash else (),
        properties=_properties(facts),
    )


def _license(asset: Asset) -> Any:
    """An SPDX id or expression where it is one, else a name."""
    from cyclonedx.contrib.license.factories import LicenseFactory

    stated = licenses.shown(asset.license) or "unknown"
    record = licenses.licenses_of(asset)
    return LicenseFactory().make_from_string(record[0].id if len(record) == 1 and " OR " not in stated else stated)


def _properties(facts: Mapping[str, str]) -> list[Any]:
    from cyclonedx.model import Property

    return [Property(name=key, value=licenses.shown(text)) for key, text in sorted(facts.items())]


def _libraries(versions: Mapping[str, str]) -> list[Any]:
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    return [
        Component(name=name, version=version, type=ComponentType.LIBRARY, bom_ref=f"library-{name}",
                  purl=PackageURL("pypi", None, name, version))
        for name, version in sorted(versions.items())
    ]  # fmt: skip


def _with_cards(bom: dict[str, Any], parts: Sequence[tuple[str, Asset, str]]) -> str:
    """The bill with a model card at each model and the kind of data at each set."""
    by_number = {number: asset for number, asset, _ in parts}
    for component in bom.get("components", []):
        number = component["bom-ref"]
        asset = by_number.get(number)
        if asset is None:
            continue
        if asset.kind in MODELS:
            learned = [{"ref": n} for n, other, above in parts if above == number and other.kind not in MODELS]
            component["modelCard"] = {"modelParameters": {"datasets": learned} if learned else {}}
        else:
            component["data"] = [_data(asset)]
    bom["metadata"]["component"]["data"] = [{"type": "dataset", "name": bom["metadata"]["component"]["name"]}]
    return json.dumps(bom, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _data(asset: Asset) -> dict[str, Any]:
    owner = licenses.shown(asset.owner)
    governance = {"governance": {"owners": [{"organization": {"name": owner}}]}} if owner else {}
    return {"type": "dataset", "name": licenses.shown(asset.name) or asset.kind, **governance}
