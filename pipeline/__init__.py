"""Everything that touches the disk: nouns (this folder) and steps (one file a command)."""
