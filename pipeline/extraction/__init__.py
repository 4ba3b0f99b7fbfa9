"""Stage 1 from a manifest to cache.h5: the recipe and its fingerprint, clips to shards, shards to one cache.

Read build_shards.py and clip_workers.py for the way that a clip takes, then build_cache.py for what becomes of its
rows.
"""
