"""The convolution weights of LPIPS: found, verified, installed."""
