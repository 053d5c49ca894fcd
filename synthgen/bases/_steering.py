"""What a family's pictures can be drawn along beside their words, told before anything is loaded."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

from synthgen.bases._identity import Identity
from synthgen.errors import RequestError


class Steering:
    """The part of a family that says what steers it."""

    CONTROLLED: ClassVar[str] = ""  # its class with a ControlNet, "" where diffusers has none
    CONTROLNET: ClassVar[str] = "ControlNetModel"
    STEERED_BY: ClassVar[tuple[str, ...]] = ("pose",)  # conditions that its main ControlNet was trained for
    CONTROL: ClassVar[str] = "image"  # what that pipeline calls the control picture
    SEVERAL: ClassVar[str] = ""  # its class of several ControlNets at once, "" where diffusers has none
    REFERENCE: ClassVar[str] = ""  # what its own pipeline calls pictures to go by, "" where it takes none
    REFERENCE_INTO: ClassVar[str] = ""  # what its class that draws into photos calls one such picture
    REFERENCE_PLACES: ClassVar[int] = 0  # that one of them takes beside the words, at the most
    INTO: ClassVar[Mapping[str, str]] = MappingProxyType({})  # its classes that draw into photos, see `into`
    INTO_ALONG_SEVERAL: ClassVar[bool] = False  # whether those of them with ControlNets take several
    TIMED: ClassVar[bool] = True  # whether a ControlNet may act for a part of the steps only
    WITHOUT_CONTROL: ClassVar[str] = ""  # why there is none, and what to do

    @property
    @abstractmethod
    def name(self) -> str:
        """Name of the family."""

    def conditions(self, identity: Identity) -> dict[str, Path]:
        """Folder of the ControlNet for each condition that it can be steered by."""
        main = dict.fromkeys(self.STEERED_BY, identity.controlnet) if identity.controlnet else {}
        return {**main, **{one.kind: one.folder for one in identity.controls}}

    def check_conditions(self, identity: Identity, asked: Collection[str], part: Collection[str]) -> None:
        """Raises RequestError where pictures cannot be drawn along all of these conditions.

        asked   kinds that are asked for by name
        part    those of them that act for a part of the steps only
        """
        here = self.conditions(identity)
        for kind in (kind for kind in asked if kind not in here):
            if not self.CONTROLLED:
                raise RequestError(f"base '{identity.id}': {self.WITHOUT_CONTROL} Nothing was loaded.")
            raise RequestError(
                f"--condition {kind}: base '{identity.id}' {self.knows(identity)}. Name a ControlNet that was trained "
                f"for it on this base: --controlnet {kind}=FOLDER. Nothing was loaded."
            )
        if len({*here} & {*asked, "pose"}) > 1 and not self.SEVERAL:
            raise RequestError(
                f"base '{identity.id}': its pipeline takes one condition at a time. Leave --controlnet for all but one "
                "out. Nothing was loaded."
            )
        if part and not self.TIMED:
            raise RequestError(
                f"base '{identity.id}': its pipeline has a ControlNet act for all steps; leave :START:END out. Nothing "
                "was loaded."
            )

    def check_references(self, identity: Identity, many: int) -> None:
        """Raises RequestError where pictures cannot be drawn by so many reference pictures."""
        if many and not self.REFERENCE:
            instead = " It is steered by ControlNets: --controlnet, --condition." if self.CONTROLLED else ""
            raise RequestError(
                f"--reference: base '{identity.id}' is of family '{self.name}', whose pipeline takes no reference "
                f"pictures.{instead} Nothing was loaded."
            )

    def into(self, masked: bool, controls: int) -> str:
        """The class that draws into photos, into a part of them, along so many ControlNets; "" where there is none."""
        if controls > 1 and not self.INTO_ALONG_SEVERAL:
            return ""
        return self.INTO.get(("mask" if masked else "photo") + ("+control" if controls else ""), "")

    def keeps(self, base: Any, masked: bool) -> bool:
        """Whether what a mask leaves out must be kept by hand, as the class for masks does not take this network."""
        return False

    def knows(self, identity: Identity) -> str:
        """What it can be steered by, as the end of a sentence."""
        kinds = list(self.conditions(identity))
        return f"has a ControlNet for {' and '.join(kinds)} only" if kinds else "was given no ControlNet"

    def without_control(self, identity: Identity) -> str:
        """Why nothing steers the pose, and what to do about it."""
        if self.CONTROLLED:
            return f"base '{identity.id}' draws without a ControlNet: name one with --controlnet."
        return f"base '{identity.id}': {self.WITHOUT_CONTROL}"
