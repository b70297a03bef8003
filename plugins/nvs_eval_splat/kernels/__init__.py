"""Compiled parts of the rasteriser for CPUs. Importing a module here compiles it, or loads it from numba's cache."""
