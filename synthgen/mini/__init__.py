"""The embedded base: a procedural world, and the small diffusion model that is trained on it from scratch."""
