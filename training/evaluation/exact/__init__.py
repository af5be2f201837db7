"""Protocols on rendered people, where the exact answer to an edit is known."""
