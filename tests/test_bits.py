"""What must agree to the bit is compared on programs compiled as users run them."""

import os
import subprocess
import sys
from pathlib import Path


def test_bits_agree_with_the_compiler_at_its_default():
    """Every test marked `bits`, without the suite's flag for the compiler (conftest)."""
    tests = Path(__file__).parent
    files = [str(p) for p in tests.glob('test_*.py') if 'mark.bits' in p.read_text()]
    command = [sys.executable, '-m', 'pytest', '-q', '-n', '0', '-m', 'bits', *files]
    environment = {**os.environ, 'XLA_FLAGS': ''}
    done = subprocess.run(
        command, cwd=tests.parent, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
