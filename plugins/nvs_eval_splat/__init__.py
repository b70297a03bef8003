"""The Gaussian splatting plugin of nvs-eval: models, cameras and rasterisers of splats.

Entry points load its modules one by one, so that importing the package costs nothing.
"""
