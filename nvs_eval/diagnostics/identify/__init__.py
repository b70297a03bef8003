"""Identification of the protocol that made a tool's numbers, from the renders that they are of."""
