"""Where views come from: folders of images here, trained checkpoints by a plugin."""
