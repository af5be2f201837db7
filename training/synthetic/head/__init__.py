"""The head: shape, pose, action units, landmarks."""
