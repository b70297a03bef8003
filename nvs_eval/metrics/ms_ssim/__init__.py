"""MS-SSIM."""
