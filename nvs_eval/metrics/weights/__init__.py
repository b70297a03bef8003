"""The weights of LPIPS: search, verification and installation."""
