"""What can be wrong with a corpus, and what each fault means for the results.

registry    what a rule is given, the decorators that make a function one, and all of them run
rules/      the rules: each with its name, how severe it is, what it means for the results, and what finds it
findings    a rule in words; a fault that was found, with its cases
limits      from where on the doctor speaks up
balance     how often each class occurs, and what always guessing one class would score
clips       the facts of each clip, gathered by workers
files       files below the root that no row names
spans       where an utterance was taken from
tasks       emotion and sentiment as the rules see them
"""
