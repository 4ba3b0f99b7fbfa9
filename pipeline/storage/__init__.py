"""How bytes stand on the disk: published whole or not at all, under a digest, by one writer at a time.

No other room imports h5py; what a cache, a shard or a run means is not known here.
"""
