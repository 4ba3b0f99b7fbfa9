"""Everything that touches the disk: steps (one file a command), the rooms that they use, and the ground below.

    steps
    bundles · training
    extraction · doctor
    importers · show · words
    runs
    cache
    storage
    manifest, utterance, labels, provenance, executors, errors

A room imports the rooms below it alone; the linter holds that (pyproject.toml).
"""
