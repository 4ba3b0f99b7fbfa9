"""What there is to work on: utterances, manifests, importers, checks."""
