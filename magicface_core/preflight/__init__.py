"""Whether a portrait suits an edit, and what to do about it."""
