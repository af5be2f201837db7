"""Photographs of real people: against the expression they made, and one by one."""
