"""D-SSIM: three dissimilarities that papers report under one name."""
