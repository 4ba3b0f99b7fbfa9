"""One file a corpus, with one function `rows(root)` that yields its utterances."""
