"""nerfstudio for nvs-eval: the only package here that imports nerfstudio.

Its modules are imported one by one, by entry point, so that importing the package costs nothing.
"""
