"""What can be wrong with a corpus, and what each fault means for the results.

catalogue   every fault: its name, how grave it is, what it means for the results
findings    a fault that was found, with its cases
limits      from where on the doctor speaks up
leakage     what splits share, by the manifest alone
table       labels, turns and lengths, by the manifest alone
balance     how often each class occurs, and what always guessing one class would score
meld        MELD's known faults, by name
clips       the facts of each clip, gathered by workers
media       faults that the clips show
files       files below the root that no row names
show        findings for a person to read
"""
