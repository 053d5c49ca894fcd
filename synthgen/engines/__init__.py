"""Where jobs run."""

from synthgen.engines._drawer import Work

__all__ = ["Work"]
