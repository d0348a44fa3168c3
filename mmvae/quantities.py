"""What the reported numbers are, and their means over examples: the rows of results.json.

A number has fields, not a name that says it all. In nats, with x and y for any two modalities:

  kind                 of   given  posterior
  bound                x           x          (4.7)
                       x+y         x+y        (4.9)
                       x+y         x          (4.13), and (4.14) with the posterior given y
  kl, reconstruction                          the parts of each bound
  importance-weighted  x           x          log 1/K sum_k p(x, z_k) / q(z_k|x), likewise of x+y
  translation          y    x      x          log 1/K sum_k p(y|z_k), z_k ~ q(z|x): a bound, in
                                              expectation, on the log predictive density of
                                              translating x; z_k ~ r(z|x) where the posterior is
                                              'translator given x'
  ignoring             y    x      prior      the same with z_k ~ p(z): what a translation that
                                              ignores x reaches
  conditional          y    x                 the importance-weighted of x+y less that of x: an
                                              estimate of log p(y|x), no bound

and of a label y, whose class is read as the most likely one of p(y|x) = 1/K sum_k p(y|z_k) with the z_k of
the translation, as shares of 1:

  accuracy             y    x      x          how many are read right
  calibration          y    x      x          the expected calibration error of that p: `calibration`
"""

import functools
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np


class Quantity(NamedTuple):
    """What a number is; every example has one.

    Modalities are their names in the data's order, joined by '+': compared, never taken apart.

    Attributes:
      kind: one of those above.
      of: the modalities whose log-density it is about.
      given: those that are conditioned on, '' for none.
      posterior: what z is drawn from: the posterior given these modalities, 'mixture of x, y' of
        each one's in equal parts, 'mixture of products of x, y' of their products', 'translator
        given x', or 'prior'. A bound and its parts name the modalities alone, whatever the form of
        their posterior.
      modality: whose reconstruction it is, '' of other kinds.
    """

    kind: str
    of: str
    given: str = ''
    posterior: str = ''
    modality: str = ''

    def column(self, names: Sequence[str]) -> str:
        """What metrics.jsonl, TensorBoard and CSV files call it, where the modalities are `names`.

        Such as 'joint_bound', 'translation_xy_kl', 'x_reconstruction_x', 'y_given_x_iw'; where a
        name has several letters 'translation_from_day_kl', 'night_given_day_iw'.
        """
        letters = all(len(name) == 1 for name in names)
        of, given = (f.replace('+', '') if letters else f for f in (self.of, self.given))
        is_of_all = len(names) > 1 and self.of == joined(names)
        if self.given:
            what = of if self.kind == 'ignoring' and len(names) == 2 else f'{of}_given_{given}'
        elif is_of_all and letters and self.posterior in names:
            what = f'translation_{self.posterior}{"".join(n for n in names if n != self.posterior)}'
        elif is_of_all and self.kind != 'importance-weighted' and self.posterior != self.of:
            what = f'translation_from_{self.posterior}'
        else:
            what = 'joint' if is_of_all else of
        endings = {'importance-weighted': 'iw', 'conditional': 'iw', 'ignoring': 'from_prior'}
        return (
            f'{what}_{endings.get(self.kind, self.kind)}{"_" * bool(self.modality)}{self.modality}'
        )


joined = '+'.join


