"""Encoders, a file each: media or tables to rows of features."""
