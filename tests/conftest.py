"""The tests compile the same small programs again and again: keep them for the session."""

import os
import tempfile

_cache = tempfile.TemporaryDirectory(prefix='mmvae-tests-')
# Before JAX is imported, and for the processes that the tests start.
os.environ['JAX_COMPILATION_CACHE_DIR'] = _cache.name
os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0'
os.environ['JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES'] = '-1'
