"""What the commands share of the command line: options, failures, and how words become settings.

Nothing heavy comes in with options.py and command.py, so that `--help` is quick.
"""
