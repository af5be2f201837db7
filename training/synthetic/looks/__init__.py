"""What people look like: skin, hair, glasses, clothes."""
