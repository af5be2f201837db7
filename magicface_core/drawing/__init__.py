"""Text, charts and labelled sheets, drawn with Pillow."""
