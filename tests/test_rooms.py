"""The rooms of the house: who may import whom."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# A module imports from lower layers only.
LAYERS = {
    'types': 0,
    'config': 1, 'keys': 1, 'distributions': 1, 'layers': 1, 'parallel': 1, 'checkpoint': 1,
    'metrics': 1, 'process': 1,
    'optimizer': 2, 'tables': 2, 'autoregressive': 2, 'flows': 2, 'data.pairing': 1, 'data.coloured_mnist': 1, 'data.mnist': 2,
    'networks': 3, 'data': 3, 'data.streams': 3,
    'fusion': 4,
    'model': 5,
    'objectives': 6,
    'evaluate': 7, 'train': 8, 'stacked': 9, 'representation': 8, 'translation': 9, 'figures': 10,
    'jobs': 9, 'run': 11, 'finished': 12, 'sweep': 12, 'summary': 13,
    '__init__': 14,
}  # fmt: skip
# The only file that may name these.
OWNERS = {
    'pmap': 'parallel.py',
    'orbax': 'checkpoint.py',
    'submitit': 'jobs.py',
    'ml_collections': None,
}


def modules():
    for path in sorted((ROOT / 'mmvae').rglob('*.py')):
        name = '.'.join(path.relative_to(ROOT / 'mmvae').with_suffix('').parts)
        yield (name.removesuffix('.__init__') if name != '__init__' else name), path


def imports(path):
    """Full names of all that a file imports, also inside its functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f'{node.module}.{alias.name}' for alias in node.names)


def room(name):
    """The module of this package that an imported name is or lies in, or None."""
    if name.split('.')[0] != 'mmvae':
        return None
    parts = name.split('.')[1:]
    return next(
        '.'.join(parts[:n]) for n in range(len(parts), 0, -1) if '.'.join(parts[:n]) in LAYERS
    )


def test_every_module_has_a_layer():
    assert {name for name, _ in modules()} == set(LAYERS)


@pytest.mark.parametrize(
    ('name', 'path'), list(modules()), ids=lambda value: str(value).split('/')[-1]
)
def test_a_module_imports_from_lower_layers(name, path):
    for imported in imports(path):
        other = room(imported)
        if other is not None:
            assert LAYERS[other] < LAYERS[name], f'{name} imports {imported}'


@pytest.mark.parametrize('word', OWNERS)
def test_some_names_have_one_owner(word):
    for _, path in modules():
        if path.name != OWNERS[word]:
            names = {
                n.attr
                for n in ast.walk(ast.parse(path.read_text()))
                if isinstance(n, ast.Attribute)
            }
            assert word not in names, path
            assert word not in {part for i in imports(path) for part in i.split('.')}, path


def test_no_import_needs_tensorflow():
    names = [f'mmvae.{name}'.removesuffix('.__init__') for name in LAYERS]
    code = (
        'import sys\n'
        "sys.modules['tensorflow'] = sys.modules['tensorflow_datasets'] = None\n"
        f'import launch, {", ".join(names)}\n'
    )
    subprocess.run([sys.executable, '-c', code], cwd=ROOT, check=True)
