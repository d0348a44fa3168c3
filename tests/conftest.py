"""The tests compile many small programs: keep them for the session, and optimise them less."""

import os
import tempfile

_cache = tempfile.TemporaryDirectory(prefix='mmvae-tests-')
# Before JAX is imported, and for the processes that the tests start.
os.environ['JAX_COMPILATION_CACHE_DIR'] = _cache.name
os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0'
os.environ['JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES'] = '-1'
# LLVM's optimisations would take 40% of the suite's time. Those marked `bits` have them, test_bits.
os.environ.setdefault('XLA_FLAGS', '--xla_backend_optimization_level=0')
