"""What the shared latent is good for: classifying across modalities (section 7.4.2).

A classifier learns to tell a label, such as the digit, from one modality and is tested on any. What
it is given is the pixels or other values, the means of q(z | modality), of the translator where there
is one, or samples of it. The MLP is
scikit-learn's, with the settings of the author's code; a linear probe (logistic regression) stands
beside it.
"""

import functools
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mmvae import evaluate, keys
from mmvae.data import DataSet
from mmvae.data.judges import fit
from mmvae.evaluate import Examples
from mmvae.model.vae import MultimodalVAE
from mmvae.types import InputError, Params

_log = logging.getLogger(__name__)

SEEDS = 3  # of the MLP


def classify(
    model: MultimodalVAE, params: Params, data: DataSet, seed: int, batch_size: int
) -> list[dict[str, Any]]:
    """Table 7.2: accuracies of telling the data's first label on the test set.

    The classifier learns from the training examples seen in its modality alone, which are the
    unpaired ones (from all that are seen in it where there are none). Examples whose label is not
    known are left out.

    Args:
      seed: of the evaluation, for the samples, and what binary modalities are drawn by.

    Returns:
      For each modality trained on, modality tested on and method ('pixels', where their shapes are
      equal, 'means', 'samples', and 'means, linear'): the label, the posterior of the latents (as a
      `Quantity` says it) of what is tested, '' of pixels, accuracy (the mean over `SEEDS` seeds of the
      classifier) and std over them, n and the number of training examples. Both are shares of 1.

    Raises:
      InputError: there is one modality, no label, or a class is tested on that a classifier has not
        seen.
    """
    if len(model.names) < 2 or not data.labels:
        raise InputError(
            f'--mode=represent: modalities {", ".join(model.names)} and labels '
            f'{", ".join(data.labels) or "none"}; wanted: several modalities and a label'
        )
    label, *_ = data.labels
    shapes = {m.name: m.shown_shape for m in data.modalities}
    learned, tested = {}, {}  # by modality: examples and their classes
    for name in model.names:
        seen = [rows[name] for observed, rows in data.streams.items() if name in observed]
        alone = data.streams.get((name,), {}).get(name, ())
        rows = np.unique(alone if len(alone) else np.concatenate(seen))
        learned[name] = _labelled(data, label, name, rows, rows)
        once, index = np.unique(data.splits['test'][name], return_index=True)
        tested[name] = _labelled(data, label, name, once, index)
    known = {c for _, classes in tested.values() for c in classes.tolist()}
    if len(known) < 2:
        raise InputError(
            f'--mode=represent: {len(known)} classes of {label} are known of the test examples; '
            'wanted: two or more'
        )
    for name, (_, classes) in learned.items():
        if unseen := sorted(known - {*classes.tolist()}):
            raise InputError(
                f'--mode=represent: {label} {", ".join(map(str, unseen))} is tested on, and the '
                f'classifier of {name} has not seen it; wanted: a run whose training examples of '
                f'{name} have every {label}'
            )
    represent = functools.partial(_represent, model, params, data, seed, batch_size)
    test = {name: represent('test', name, examples) for name, (examples, _) in tested.items()}
    rows = []
    for source, (examples, labels) in learned.items():
        train = represent('train', source, examples)
        for method, kind, make, seeds in _METHODS:
            classifiers = [fit(make(s), train[kind], labels) for s in range(seeds)]
            for target, (_, right) in tested.items():
                if kind == 'pixels' and shapes[source] != shapes[target]:
                    continue
                guessed = [c.predict(test[target][kind]) for c in classifiers]
                accuracies = np.mean(np.array(guessed) == right, axis=1)
                posterior = evaluate.posterior_name(model, (target,), translating=True)
                rows.append({
                    'label': label, 'train': source, 'test': target, 'method': method,
                    'posterior': '' if kind == 'pixels' else posterior,
                    'accuracy': float(np.mean(accuracies)),
                    'std': float(np.std(accuracies, ddof=1)) if seeds > 1 else None,
                    'n': len(right), 'num_train': len(labels),
                })  # fmt: skip
                accuracy = rows[-1]['accuracy']
                _log.info(
                    '%s by %s of %s, tested on %s: %.4f', label, method, source, target, accuracy
                )
    return rows


def table(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """The rows of `classify` in per cent, the first row the heading."""
    label = rows[0].get('label')  # older files lack it
    accuracy = f'accuracy ({label})' if label else 'accuracy'
    shown = [('train', 'test', 'method', 'z of', accuracy, 'std', 'n')]
    for row in rows:
        std = '' if row['std'] is None else f'{100 * row["std"]:.2f}'
        shown.append((row['train'], row['test'], row['method'], row.get('posterior', ''),
                      f'{100 * row["accuracy"]:.2f}%', std, str(row['n'])))  # fmt: skip
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


def _labelled(
    data: DataSet, label: str, name: str, rows: np.ndarray, index: np.ndarray
) -> tuple[Examples, np.ndarray]:
    """Examples of one modality and their classes, without those whose class is not known."""
    classes = data.labels_of(label, name, rows)
    known = classes >= 0
    return Examples(data.arrays, {name: rows[known]}, index[known]), classes[known]


def _represent(
    model: MultimodalVAE, params: Params, data: DataSet, seed: int, batch_size: int, split: str,
    name: str, examples: Examples,
) -> dict[str, np.ndarray]:  # fmt: skip
    """What classifiers are given of examples of one modality: kind -> [N, features]."""
    key = keys.evaluation_key(seed, split)
    latents = evaluate.latents(model, params, examples, key, batch_size, translating=True)
    pixels = data.shown(name, examples.rows[name]).reshape(len(examples.index), -1)
    return {
        'pixels': pixels, 'means': latents[f'mean_{name}'], 'samples': latents[f'sample_{name}']
    }  # fmt: skip
