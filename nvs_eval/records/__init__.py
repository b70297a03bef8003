"""Records: results of one run under one protocol, on disk and in memory. Nothing here imports torch or numpy."""
