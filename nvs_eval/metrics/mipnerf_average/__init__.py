"""The average error of mip-NeRF."""
