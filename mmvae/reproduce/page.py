"""The report of a reproduction: every claim, table and figure of the source beside ours, from results alone."""

import math
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mmvae.analysis import curves
from mmvae.reproduce import html, runs
from mmvae.reproduce.html import code
from mmvae.reproduce.plan import SUMMARY, Claim, Figure, Plan, Run, Section
from mmvae.reproduce.results import NO_RESULT, Number, Results
from mmvae.run import folder as run_folder
from mmvae.system import metrics
from mmvae.system.metrics import markdown_table
from mmvae.types import InputError

PICTURES = 'results'  # the folder beside the page that its pictures lie in
_VERDICTS = ('beaten', 'met', 'not clear', 'differs', 'missed', 'contradicted', 'not run')


def report(plan: Plan, root: Path, workdir: Path | None, out: Path | None = None) -> list[Path]:
    """Writes a page to `out`, report.md and report.html, and gives its paths.

    Of the runs in `workdir`, a run, a sweep or a folder of some, where that is given (and `out` is by default the same).
    Else of the plan, with what is committed in the code's folder `root`; without `out` the pages of that folder, README.md of
    the experiments and the marked lines of its own README.md.

    Raises:
      InputError: there is nothing in `workdir`, or a page cannot be written.
    """
    if workdir and not out and (workdir / 'reproduce.json').exists():
        raise InputError(
            f'--out: not given, and {workdir} has the report of --mode=reproduce; give another folder'
        )
    if workdir:
        return runs.write(workdir, out or workdir)
    experiments = root / plan.experiments
    results = Results(experiments / PICTURES)
    if out:
        return write(plan, results, out)
    paths = experiments / 'README.md', root / 'README.md'
    draw_curves(plan, results, experiments / PICTURES)
    metrics.write_atomically(paths[0], markdown(plan, results))
    metrics.write_atomically(paths[1], renew(paths[1].read_text(), readme_parts(plan, results)))
    return list(paths)


def readme_parts(plan: Plan, results: Results) -> dict[str, str]:
    return {name: make(results) for name, make in plan.readme.items()}


def write(
    plan: Plan, results: Results, folder: Path, failed: Mapping[str, str] | None = None, scale: str = 'cpu'
) -> list[Path]:  # fmt: skip
    """Writes report.md and report.html, and beside them the pictures; gives the two paths.

    Args:
      failed: runs that failed -> why, which the page names.
      scale: at which the results were made. The stories are those of the committed results, of 'cpu'.

    Raises:
      InputError: a result is damaged, or the folder cannot be written.
    """
    text = markdown(plan, results, failed or {}, scale)
    try:
        pictures = folder / PICTURES
        pictures.mkdir(parents=True, exist_ok=True)
        draw_curves(plan, results, pictures)
        for name in re.findall(rf'\]\({PICTURES}/([^)]+)\)', text):
            source = results.path(name)
            if source and source.parent.resolve() != pictures.resolve():
                shutil.copyfile(source, pictures / name)
        for name in re.findall(r'\]\((\w+\.md)\)', text):  # pages beside the committed one
            source = results.folders[-1].parent / name
            if source.is_file() and source.parent.resolve() != folder.resolve():
                shutil.copyfile(source, folder / name)
        return html.write(text, folder)
    except OSError as error:
        raise InputError(f'--out: {folder} cannot be written ({error.strerror})') from error


_OF_SCALE = {
    'smoke': '**Every run here is a toy, on stand-ins of the data: the page shows that all of it runs, and its numbers say nothing.**',
    'cpu': '',
    'gpu': 'The runs of full size, without the stories of the committed ones.',
}


def markdown(
    plan: Plan, results: Results, failed: Mapping[str, str] | None = None, scale: str = 'cpu'
) -> str:
    """The page, the same from the same results."""
    plan = plan.at(scale)
    parts = [
        f'# {plan.title}', plan.text, _OF_SCALE[scale], '## At a glance', _glance(plan, results),
        '## What the thesis says, and what came of it', _claims(plan, results), _HOW_TO_READ,
    ]  # fmt: skip
    if failed:
        lines = [f'* `{name}`: {code(reason)}' for name, reason in sorted(failed.items())]
        parts += ['## Runs that failed', '\n'.join(lines)]
    for section in plan.sections:
        parts += [f'## {section.title}', *_section(plan, section, results)]
    parts += ['## The figures of the thesis', *(_figure(plan, f, results) for f in plan.figures)]
    if plan.missing:
        parts += ['## Not reproduced, and why', plan.missing]
    return '\n\n'.join(filter(None, parts)) + '\n'


