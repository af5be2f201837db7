"""MagicFace as ComfyUI's own MODEL: loading, conditioning, sampling, decoding."""
