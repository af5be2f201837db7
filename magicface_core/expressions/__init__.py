"""What is asked of a face: deltas, presets, animations, and their files."""
