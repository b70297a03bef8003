"""Sentences about protocols, metrics and audits: a module a topic, its sentences as templates at the top."""
