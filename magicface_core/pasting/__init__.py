"""Edited faces back in their pictures, every other pixel untouched."""
