"""The commands as functions, with the names of the command line. Nothing is printed."""
