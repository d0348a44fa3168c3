"""The tests compile many small programs: keep them for the session, and optimise them less."""

import gc
import os
import tempfile

# Before JAX is imported, and for the processes that the tests start. One cache for all the
# workers of pytest-xdist, which begin with the environment that this sets in their parent.
if 'PYTEST_XDIST_WORKER' not in os.environ:
    _cache = tempfile.TemporaryDirectory(prefix='mmvae-tests-')
    os.environ['JAX_COMPILATION_CACHE_DIR'] = _cache.name
# What takes less to compile takes as long to write.
os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0.2'
os.environ['JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES'] = '-1'
# LLVM's optimisations would take 40% of the suite's time, MLIR's of fusions another tenth, and
# the division of each program into 32 parts up to a seventh. Those marked `bits` have them, test_bits.
os.environ.setdefault(
    'XLA_FLAGS',
    '--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false '
    '--xla_cpu_parallel_codegen_split_count=1',
)

# Tracing makes many objects and few cycles: looking for those took a tenth of its time.
gc.set_threshold(200_000, 20, 100)
