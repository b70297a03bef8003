"""Sentences about comparisons: a module a topic, its sentences as templates at the top."""
