"""The judge of the embedded base: reads labels, skeleton and garment mask from a picture.

Trained on renders of its own seeds only, never on a generated picture and never used in training the generator.
"""

from synthgen.mini.judge.network import LABELS, Judge, Reading, load

__all__ = ["LABELS", "Judge", "Reading", "load"]
