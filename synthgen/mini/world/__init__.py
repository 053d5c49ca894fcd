"""The procedural world that the embedded base learns: labelled renders from seeds, no third-party picture in them."""

from synthgen.mini.world.captions import caption, full_caption
from synthgen.mini.world.scene import KINDS, Render, render

__all__ = ["KINDS", "Render", "caption", "full_caption", "render"]