def subsets(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Every subset of the modalities by what a `Quantity` calls it: {'x': ('x',), 'x+y': ...}."""
    sizes = range(1, len(names) + 1)
    return {joined(s): s for size in sizes for s in itertools.combinations(names, size)}


def bounds(
    names: tuple[str, ...], sources: Sequence[tuple[str, ...]]
) -> dict[tuple[tuple[str, ...], tuple[str, ...]], list[Quantity]]:
    """(of, source) of every bound -> the bound, its KL and its reconstructions.

    From each source on its own modalities, and on all of them.
    """
    pairs = [(source, source) for source in sources if source != names]
    pairs += [(names, source) for source in sorted(sources, key=lambda s: s != names)]
    parts = {}
    for of, source in pairs:
        fields = joined(of), '', joined(source)
        reconstructions = [Quantity('reconstruction', *fields, name) for name in of]
        parts[of, source] = [Quantity('bound', *fields), Quantity('kl', *fields), *reconstructions]
    return parts


def from_columns(row: Mapping[str, Any], names: Sequence[str]) -> dict[Quantity, Any]:
    """The bounds and their parts in a row of metrics.jsonl."""
    every = itertools.chain(*bounds(tuple(names), list(subsets(names).values())).values())
    return {q: row[column] for q in every if (column := q.column(names)) in row}


def table(
    values: Mapping[Quantity, np.ndarray], rows: Mapping[str, np.ndarray], groups: np.ndarray,
    samples: int = 1, examples: str = 'all',
) -> list[dict[str, Any]]:  # fmt: skip
    """A row for each quantity: its fields, which examples, mean, stderr, n, samples, groups.

    Where many are paired with many, examples share the array rows of a modality. A number about
    some modalities counts each combination of their array rows once, however many examples have
    it: n is how many combinations there are.

    Args:
      values: of each example, [N].
      rows: modality -> the array row of each example, [N].
      groups: which examples belong together and are no independent draws, [N]: equal numbers.
      samples: K.
      examples: 'all', or 'fewer' where the K-sample numbers are of fewer.
    """
    names_of, lines = subsets(list(rows)), []
    # Of few sets of modalities there are many quantities.
    weights_of = functools.cache(lambda names: weights([rows[name] for name in sorted(names)]))
    for quantity, v in values.items():
        names = frozenset(names_of[quantity.of] + names_of.get(quantity.given, ()))
        mean, stderr, n, count = average(v, weights_of(names), groups)
        numbers = {'mean': mean, 'stderr': stderr, 'n': n, 'samples': samples, 'groups': count}
        lines.append({**quantity._asdict(), 'examples': examples, **numbers})
    return lines


def weights(rows: Sequence[np.ndarray]) -> np.ndarray:
    """1 / how many examples have an example's combination of array rows, [N]."""
    _, place, counts = np.unique(np.stack(rows), axis=1, return_inverse=True, return_counts=True)
    return 1 / counts[place.ravel()]


def average(
    values: np.ndarray, weights: np.ndarray, groups: np.ndarray
) -> tuple[float, float | None, int, int]:
    """The weighted mean, its standard error, the sum of the weights, and the number of groups.

    With G groups g the error is, as is usual for clusters,

      stderr^2 = G / (G - 1) sum_g (sum_{i in g} w_i (v_i - mean))^2 / (sum_i w_i)^2

    which is the variance over n where each value is a group of weight 1. None for one group.
    """
    total = weights.sum()
    mean = weights @ values / total
    sums = np.bincount(np.unique(groups, return_inverse=True)[1], weights * (values - mean))
    count = len(sums)
    error = float(np.sqrt(count / (count - 1) * sums @ sums) / total) if count > 1 else None
    return float(mean), error, round(total), count


def calibration(
    confidence: np.ndarray, is_right: np.ndarray, weights: np.ndarray, bins: int = 15
) -> np.ndarray:
    """Of each example, [N], what the expected calibration error is the weighted mean of.

    With equal bins b of the confidence, which is the probability of the most likely class (Guo et al.,
    2017), the error is

      sum_b (w_b / w) |accuracy_b - confidence_b|

    An example's part is its own (right - confidence), with the sign that its bin has. So the error's
    standard error is that of a mean, with the signs held as they are. Of few examples the calibration
    error is above 0 even where the probabilities are right: of n in a bin by about
    0.8 sqrt(confidence (1 - confidence) / n).
    """
    which = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = is_right - confidence
    return np.sign(np.bincount(which, weights * gaps, bins))[which] * gaps


def means(lines: Sequence[Mapping[str, Any]]) -> dict[Quantity, float]:
    """Of a table: quantity -> mean."""
    return {quantity_of(line): line['mean'] for line in lines}


def quantity_of(row: Mapping[str, Any]) -> Quantity:
    return Quantity(*(row[field] for field in Quantity._fields))


def find(rows: Sequence[Mapping[str, Any]], **fields: str) -> Mapping[str, Any] | None:
    """The first row with these fields, None where there is none."""
    return next((row for row in rows if all(row[f] == v for f, v in fields.items())), None)
