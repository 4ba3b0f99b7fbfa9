"""One file, one command, one main function. A step imports nouns, never a step."""
