"""Tensors to decisions. Nothing here knows of files, media or processes."""
