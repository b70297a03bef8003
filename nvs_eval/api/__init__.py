"""Python functions for the commands, with the same names. They print nothing."""
