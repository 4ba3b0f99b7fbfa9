"""cache.h5, format version 1: the one file that stage 1 seals and stage 2 reads.

docs/cache_format.md says what a file MUST and MAY hold.
"""

from dualstream.pipeline.cache.file import open_cache, read_cache, read_cache_and_digest, write_cache
from dualstream.pipeline.cache.model import FORMAT_VERSION, UNLABELLED, Cache, StoredProjection, Stream, Utterances
from dualstream.pipeline.cache.rules import check

__all__ = [
    "FORMAT_VERSION",
    "UNLABELLED",
    "Cache",
    "StoredProjection",
    "Stream",
    "Utterances",
    "check",
    "open_cache",
    "read_cache",
    "read_cache_and_digest",
    "write_cache",
]
