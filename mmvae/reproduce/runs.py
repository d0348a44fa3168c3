"""A page of a user's own runs, to be sent to a colleague: states, bounds, curves and figures, from their folders alone."""

import math
import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmvae.analysis import curves
from mmvae.config import leaves
from mmvae.quantities import find, joined
from mmvae.reproduce import html
from mmvae.reproduce.html import code
from mmvae.run import folder as run_folder
from mmvae.run import measure, provenance, report
from mmvae.sweep import points as sweeps
from mmvae.sweep import summary
from mmvae.sweep.points import Point, value_text
from mmvae.system import metrics, process
from mmvae.system.metrics import markdown_table
from mmvae.types import InputError

PICTURES = 'report'  # the folder beside the page that its pictures lie in
_MOST_IN_A_FIGURE = 10


class Entry(NamedTuple):
    """A folder of the page: a run, or the runs of a sweep, or neither where it cannot be read.

    Its pictures are called NUMBER.NAME.
    """

    number: int
    name: str
    state: str
    outcome: summary.Outcome | None = None
    outcomes: Sequence[summary.Outcome] = ()


def write(workdir: Path, out: Path) -> list[Path]:
    """Writes report.md, report.html and their pictures to `out`; gives the paths of the two.

    Of a run, of a sweep, or of all runs and sweeps that a folder has. What is damaged, still training or of another
    version is named.

    Raises:
      InputError: `workdir` has no run, or `out` cannot be written.
    """
    entries = [_read(i, folder, workdir) for i, folder in enumerate(_folders(workdir))]
    try:
        (out / PICTURES).mkdir(parents=True, exist_ok=True)
        text = _markdown(workdir, entries, out)
        return html.write(text, out)
    except OSError as error:
        raise InputError(
            f'--out: {out} cannot be written ({error.strerror}); give another'
        ) from error


def _folders(workdir: Path) -> list[Path]:
    def has(folder, *names):
        return any(os.path.lexists(folder / name) for name in names)

    if has(workdir, 'config.json', 'sweep.json'):
        return [workdir]
    children = sorted(p for p in workdir.glob('*') if p.is_dir())
    files = 'config.json', 'sweep.json', 'results.json', 'metrics.jsonl', 'checkpoints'
    found = []
    for child in children:
        within = child.glob('*') if has(child, 'reproduce.json') else [child]
        found += sorted(folder for folder in within if has(folder, *files))
    if not found:
        raise InputError(
            f'--workdir: {workdir} has no run; give the folder of a run, of a sweep, or of some'
        )
    return found


def _read(number: int, folder: Path, workdir: Path) -> Entry:
    name = folder.absolute().name if folder == workdir else str(folder.relative_to(workdir))
    is_now = ', training now' if process.is_held(folder) else ''
    try:
        if os.path.lexists(folder / 'sweep.json'):
            outcomes = summary.read(sweeps.read_sweep(folder).points)
            done = sum(o.status == 'finished' for o in outcomes)
            state = f'sweep, {done} of {len(outcomes)} points finished{is_now}'
            return Entry(number, name, state, outcomes=outcomes)
        config = run_folder.read_config(folder)
    except InputError as error:
        reason = run_folder.one_line(error).removeprefix('--workdir: ').replace(f'{folder}', name)
        return Entry(number, name, f'cannot be read: {reason}')
    (outcome,) = summary.read([Point({}, config, folder)])
    state = outcome.status if outcome.status == 'finished' else outcome.status + is_now
    return Entry(number, name, state, outcome)


def _markdown(workdir: Path, entries: Sequence[Entry], out: Path) -> str:
    runs = [e for e in entries if e.outcome]
    varied = _varied(runs)
    rows = [_part(_row, e, varied) or _unknown(e, code('damaged: results.json')) for e in entries]
    counted = Counter(map(_kind, entries))
    parts = [
        f'# Runs in {workdir.absolute().name}',
        f'{", ".join(f"{n} {kind}" for kind, n in counted.items())}. In nats, a mean over test examples +- its standard error; of a run that '
        'is not finished the bound is that of the validation set so far.',
        markdown_table([_HEADING, *rows]),
    ]  # fmt: skip
    parts += _curves(runs, out)
    for entry in entries:
        if entry.outcomes:
            parts += _part(_sweep, entry, out) or _not_shown(entry)
    for entry in runs:
        if entry.state == 'finished':
            parts += _part(_run, entry, out) or _not_shown(entry)
    return '\n\n'.join(filter(None, parts)) + '\n'


def _part(make: Callable[..., Any], entry: Entry, *more: Any) -> Any:
    """A part of the page; None where the files of the folder have not what it needs."""
    try:
        return make(entry, *more)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _not_shown(entry: Entry) -> list[str]:
    return [f'## {code(entry.name)}', 'Its files have not what the page needs.']


def _kind(entry: Entry) -> str:
    if entry.state.startswith(('cannot', 'damaged')):
        return 'cannot be read'
    if entry.outcomes:
        return 'of a sweep'
    return 'finished' if entry.state == 'finished' else 'not finished'


