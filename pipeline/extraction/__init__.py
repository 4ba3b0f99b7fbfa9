"""Stage 1 from a manifest to cache.h5: the recipe and its fingerprint, clips to shards, shards to one cache.

Read shard_making.py for the way that a clip takes, then cache_making.py for what becomes of its rows.
"""
