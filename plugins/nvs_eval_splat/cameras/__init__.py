"""Cameras and references of the data of splats: COLMAP, Blender, nerfstudio and INRIA's cameras.json."""
