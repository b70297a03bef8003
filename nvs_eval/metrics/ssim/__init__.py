"""SSIM."""
