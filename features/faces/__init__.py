"""Whose face: shots, faces, tracks of faces, and which of them talks, on the clip's clock.

parts       how detectors and scorers are registered, and built from files of weights
detection   what a face detector is, and the registry of detectors/ (one file each)
shots       cuts, on small pictures
tracks      faces that are one, from detection to detection, and their boxes at any instant
scoring     what a scorer of "who talks" is, and the registry of scorers/ (one file each)
choice      which face a window's row shows
watching    one pass over a clip's pictures: all of the above, and the crops
region      the option ``--region``: settings, and what an encoder of crops is
"""
