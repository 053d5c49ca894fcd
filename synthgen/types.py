"""The nouns that pass from room to room: frozen dataclasses, standard library only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Rights:
    """What is known of the rights in a set of photos. Empty means not stated."""

    owner: str = ""
    license: str = "unknown"  # SPDX id, LicenseRef-..., or "unknown"
    source: str = ""
    consent: str = ""
    ethics: str = ""
    credit: str = ""
    expires: str = ""  # ISO date after which the grant ends


@dataclass(frozen=True)
class Photo:
    """One readable photo of a set."""

    path: Path
    sha256: str  # of the file's bytes
    width: int  # px, after EXIF orientation
    height: int  # px, after EXIF orientation
    category: str
    caption: str = ""
    duplicate_of: str = ""  # file name of the near-duplicate that is kept instead
    group: str = ""  # what may not straddle two splits, such as a patient; "" where none is stated
    split: str = ""  # "train", "validation" or "test" where a table says so


@dataclass(frozen=True)
class ImageSet:
    """A folder of photos that was read and checked: one concept."""

    folder: Path
    photos: tuple[Photo, ...]
    category: str  # one of vocabulary.CATEGORIES, or "" where it could not be told
    rights: Rights
    digest: str  # sha256 over the sorted sha256s of the photos
    skipped: tuple[tuple[str, str], ...] = ()  # (file name, reason)


@dataclass(frozen=True)
class Taught:
    """What adapters have learned, as far as the words and the axes of a domain depend on it."""

    triggers: str = ""  # the words that mean it, a space between them
    category: str = ""  # a garment, or a condition
    modality: str = ""  # kind of medical picture
    styles: tuple[str, ...] = ()  # of further adapters, said after the subject
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # axis -> values that captions have told
    grey: bool = False  # every picture that was learned from is grey


@dataclass(frozen=True)
class Recipe:
    """A pipeline file, checked: what to vary and how to say it."""

    name: str
    domain: str
    prompt: str  # template with {axis} and {subject} fields
    negative_prompt: str
    axes: Mapping[str, tuple[str, ...]]
    settings: Mapping[str, Any]  # num_inference_steps, guidance_scale, controlnet_conditioning_scale, size, batch
    gates: Mapping[str, str]  # gate name -> "reject" | "measure" | "off"
    source: Path | None = None


@dataclass(frozen=True)
class AdapterUse:
    """An adapter and the strength at which it is used."""

    name: str
    path: Path
    weight: float = 1.0
    blocks: tuple[tuple[str, float], ...] = ()  # (start of a module's name, factor on the weight there)

    def strength(self, place: str) -> float:
        """The strength at a module, such as "unet.up_blocks.1...": the longest start that fits says the factor."""
        fitting = [(len(start), factor) for start, factor in self.blocks if f"{place}.".startswith(f"{start}.")]
        return self.weight * max(fitting)[1] if fitting else self.weight


@dataclass(frozen=True)
class Job:
    """One picture to make. Its id is the digest of everything else in it."""

    id: str
    index: int
    prompt: str
    negative_prompt: str
    seed: int  # 0 <= seed < 2**53
    requested: Mapping[str, str]  # axis -> value, `pose` among them
    category: str = ""
    attempt: int = 0


@dataclass(frozen=True)
class Into:
    """A photo that is drawn into."""

    shown: Any  # (s, s, 3) uint8: what of it the base sees
    mask: Any = None  # (s, s) uint8: 255 where it is drawn anew, else 0; None: everywhere
    whole: Any = None  # (h, w, 3) uint8: the photo that what is drawn is put back into
    alpha: Any = None  # (h, w) uint8: how much of what is drawn counts; 0 keeps the photo's own bytes
    box: tuple[int, int, int] = (0, 0, 0)  # left, top, side in px of `whole`: the part shown, maybe beyond its edges


@dataclass(frozen=True)
class Guide:
    """What a picture is drawn along, beside its words."""

    controls: Mapping[str, Any] = field(default_factory=dict)  # kind -> (s, s, 3) uint8, what its ControlNet is shown
    into: Into | None = None
    references: tuple[Any, ...] = ()  # (h, w, 3) uint8 each: pictures that the base is shown beside the words
    told: tuple[Mapping[str, Any], ...] = ()  # of each file that went in: kind, file, sha256 and more


@dataclass(frozen=True)
class Picture:
    """A rendered job."""

    job: Job
    pixels: Any  # (h, w, 3) uint8 sRGB numpy array
    guide: Guide = field(default_factory=Guide)
    drawn: Mapping[str, Any] = field(default_factory=dict)  # device, batch, row in it, batch_tolerance_levels
    watermark: Mapping[str, str] = field(default_factory=dict)  # name and payload of an invisible mark in the pixels


@dataclass(frozen=True)
class RunFacts:
    """What a gate may know of the run it is asked in."""

    folder: Path
    adapters: tuple[AdapterUse, ...]
    settings: Mapping[str, Any]
    use: str = "internal"
    jobs: Sequence[Job] = ()
    redraw: Any = None  # image-to-image: (n, s, s, 3) uint8 pixels, n jobs, strength, settings -> pixels
    label_judge: Path | None = None  # folder of the CLIP or SigLIP that reads labels; None: the embedded judge


@dataclass(frozen=True)
class Judgement:
    """What one gate says of one picture."""

    gate: str
    accepted: bool
    reason: str = ""
    measured: Mapping[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True)
class Asset:
    """Something that goes into a picture and brings a licence with it."""

    kind: str  # "base" | "adapter" | "photos" | "poses" | "reference" | "control"
    name: str
    license: str
    sha256: str = ""
    trained_on: tuple[Asset, ...] = ()
    expires: str = ""
    owner: str = ""
    credit: str = ""
    source: str = ""
    consent: str = ""  # of who is pictured, or of an ethics committee


@dataclass(frozen=True)
class Verdict:
    """May these assets together serve this use, and why."""

    use: str
    answer: str  # "deny" | "unknown" | "review" | "conditional" | "allow"
    reasons: tuple[str, ...]
    conditions: tuple[str, ...] = ()
    reading: str = "strict"  # "strict" | "lenient"
    assets: tuple[Asset, ...] = ()  # what was asked about
    share_alike: tuple[str, ...] = ()  # ids of the licences that demand it
    prohibited_uses: tuple[str, ...] = ()  # tags
    revenue_limit_usd: int | None = None  # the least of all thresholds
    expires: str = ""  # the earliest end of a grant


@dataclass(frozen=True)
class LabelledPicture:
    """A picture on the disk with what is known of it: synthetic or real."""

    path: Path
    label: str  # never empty
    split: str  # "train", "validation", "test", or "" where none is stated
    group: str  # what may not straddle two splits: a lineage group, a patient, else the file itself
    labels: Mapping[str, str]  # every other column that has a value in this row


@dataclass(frozen=True)
class LabelledSet:
    """A folder of pictures with one label each."""

    folder: Path
    name: str
    label: str  # the column that the labels came from; "folder" where they are the names of sub-folders
    pictures: tuple[LabelledPicture, ...]


@dataclass(frozen=True)
class FoundPicture:
    """A labelled picture in somebody's data set, on its way in. Empty means not stated."""

    name: str  # file name without folder
    content: Path | bytes
    label: str = ""
    split: str = ""
    group: str = ""
    cells: Mapping[str, str] = field(default_factory=dict)  # the other columns
    skipped: str = ""  # the reason why it cannot be brought in