_HEADING = (
    'folder', 'state', 'experiment', 'bound', 'importance-weighted', 'translation', 'updates', 'training', 'commit', 'fields that vary',
)  # fmt: skip


def _varied(runs: Sequence[Entry]) -> dict[str, str]:
    """Run -> the fields in which the runs of its experiment differ, but for those of `eval`, with its values."""
    trees = {e.name: {f: v for f, v, _ in leaves(e.outcome.point.config)} for e in runs}
    texts = {}
    for name, tree in trees.items():
        alike = [t for t in trees.values() if t['experiment'] == tree['experiment']]
        fields = [
            f for f in dict.fromkeys(f for t in alike for f in t)
            if not f.startswith('eval.') and len({str(t.get(f)) for t in alike}) > 1
        ]  # fmt: skip
        texts[name] = ', '.join(f'{f}={value_text(tree[f])}' for f in fields if f in tree)
    return texts


def _unknown(entry: Entry, state: str) -> tuple[str, ...]:
    return (code(entry.name), state, *[''] * (len(_HEADING) - 2))


def _row(entry: Entry, varied: Mapping[str, str]) -> tuple[str, ...]:
    if not entry.outcome:
        return _unknown(entry, entry.state if entry.outcomes else code(entry.state))
    o = entry.outcome
    config, names, test = o.point.config, o.names, o.test
    whole = {'of': joined(names), 'examples': 'all'}
    bounds = [
        r
        for r in test
        if r['kind'] == 'bound' and (r['of'], r['examples']) == tuple(whole.values())
    ]
    bound = find(bounds, posterior=joined(names)) or max(
        bounds, key=lambda r: r['mean'], default=None
    )
    weighted = find(test, kind='importance-weighted', of=joined(names))
    translated = [
        r for r in test if r['kind'] == 'translation' and r['of'].count('+') == len(names) - 2
    ]
    results = run_folder.read_results(o.point.workdir) or {}
    return (
        code(entry.name), entry.state, config.experiment,
        metrics.number(bound, 1) if bound else f'{o.score:.1f} ({o.bound})' if o.score is not None else '',
        metrics.number(weighted, 1) if weighted else '',
        ', '.join(f'{r["of"]} from {r["given"]} {r["mean"]:.1f}' for r in translated),
        str(results.get('updates', '')),
        f'{results["seconds"]:,.0f} s, {results.get("device", "")}' if results else '',
        (results.get('commit') or '')[:7], code(varied[entry.name]) if varied[entry.name] else '',
    )  # fmt: skip


def _curves(runs: Sequence[Entry], out: Path) -> list[str]:
    """A drawing of each group of runs whose bounds can be compared."""
    groups: dict[Any, list[curves.Run]] = {}
    for e in runs:
        config, rows = e.outcome.point.config, _part(_validations, e)
        if rows:
            key = config.data.name, config.data.options, e.outcome.bound
            groups.setdefault(key, []).append(curves.Run(e.name, config, e.outcome.names, rows))
    parts = []
    for number, ((data, _, bound), several) in enumerate(groups.items()):
        for start in range(0, len(several), _MOST_IN_A_FIGURE):
            file = f'{PICTURES}/curves-{number}-{start}.png'
            curves.draw_training(several[start : start + _MOST_IN_A_FIGURE], out / file)
            parts.append(
                f'![{bound} on the validation set of {data}, over updates and seconds]({file})'
            )
    return ['## Training', *parts] if parts else []


def _validations(entry: Entry) -> list[dict[str, Any]]:
    """Those that are finite, which a damaged file's need not be."""
    o = entry.outcome
    rows = measure.read_curve(o.point.workdir, o.names)
    return [row for row in rows if all(map(math.isfinite, row.values()))]


def _sweep(entry: Entry, out: Path) -> list[str]:
    place = out / PICTURES / str(entry.number)
    place.mkdir(exist_ok=True)
    best = summary.best_text(entry.outcomes)
    maps = summary.draw(entry.outcomes, place)
    return [
        f'## {code(entry.name)}', f'A sweep: {entry.state.removeprefix("sweep, ")}.',
        markdown_table(summary.rows_of(entry.outcomes)), f'```\n{best}\n```' if best else '',
        *(f'![{path.stem}]({path.relative_to(out)})' for path in maps),
    ]  # fmt: skip


def _run(entry: Entry, out: Path) -> list[str]:
    workdir = entry.outcome.point.workdir
    results = run_folder.read_results(workdir)
    modalities = run_folder.modalities_of(results, run_folder.resolve(results['config']))
    commands = provenance.read(workdir).get('commands', [])
    parts = [
        f'## {code(entry.name)}', '\n'.join(f'* {line}' for line in report.verdict(results, modalities).splitlines()),
        f'```\n{report.table(results, modalities)}\n```',
        code(commands[-1]['command']) if commands else '',
    ]  # fmt: skip
    for path in sorted(p for p in (workdir / 'figures').glob('*.png') if p.is_file()):
        name = f'{entry.number}.{path.name}'
        shutil.copyfile(path, out / PICTURES / name)
        parts.append(f'![{path.stem}]({PICTURES}/{name})')
    return parts
