"""What an edit achieved, measured and drawn."""
