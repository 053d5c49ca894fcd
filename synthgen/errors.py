"""Everything that synthgen refuses or fails to do, as one family.

SynthgenError                 exit 1  the run failed; what is finished is kept
├── RequestError              exit 2  the request is wrong: a bad option, folder, file or name
│   ├── UnknownName           exit 2  no such member, pipeline, adapter, base; the nearest name is offered
│   ├── UnreadableImage       exit 2  a file that is no picture, or one that is refused
│   └── UnfitAdapter          exit 2  adapter file or folder that must not, or cannot, be used here
└── Refused                   exit 3  a licence or a gate says no

A message says where, what was found, what was wanted, what to do, and what is untouched.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SynthgenError(Exception):
    """The run failed. Catch this to catch every error that synthgen raises on purpose."""

    exit_code = 1


class RequestError(SynthgenError):
    """The request cannot be carried out as it was made; nothing was changed."""

    exit_code = 2


class UnreadableImage(RequestError):
    """A file that was offered as a picture and is none, is broken, or is refused."""


class UnfitAdapter(RequestError):
    """An adapter that is unsafe to read, broken, or made for another base."""


class Refused(SynthgenError):
    """A licence or a gate says no."""

    exit_code = 3


class UnknownName(RequestError):
    """A name that no member, pipeline, adapter or base has."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f"; did you mean '{near[0]}'?" if near else "."
        listed = ", ".join(names) if names else "none"
        super().__init__(f"{kind} has no '{name}'{hint} Known: {listed}.")
        self.name = name
        self.nearest = near[0] if near else None
