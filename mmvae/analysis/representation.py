"""What the shared latent is good for: classifying digits across modalities (section 7.4.2).

A classifier learns to tell digits from one modality and is tested on either. What it is given
is the images' pixels, the means of q(z | modality), or samples of it. The MLP is scikit-learn's,
with the settings of the author's code; a linear probe (logistic regression) stands beside it.
"""

import logging
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mmvae import evaluate, keys
from mmvae.data import DataSet
from mmvae.evaluate import Examples
from mmvae.model.vae import MultimodalVAE
from mmvae.types import InputError, Params

_log = logging.getLogger(__name__)

SEEDS = 3  # of the MLP
Representation = dict[str, dict[str, np.ndarray]]  # kind -> modality -> [N, features]


def classify(
    model: MultimodalVAE, params: Params, data: DataSet, seed: int, batch_size: int
) -> list[dict[str, Any]]:
    """Table 7.2: accuracies on the test set.

    The classifier learns from the training examples seen in its modality alone, which are the
    unpaired ones (from the pairs where there are none).

    Args:
      seed: of the evaluation, for the samples, and what binary modalities are drawn by.

    Returns:
      For each modality trained on, modality tested on and method ('pixels', 'means',
      'samples', and 'means, linear'): accuracy (the mean over `SEEDS` seeds of the classifier)
      and std over them, n and the number of training examples. Both are shares of 1.

    Raises:
      InputError: the modalities differ in shape, so that no classifier could go across, or
        digits are tested on that a classifier has not seen.
    """
    names = tuple(m.name for m in data.modalities)
    if len(names) < 2 or len({m.shape for m in data.modalities}) > 1:
        shapes = ', '.join(f'{m.name} {m.shape}' for m in data.modalities)
        raise InputError(
            f'--mode=represent: the modalities are {shapes}; wanted: several of one shape'
        )
    test_rows = data.splits['test'][names[0]]
    test_labels = data.labels_of('digit', names[0], test_rows)
    rows_of = {}  # those that each classifier learns from
    for source in names:
        unpaired = data.streams.get((source,), {source: ()})[source]
        rows_of[source] = np.sort(unpaired if len(unpaired) else data.streams[names][source])
        labels = data.labels_of('digit', source, rows_of[source])
        if unseen := sorted({*test_labels.tolist()} - {*labels.tolist()}):
            raise InputError(
                f'--mode=represent: the digits {", ".join(map(str, unseen))} are tested on, and '
                f'the classifier of {source} has not seen them; wanted: a run with more training '
                'examples, or whose data.train_digits has them'
            )
    test = _representations(model, params, evaluate.examples_of(data, 'test'), 'test', seed,
                            batch_size)  # fmt: skip
    rows = []
    for source, source_rows in rows_of.items():
        examples = Examples(data.arrays, {source: source_rows}, source_rows)
        train = _representations(model, params, examples, 'train', seed, batch_size)
        labels = data.labels_of('digit', source, source_rows)
        for method, kind, make, seeds in _METHODS:
            classifiers = [fit(make(s), train[kind][source], labels) for s in range(seeds)]
            for target in names:
                guessed = [c.predict(test[kind][target]) for c in classifiers]
                accuracies = np.mean(np.array(guessed) == test_labels, axis=1)
                rows.append({
                    'train': source, 'test': target, 'method': method,
                    'accuracy': float(np.mean(accuracies)),
                    'std': float(np.std(accuracies, ddof=1)) if seeds > 1 else None,
                    'n': len(test_labels), 'num_train': len(labels),
                })  # fmt: skip
                accuracy = rows[-1]['accuracy']
                _log.info('%s of %s, tested on %s: %.4f', method, source, target, accuracy)
    return rows


def table(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """The rows of `classify` in per cent, the first row the heading."""
    shown = [('train', 'test', 'method', 'accuracy', 'std', 'n')]
    for row in rows:
        std = '' if row['std'] is None else f'{100 * row["std"]:.2f}'
        shown.append((row['train'], row['test'], row['method'], f'{100 * row["accuracy"]:.2f}%',
                      std, str(row['n'])))  # fmt: skip
    return shown


def mlp(seed: int) -> Any:
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier(alpha=0.1, max_iter=50, tol=1e-3, random_state=seed)


def linear(seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=200, random_state=seed)


# Method, what it is given, the classifier and its seeds: the linear probe has none.
_METHODS = (
    ('pixels', 'pixels', mlp, SEEDS),
    ('means', 'means', mlp, SEEDS),
    ('samples', 'samples', mlp, SEEDS),
    ('means, linear', 'means', linear, 1),
)


def fit(classifier: Any, features: np.ndarray, labels: np.ndarray) -> Any:
    """The classifier, fitted; that it stops at its 50th pass is the setting, not a fault."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return classifier.fit(features, labels)


def _representations(
    model: MultimodalVAE, params: Params, examples: Examples, split: str, seed: int,
    batch_size: int,
) -> Representation:  # fmt: skip
    """What classifiers are given of examples, for each of their modalities."""
    key = keys.evaluation_key(seed, split)
    latents = evaluate.latents(model, params, examples, key, batch_size)
    return {
        'pixels': {
            n: np.float32(a.reshape(len(a), -1) / 255) for n, a in examples.values().items()
        },
        'means': {n: latents[f'mean_{n}'] for n in examples.rows},
        'samples': {n: latents[f'sample_{n}'] for n in examples.rows},
    }
