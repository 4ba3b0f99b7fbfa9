"""Face detectors, one file each; they register themselves (detection.py)."""
