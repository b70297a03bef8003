"""PSNR, and the mean squared error that it is computed from."""
