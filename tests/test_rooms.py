"""The rooms of the house: who may import whom."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import mmvae

ROOT = Path(__file__).parent.parent
# The only file that may name these.
OWNERS = {
    'pmap': 'system/parallel.py',
    'distributed': 'system/parallel.py',
    'orbax': 'system/checkpoint.py',
    'ml_collections': None,
}


def read_order():
    """Room -> its place, from the line of the package's docstring that has the order."""
    (line,) = [line for line in mmvae.__doc__.splitlines() if line.startswith('types < ')]
    groups = [group.split(',') for group in line.split('<')]
    return {room.strip(): place for place, group in enumerate(groups) for room in group}


ORDER = read_order()
MODULES = {
    '.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix('.__init__'): path
    for path in sorted((ROOT / 'mmvae').rglob('*.py'))
}


def get_room(module):
    return module.split('.')[1]


def imports(path):
    """The modules of this package that a file imports, also inside its functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f'{node.module}.{alias.name}' for alias in node.names]
        else:
            continue
        yield from names


def modules_imported(path):
    for name in imports(path):
        parts = name.split('.')
        prefixes = ['.'.join(parts[:n]) for n in range(len(parts), 0, -1)]
        if known := next((p for p in prefixes if p in MODULES), None):
            yield known


def test_every_module_has_a_room_in_the_order():
    assert {get_room(name) for name in MODULES if name != 'mmvae'} == set(ORDER)


@pytest.mark.parametrize('module', [name for name in MODULES if name != 'mmvae'])
def test_a_module_imports_from_earlier_rooms(module):
    room = get_room(module)
    for other in modules_imported(MODULES[module]):
        assert other != 'mmvae', f'{module} imports the package'
        if get_room(other) != room:
            assert ORDER[get_room(other)] < ORDER[room], f'{module} imports {other}'


def test_modules_of_a_room_do_not_import_each_other_in_a_circle():
    graph = {name: set(modules_imported(path)) - {name} for name, path in MODULES.items()}
    while leaves := [name for name, others in graph.items() if not others & set(graph)]:
        for name in leaves:
            del graph[name]
    assert not graph


@pytest.mark.parametrize('word', OWNERS)
def test_some_names_have_one_owner(word):
    for path in MODULES.values():
        if str(path.relative_to(ROOT / 'mmvae')) != OWNERS[word]:
            names = {
                n.attr
                for n in ast.walk(ast.parse(path.read_text()))
                if isinstance(n, ast.Attribute)
            }
            assert word not in names, path
            assert word not in {part for i in imports(path) for part in i.split('.')}, path


def test_no_import_needs_tensorflow():
    code = (
        'import sys\n'
        "sys.modules['tensorflow'] = sys.modules['tensorflow_datasets'] = None\n"
        f'import launch, {", ".join(MODULES)}\n'
    )
    subprocess.run([sys.executable, '-c', code], cwd=ROOT, check=True)
