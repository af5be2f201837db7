"""Training of MagicFace (installed as ``magicface_training``), and measuring what came of it."""

from magicface_core.cli import Command

EVALUATE = Command(
    "evaluate",
    "magicface_training.evaluation.cli",
    "measure a checkpoint, as the paper does or exactly",
)
