"""What can be wrong with a corpus, and what each fault means for the results.

findings    the catalogue of faults, and a finding as it is reported
table       faults that the manifest alone shows: labels, leakage, order, lengths
balance     how often each class occurs, and what always guessing one class would score
meld        MELD's known faults, by name
clips       the facts of each clip, gathered by workers
media       faults that the clips show
files       files below the root that no row names
show        findings for a person to read
"""
