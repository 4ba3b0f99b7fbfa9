"""Media to arrays. Nothing here knows of HDF5, of runs or of heads."""
