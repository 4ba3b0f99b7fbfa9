"""dualstream in a checkout: ``python cli.py COMMAND``."""

from dualstream.__main__ import main

if __name__ == "__main__":
    main()
