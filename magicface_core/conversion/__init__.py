"""Weights of others turned into safetensors, once and safely."""
