"""Pixels: reading pictures, resampling, squares cut from them, masks."""
