"""Training of MagicFace (installed as ``magicface_training``)."""
