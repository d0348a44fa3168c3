"""What pyproject.toml and requirements.txt say of the same packages."""

import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
# What the package does without: launch.py's flags, the tests and the linter.
NOT_OF_THE_PACKAGE = {'absl-py', 'ml-collections', 'pytest', 'pytest-xdist', 'ruff'}


def read(lines):
    """Name -> specifier and marker."""
    requirements = map(Requirement, lines)
    return {r.name: (str(r.specifier), str(r.marker)) for r in requirements}


def test_requirements_are_those_of_the_package_and_of_launch_py():
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
    of_package = read([*project['dependencies'], *project['optional-dependencies']['tfdata']])
    lines = [
        line.partition(' #')[0] for line in (ROOT / 'requirements.txt').read_text().splitlines()
    ]
    every = read(line for line in lines if line and not line.startswith('#'))
    assert {name: r for name, r in every.items() if name not in NOT_OF_THE_PACKAGE} == of_package
    assert set(every) - set(of_package) == NOT_OF_THE_PACKAGE


def test_the_tested_versions_satisfy_the_requirements():
    lines = (ROOT / '.ci' / 'constraints.txt').read_text().splitlines()
    tested = {
        r.name.lower().replace('_', '-'): next(iter(r.specifier)).version
        for r in map(Requirement, filter(None, lines))
    }
    for line in (ROOT / 'requirements.txt').read_text().splitlines():
        text = line.partition(' #')[0]
        if not text or text.startswith('#'):
            continue
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate():
            assert requirement.specifier.contains(
                tested[requirement.name.lower().replace('_', '-')]
            )
