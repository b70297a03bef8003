"""LPIPS."""
