"""A bundle: a run with the road that leads to it, in one folder that answers for any clip and needs nothing else.

folder.py keeps it, road.py takes a clip along it; the others are what goes in (inputs) and what comes out.
"""