_HOW_TO_READ = """\
A bound is in nats, a mean over n test examples +- its standard error; K is the number of samples of an importance-weighted
estimate or of a translation. *Beaten* is by more than two standard errors; *met*, not below by more than that; *missed* and
*contradicted*, of a number and of words, by more than that; *not clear*, words that two standard errors can neither confirm nor
contradict; *differs*, what should be the same and is not. *At reduced size* says in what the run is smaller than the thesis's. The error of
an accuracy is that of n examples and that over three classifiers. The error of one seed leaves out how seeds differ, and that of two is
rough. Seconds are of training alone. FOLDER has `mnist.npz`, `cifar10.npz` and `day_night/`."""


def _glance(plan: Plan, results: Results) -> str:
    done = [run for run in plan.runs if results.has(run.name)]
    single = [results.of(run.name) for run in done if not run.study]
    hours, commits = Counter(), {r['commit'] for r in single if r.get('commit')}
    for result in single:
        hours[_device(result)] += result['seconds'] / 3600
    counts = Counter(verdict(claim, results) for claim in plan.claims)
    rows = [
        ('what', 'so far'),
        ('runs', f'{len(single)} of {sum(not run.study for run in plan.runs)} single runs, '
                 f'{len(done) - len(single)} of {sum(bool(run.study) for run in plan.runs)} sweeps'),
        ('hardware', ', '.join(f'{device}: {h:.1f} hours' for device, h in sorted(hours.items())) + ', training of single runs'),
        ('seeds', 'one of each run; those of a sweep are named with it'),
        ('code', f'{len(commits)} commits, named in each run\'s JSON file'),
        ('claims', ', '.join(f'{counts[v]} {v}' for v in _VERDICTS if counts[v])),
    ]  # fmt: skip
    return markdown_table(rows)


def _claims(plan: Plan, results: Results) -> str:
    rows = [('where', 'claim', 'thesis', 'here', 'n / K / seeds', 'verdict', 'training', 'to run it again')]  # fmt: skip
    for claim in plan.claims:
        run = plan.run(claim.run)
        number, other = _sides(claim, results)
        ours = number.text() if number else NO_RESULT
        if other:
            ours += f' against {other.text()}'
        judged = verdict(claim, results)
        named = [(plan.run(name), what) for name, what in _named(claim)]
        reduced = dict.fromkeys(r.reduced for r, _ in named if r.reduced)
        if reduced and judged != 'not run':
            judged += f', at reduced size: {"; ".join(reduced)}'
        again = [command(r, what) for r, what in named]
        rows.append((
            claim.part, claim.text, claim.source, ours, _counts(number, run), judged, training(run, results),
            f'`{" && ".join(dict.fromkeys(again))}`',
        ))  # fmt: skip
    return markdown_table(rows)


def _named(claim: Claim) -> list[tuple[str, str]]:
    """The runs and numbers of a claim."""
    return [(claim.run, claim.number), *([claim.than] if claim.than else [])]


def _sides(claim: Claim, results: Results) -> tuple[Number | None, Number | None]:
    number = results.find(claim.run, claim.number)
    return number, results.find(*claim.than) if claim.than else None


def _counts(number: Number | None, run: Run) -> str:
    if not number:
        return ''
    if run.study and run.study != SUMMARY:
        return f'- / - / {number.n}'  # a study's file has means over seeds
    return f'{number.n:,} / {number.samples} / 1'


def verdict(claim: Claim, results: Results) -> str:
    """'beaten', 'met' or 'missed' of a number; 'met', 'contradicted' or 'not clear' of words.

    'met' or 'differs' of what is to be the same; 'not run' without a result.
    """
    number, other = _sides(claim, results)
    if not number or (claim.than and not other):
        return 'not run'
    limit = claim.target if other is None else other.mean
    gain = (number.mean - limit) * (-1 if claim.less else 1)
    error = 2 * math.hypot(number.stderr or 0, (other.stderr or 0) if other else 0)
    if claim.alike:
        return 'met' if abs(gain) <= error else 'differs'
    if other is None and not claim.source.startswith('"'):  # a number, not words
        return 'beaten' if gain > error else 'met' if gain >= -error else 'missed'
    return 'met' if gain > error else 'contradicted' if gain < -error else 'not clear'


def _device(result: Mapping[str, Any]) -> str:
    count, _, kind = result['device'].partition(' x ')
    return {'cpu': 'CPU'}.get(kind, f'{count} x {kind}')


def training(run: Run, results: Results) -> str:
    """'62 s, CPU', with what is to be known of it."""
    result = results.of(run.name)
    if run.study or not result:
        return run.aside
    return ', '.join(filter(None, (f'{result["seconds"]:,.0f} s', _device(result), run.aside)))


def data_folder(run: Run, folder: str) -> str:
    """The --data_dir of a run, of a folder that has the data of all."""
    return f'{folder.rstrip("/")}/day_night' if run.data == 'day_night' else folder


