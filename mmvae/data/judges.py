"""Judges: what tells a label by the values of one modality, to say how good translations are.

A data set brings its own judge of a label (`DataSet.judges`), or one is learned from the training
examples whose label is known. Values are as `Modality.shown` gives them.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from mmvae.data.dataset import DataSet, spread

Judge = Callable[[np.ndarray], np.ndarray]  # [N, ...] -> classes [N]
MOST = 10_000  # examples to learn from; fewer where they have more than 10^8 numbers


def judge_of(data: DataSet, label: str, modality: str) -> Judge | None:
    """The judge of a label in a modality; None where fewer than two classes are known."""
    if label in data.judges:
        return data.judges[label](modality)
    rows = data.training_rows(modality)
    classes = data.labels_of(label, modality, rows)
    rows, classes = rows[classes >= 0], classes[classes >= 0]
    if len(np.unique(classes)) < 2:
        return None
    (of,) = (m for m in data.modalities if m.name == modality)
    if of.is_label and np.array_equal(data.arrays[modality][rows], classes):
        return lambda values: values.argmax(-1)  # the modality is the label
    numbers = data.shown(modality, rows[:1]).size
    some = spread(len(rows), min(MOST, 10**8 // numbers))
    return learn(data.shown(modality, rows[some]), classes[some])


def learn(
    values: np.ndarray, classes: np.ndarray,
    features: Callable[[np.ndarray], np.ndarray] = lambda values: values,
) -> Judge:  # fmt: skip
    """A network of one layer of 200 units, trained on features of the values.

    It makes 30 passes, more over less than 1,000 examples.
    """
    from sklearn.neural_network import MLPClassifier

    flat = lambda values: np.float32(features(values).reshape(len(values), -1))  # noqa: E731
    passes = max(30, 30_000 // len(values))
    network = fit(MLPClassifier((200,), max_iter=passes, random_state=0), flat(values), classes)
    return lambda values: network.predict(flat(values))


def fit(classifier: Any, features: np.ndarray, classes: np.ndarray) -> Any:
    """The classifier, fitted; that it stops at its last pass is the setting, not a fault."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return classifier.fit(features, classes)
