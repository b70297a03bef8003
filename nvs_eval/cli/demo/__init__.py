"""The demo: a small procedural scene, and a short training on it."""
