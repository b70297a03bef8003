"""The demo: a small scene made from formulas, and a short training on it."""
