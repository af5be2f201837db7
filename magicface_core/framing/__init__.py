"""Which face, where: choosing, cropping, and what the model is shown of it."""
