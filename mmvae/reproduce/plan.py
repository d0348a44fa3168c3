"""What a reproduction consists of: the runs, and what is to be seen in them.

`experiments/reproduce.py` is the thesis's plan, in these words; `work` makes the runs and `page` the report.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

SCALES = ('smoke', 'cpu', 'gpu')
SUMMARY = 'summary'  # the study that `mmvae.sweep.summary` makes of any sweep


class Run(NamedTuple):
    """A run, or the runs of a sweep, behind some tables and figures.

    Attributes:
      name: of its experiment, experiments/NAME.py. Its results are NAME.json, its pictures NAME.FIGURE.png.
      parts: the tables, figures and sections that it is for, besides those whose claims and figures name it.
      scales: of 'cpu' and 'gpu' those that have it; 'smoke' has those of 'cpu'.
      modes: of 'represent' and 'quality' what is measured after its training: NAME.representation.json,
        NAME.translation.json.
      study: of a sweep what makes NAME.csv and NAME.png of its runs: a module that is run as a script, or
        `SUMMARY`; '' of a single run.
      data: what --data_dir has to have: 'mnist', 'cifar10', 'day_night', or '' where nothing.
      minutes: by scale what it takes. It goes before a committed result, which another device may have made.
      reduced: in what it is smaller than the thesis's, '' where it is not.
      aside: what to know of its seconds, such as 'beside other work'.
      note: its story, in Markdown; see `results.Results` for the numbers in braces.
    """

    name: str
    parts: tuple[str, ...]
    scales: tuple[str, ...] = ('cpu', 'gpu')
    modes: tuple[str, ...] = ()
    study: str = ''
    data: str = ''
    minutes: Mapping[str, float] = {}
    reduced: str = ''
    aside: str = ''
    note: str = ''


class Claim(NamedTuple):
    """What the source says, and a number of ours that shows whether it holds here.

    The number is to be at least `target`, or more than the number `than`; with `less`, less; with `alike`
    the same. What names a number is said in `results`.

    Attributes:
      part: the table, figure or section that says it.
      text: what is claimed.
      source: the source's number, or words of it in double quotes.
      run: whose number it is.
      number: which.
      target: what it is compared with; a bound in nats, a share in %.
      than: the run and the number that it is compared with, where that is ours too.
    """

    part: str
    text: str
    source: str
    run: str
    number: str
    target: float | None = None
    than: tuple[str, str] | None = None
    less: bool = False
    alike: bool = False


class Figure(NamedTuple):
    """A figure of the source: its number, what it shows, and the pictures that stand for it, NAME.FIGURE."""

    number: str
    text: str
    pictures: tuple[str, ...] = ()
    note: str = ''


class Section(NamedTuple):
    """A part of the page: a table of runs, more tables, the story of each run, and a drawing of their training.

    Attributes:
      title: its heading.
      runs: their names, in order.
      columns: heading -> the number that stands below it.
      text: in Markdown, before the tables.
      studies: by the name of a sweep what makes a table of the rows of its CSV file, the heading first.
      notes: text below the tables, before the runs' notes.
    """

    title: str
    runs: tuple[str, ...] = ()
    columns: Mapping[str, str] = {}
    text: str = ''
    studies: Mapping[str, Callable[[Sequence[Mapping[str, str]]], Sequence[Sequence[Any]]]] = {}
    notes: str = ''


class Plan(NamedTuple):
    """All of it: what `experiments/reproduce.py` has.

    Attributes:
      title, text: of the page.
      experiments: the folder of the experiments' files.
      missing: what was not reproduced, and why, in Markdown.
      readme: by its mark in README.md a function of the results that gives the lines between the marks.
    """

    title: str
    text: str
    experiments: str
    runs: Sequence[Run]
    claims: Sequence[Claim]
    figures: Sequence[Figure]
    sections: Sequence[Section]
    missing: str
    readme: Mapping[str, Callable[[Any], str]]

    def run(self, name: str) -> Run:
        return next(run for run in self.runs if run.name == name)

    def parts(self, run: Run) -> tuple[str, ...]:
        """The tables, figures and sections of the source that a run is for."""
        parts = list(run.parts)
        for claim in self.claims:
            parts += [claim.part] * (run.name in (claim.run, *(claim.than or ())[:1]))
        parts += [f'figure {f.number}' for f in self.figures if self.pictures(run, f)]
        return tuple(dict.fromkeys(parts))

    def pictures(self, run: Run, figure: Figure | None = None) -> list[str]:
        """The pictures of a run that stand for a figure, or for any."""
        figures = self.figures if figure is None else [figure]
        return [p for f in figures for p in f.pictures if p.partition('.')[0] == run.name]

    def at(self, scale: str) -> 'Plan':
        """The plan of a scale: of others than 'cpu' without what was written about the committed results.

        At 'gpu' NAME_full takes the place of NAME, and a toy is reduced in all.
        """
        if scale == 'cpu':
            return self
        names = {run.name for run in self.runs}

        def of_scale(name: str) -> str:
            return f'{name}_full' if scale == 'gpu' and f'{name}_full' in names else name

        def picture(name: str) -> str:
            run, _, figure = name.partition('.')
            return f'{of_scale(run)}.{figure}'

        toy = {'reduced': 'a toy'} if scale == 'smoke' else {}
        claims = [
            c._replace(run=of_scale(c.run), than=c.than and (of_scale(c.than[0]), c.than[1]))
            for c in self.claims
        ]
        return self._replace(
            runs=[run._replace(aside='', note='', **toy) for run in self.runs],
            claims=claims,
            figures=[
                f._replace(pictures=tuple(map(picture, f.pictures)), note='') for f in self.figures
            ],
            sections=[section._replace(notes='') for section in self.sections],
            missing='',
        )