def command(run: Run, number: str = '') -> str:
    """What makes a number of a run again, in one line; a study's file has all of its own."""
    launch, workdir = '.venv/bin/python launch.py', f'--workdir=runs/{run.name}'
    where = f' --data_dir={data_folder(run, "FOLDER")}' if run.data else ''
    sweep = ' --mode=sweep' if run.study else ''
    lines = [f'{launch}{sweep} --config=experiments/{run.name}.py{where} {workdir}']
    lines += [f'{launch} --mode={mode} {workdir}' for mode in run.modes if number.startswith(mode)]
    if run.study not in ('', SUMMARY):
        files = f'--csv={run.name}.csv --figure={run.name}.png'
        lines.append(f'.venv/bin/python -m {run.study} {files} runs/{run.name}')
    return ' && '.join(lines)


def _section(plan: Plan, section: Section, results: Results) -> list[str]:
    parts = [section.text]
    singles = [name for name in section.runs if not plan.run(name).study and results.of(name)]
    if section.columns and singles:
        parts.append(runs_table(plan, singles, section.columns, results))
    for name, make in section.studies.items():
        if rows := results.rows(name):
            parts += [markdown_table(make(rows)), picture(name, section.title, results)]
    parts.append(section.notes)
    notes = {name: plan.run(name).note for name in section.runs}
    parts += [f'**`{name}`** {results.text(note)}' for name, note in notes.items() if note]
    traced = [name for name in singles if results.of(name).get('curve')]
    if traced:
        parts.append(
            f'![Validation bounds over updates and over seconds]({PICTURES}/{curves_file(section)})'
        )
    if untraced := [f'`{name}`' for name in singles if name not in traced]:
        parts.append(f'No curve was kept of {", ".join(untraced)}.')
    return parts


def runs_table(
    plan: Plan, names: Iterable[str], columns: Mapping[str, str], results: Results
) -> str:  # fmt: skip
    """A row a run: the numbers asked for, updates, training, seed and commit."""
    rows = [('run', *columns, 'updates', 'training', 'seed', 'commit')]
    for name in names:
        result = results.of(name)
        cells = [results.find(name, what) for what in columns.values()]
        of_all = result['config']['train']['num_updates']
        updates = f'{result["updates"]:,}' + (
            f' of {of_all:,}' if result['updates'] < of_all else ''
        )
        rows.append((
            f'`{name}`', *(n.text() if n else '' for n in cells), updates,
            training(plan.run(name), results), str(result['config']['seed']), (result.get('commit') or '')[:7],
        ))  # fmt: skip
    filled = [any(column) for column in zip(*rows[1:], strict=True)]
    return markdown_table(
        [[c for c, keep in zip(row, filled, strict=True) if keep] for row in rows]
    )


def _figure(plan: Plan, figure: Figure, results: Results) -> str:
    parts = [f'### Figure {figure.number}: {figure.text}', results.text(figure.note)]
    for name in figure.pictures:
        run = plan.run(name.partition('.')[0])
        result = results.of(run.name)
        if results.path(f'{name}.png') and result:
            parts.append(picture(name, figure.text, results))
            parts.append(
                f'`{run.name}`, update {result["step"]:,}, seed {result["config"]["seed"]}, '
                f'{training(run, results)}: `{command(run)}`'
            )
        else:
            parts.append(f'No picture of `{run.name}` is there.')
    return '\n\n'.join(filter(None, parts))


def picture(name: str, text: str, results: Results) -> str:
    """An image of the page, nothing where there is none."""
    return f'![{text}]({PICTURES}/{name}.png)' if results.path(f'{name}.png') else ''


def curves_file(section: Section) -> str:
    return f'curves-{html.anchor(section.runs[0])}.png'


def draw_curves(plan: Plan, results: Results, folder: Path) -> None:
    """Draws the training of each section's runs."""
    for section in plan.sections:
        runs = []
        for name in section.runs:
            result = results.of(name)
            if result and result.get('curve'):
                config = run_folder.resolve(result['config'])
                names = tuple(m.name for m in results.modalities(name))
                runs.append(curves.Run(name, config, names, result['curve']))
        if runs:
            curves.draw_training(runs, folder / curves_file(section))


def renew(text: str, parts: Mapping[str, str]) -> str:
    """A text with other lines between its marks, '<!-- NAME -->' and '<!-- /NAME -->'.

    Raises:
      InputError: a mark is not there.
    """
    for name, lines in parts.items():
        pattern = rf'(<!-- {name} -->\n).*?(<!-- /{name} -->)'
        text, count = re.subn(
            pattern, lambda m, lines=lines: f'{m[1]}{lines}\n{m[2]}', text, flags=re.DOTALL
        )
        if count != 1:
            raise InputError(f'README.md: {count} marks {name!r}; wanted: one')
    return text
