"""PSNR, and the mean squared error that it is made of."""
