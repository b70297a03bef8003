"""One module per command, with its options, its calls into the package and its output."""
