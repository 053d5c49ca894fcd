"""Which weights a base is: what is known of it before a tensor is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from synthgen import rights_file
from synthgen.types import Asset, Rights


@dataclass(frozen=True)
class Control:
    """A ControlNet for another condition than poses."""

    kind: str
    folder: Path
    sha256: str
    rights: Rights = field(default_factory=Rights)  # as the user states them


@dataclass(frozen=True)
class Identity:
    """A name, and one hash over every file that decides a picture."""

    id: str
    sha256: str
    license: str
    folder: Path  # of the pipeline's parts; of a single file, the folder of its configuration
    files: Mapping[str, str] = field(default_factory=dict)  # path inside the folder -> sha256
    file: Path | None = None  # the single file that holds the weights
    file_part: str = ""  # the part that it holds; "" for all of them
    beside: str = ""  # the base that the other parts are taken from, where it holds one alone
    beside_rights: Rights | None = None
    controlnet: Path | None = None  # folder of the ControlNet for poses
    controlnet_sha256: str = ""
    controlnet_rights: Rights = field(default_factory=Rights)
    controls: tuple[Control, ...] = ()  # further ControlNets, each of its own kind
    memory: str = "full"  # one of memory_modes.MODES
    rights: Rights | None = None  # what the user states of them; their licence is then `license`
    distilled: str = ""  # what shows that it draws in few steps; "" for a base that can be trained

    def assets(self) -> list[Asset]:
        """What brings a licence: the weights, and the ControlNets that are not inside them."""
        stated = replace(self.rights or Rights(), license=self.license)
        found = [rights_file.asset("base", self.id, stated, self.sha256)]
        if self.beside:
            named = f"{self.beside} (parts beside {self.id})"
            found.append(rights_file.asset("base", named, self.beside_rights or Rights()))
        if self.controlnet and self.controlnet_sha256:
            own = self.controlnet_rights
            found.append(rights_file.asset("control", self.controlnet.name, own, self.controlnet_sha256))
        more = (rights_file.asset("control", one.folder.name, one.rights, one.sha256) for one in self.controls)
        return [*found, *more]

    def told(self) -> dict[str, str]:
        """What a picture's lineage tells of the base."""
        told = {"id": self.id, "sha256": self.sha256, "license": self.license}
        if self.controlnet_sha256:
            told |= {"controlnet_sha256": self.controlnet_sha256, "controlnet_license": self.controlnet_rights.license}
        for one in self.controls:
            told |= {f"controlnet_{one.kind}_sha256": one.sha256, f"controlnet_{one.kind}_license": one.rights.license}
        if self.beside:
            told |= {"parts_of": self.beside, "parts_license": (self.beside_rights or Rights()).license}
        if self.memory != "full":
            told["memory"] = self.memory
        return told

    def control_hash(self) -> dict[str, str]:
        """What decides a run beside the weights: ControlNets that are not inside them, and a precision that is less."""
        told = {"controlnet": self.controlnet_sha256} if self.controlnet_sha256 else {}
        told |= {f"controlnet {one.kind}": one.sha256 for one in self.controls}
        return told if self.memory == "full" else {**told, "memory": self.memory}
