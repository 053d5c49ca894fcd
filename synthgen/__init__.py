"""Synthetic, labelled, licensed pictures from a few photos: apparel and medical."""

__version__ = "0.1.0"
