"""What a fusion variant is, the registry that finds them all, and what any of them may be wrapped in."""
