"""Files of trained splats: which steps a model has, what its files say about rendering, and its Gaussians."""
