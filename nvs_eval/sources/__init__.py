"""Sources of views: folders of images are read here, trained checkpoints by a plugin."""
