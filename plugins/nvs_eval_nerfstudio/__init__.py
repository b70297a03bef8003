"""The nerfstudio plugin of nvs-eval, and the only package here that imports nerfstudio.

Entry points load its modules one by one, so that importing the package costs nothing.
"""
