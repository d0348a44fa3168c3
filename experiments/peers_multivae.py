"""MultiVae 1.0.3 on the halves of digits that experiments/peers.py writes: trains its models and measures them.

python3 -m venv PEER
PEER/bin/pip install torch==2.13.0
PEER/bin/pip install torch==2.13.0 torchvision==0.28.0 multivae==1.0.3
PEER/bin/python experiments/peers_multivae.py FOLDER [SEED ...]

An environment of its own, without JAX. FOLDER has halves-SEED.npz; each training writes multivae-MODEL-SEED.json there,
and what has one is not trained again. Where FOLDER has check-NAME.npz, posteriors and decoders of a model of ours, they
are measured by the functions that measure theirs, and check-NAME.json has what came of it.
"""

import json
import logging
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

if not torch.version.cuda:  # torchvision, which MultiVae imports, asks for operators of CUDA builds
    _operators = torch.library.Library('torchvision', 'DEF')
    for _name in ('nms', 'qnms'):
        _operators.define(f'{_name}(Tensor boxes, Tensor scores, float threshold) -> Tensor')

from multivae import models  # noqa: E402
from multivae.data.datasets import IncompleteDataset, MultimodalBaseDataset  # noqa: E402
from multivae.models.nn.default_architectures import MultipleHeadJointEncoder  # noqa: E402
from pythae.models.base.base_utils import ModelOutput  # noqa: E402
from pythae.models.nn.base_architectures import BaseDecoder, BaseEncoder  # noqa: E402

SEEDS = range(4)
NAMES, SHAPE = ('x', 'y'), (1, 14, 28)
LATENT_DIM, HIDDEN = 64, 128
NUM_UPDATES, PAIRED, UNPAIRED = 3000, 64, 128
AVERAGING = 0.995
NUM_SAMPLES = 100

Gaussian = tuple[Tensor, Tensor]  # mean and log variance, [N, D] each
Posterior = Sequence[Gaussian]  # the equal mixture of these
Decoder = Callable[[Tensor], Tensor]  # z, [N, D] -> logits, [N, *SHAPE]


class Encoder(BaseEncoder):
    """[N, *SHAPE] -> mean and log variance, [N, D]."""

    def __init__(self):
        super().__init__()
        self.latent_dim = LATENT_DIM
        self.network = nn.Sequential(
            nn.Flatten(), nn.Linear(math.prod(SHAPE), HIDDEN), nn.ELU(), nn.Linear(HIDDEN, HIDDEN), nn.ELU()
        )  # fmt: skip
        self.mean, self.log_variance = nn.Linear(HIDDEN, LATENT_DIM), nn.Linear(HIDDEN, LATENT_DIM)

    def forward(self, x: Tensor) -> ModelOutput:
        h = self.network(x)
        return ModelOutput(embedding=self.mean(h), log_covariance=self.log_variance(h))


class BernoulliDecoder(BaseDecoder):
    """[..., D] -> logits, [..., *SHAPE]."""

    def __init__(self):
        super().__init__()
        self.network = nn.Sequential(
            nn.Linear(LATENT_DIM, HIDDEN), nn.ELU(), nn.Linear(HIDDEN, HIDDEN), nn.ELU(),
            nn.Linear(HIDDEN, math.prod(SHAPE)),
        )  # fmt: skip

    def forward(self, z: Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=self.network(z).view(*z.shape[:-1], *SHAPE))


def _make(name: str, joint_encoder: bool = False, **settings) -> models.BaseMultiVAE:
    config = getattr(models, f'{name}Config')(
        n_modalities=2, latent_dim=LATENT_DIM, input_dims=dict.fromkeys(NAMES, SHAPE),
        decoders_dist=dict.fromkeys(NAMES, 'bernoulli'), **settings,
    )  # fmt: skip
    networks = {
        'encoders': {n: Encoder() for n in NAMES},
        'decoders': {n: BernoulliDecoder() for n in NAMES},
    }
    if joint_encoder:  # the library's, whose layers would have 512 units
        networks['joint_encoder'] = MultipleHeadJointEncoder(
            networks['encoders'], config, hidden_dim=HIDDEN, n_hidden_layers=1
        )
    return getattr(models, name)(config, **networks)


# The prior N(0, I) and Gaussian posteriors for all; a warm-up of one epoch is none, for training is epoch 2.
_NORMAL = {'prior_and_posterior_dist': 'normal', 'learn_prior': False}
MODELS = {
    'MVTCAE, alpha 0.1': ('MVTCAE', {'alpha': 0.1, 'beta': 1.0}),
    'MVTCAE, alpha 0.9': ('MVTCAE', {'alpha': 0.9, 'beta': 1.0}),
    'MoPoE': ('MoPoE', {}),
    'MVAE': ('MVAE', {'warmup': 1, 'use_subsampling': False}),
    'JMVAE, pairs alone': ('JMVAE', {'warmup': 1, 'alpha': 0.1, 'joint_encoder': True}),
    'MMVAE': ('MMVAE', {**_NORMAL, 'K': 1}),
}


def posteriors(
    model: models.BaseMultiVAE, x: Mapping[str, Tensor]
) -> tuple[Posterior, dict[str, Posterior]]:
    """q(z | x, y), and q(z | each modality), of the kind that the model is trained with."""
    kind = model.model_name
    experts = {n: model.encoders[n](x[n]) for n in NAMES}
    experts = {n: (e.embedding, e.log_covariance) for n, e in experts.items()}
    zeros = torch.zeros_like(experts['x'][0])
    prior = [(zeros, zeros)]
    single = {n: [product([experts[n], *prior]) if kind == 'MVAE' else experts[n]] for n in NAMES}
    if kind == 'JMVAE':
        joint = model.joint_encoder(x)
        return [(joint.embedding, joint.log_covariance)], single
    product_with_prior = product([*experts.values(), *prior])
    joint = {
        'MVAE': [product_with_prior],
        'MVTCAE': [product([*experts.values()])],
        'MMVAE': [*experts.values()],
        'MoPoE': [*experts.values(), product_with_prior],
    }
    return joint[kind], single


def product(experts: Sequence[Gaussian]) -> Gaussian:
    precisions = [torch.exp(-log_variance) for _, log_variance in experts]
    precision = sum(precisions)
    mean = sum(p * mean for p, (mean, _) in zip(precisions, experts, strict=True)) / precision
    return mean, -torch.log(precision)


# Measuring


def log_density(z: Tensor, gaussian: Gaussian) -> Tensor:
    """log N(z), [N], in nats."""
    mean, log_variance = gaussian
    terms = (z - mean) ** 2 * torch.exp(-log_variance) + log_variance + math.log(2 * math.pi)
    return -0.5 * terms.sum(-1)


def draw(posterior: Posterior, k: int, generator: torch.Generator) -> Tensor:
    """The k-th of several samples, [N, D]: of component k mod their number."""
    mean, log_variance = posterior[k % len(posterior)]
    return mean + torch.exp(log_variance / 2) * torch.randn(mean.shape, generator=generator)


def log_likelihood(decoder: Decoder, z: Tensor, x: Tensor) -> Tensor:
    """log p(x | z), [N]."""
    losses = functional.binary_cross_entropy_with_logits(decoder(z), x, reduction='none')
    return -losses.flatten(1).sum(1)


@torch.no_grad()
def measure(
    joint: Posterior, single: Mapping[str, Posterior], decoders: Mapping[str, Decoder],
    x: Mapping[str, Tensor],
) -> dict[str, float]:  # fmt: skip
    """The numbers of the page, in nats: means over the test digits."""
    generator = torch.Generator().manual_seed(0)
    count = math.ceil(NUM_SAMPLES / len(joint)) * len(joint)  # equally many of each component
    zeros = torch.zeros_like(joint[0][0])
    weights = []
    for k in range(count):
        z = draw(joint, k, generator)
        log_q = torch.logsumexp(torch.stack([log_density(z, q) for q in joint]), 0)
        log_p = sum(log_likelihood(decoders[n], z, x[n]) for n in NAMES)
        weights.append(log_p + log_density(z, (zeros, zeros)) - log_q + math.log(len(joint)))
    weights = torch.stack(weights).double()
    numbers = {
        'digits': weights.shape[1], 'samples': count,
        'log_p_xy': log_mean_exp(weights), 'joint_bound': weights.mean().item(),
    }  # fmt: skip
    for source, target in (NAMES, NAMES[::-1]):
        likelihoods = [
            log_likelihood(decoders[target], draw(single[source], k, generator), x[target])
            for k in range(NUM_SAMPLES)
        ]
        numbers[f'nll_{target}_from_{source}'] = -log_mean_exp(torch.stack(likelihoods).double())
    return numbers


def log_mean_exp(weights: Tensor) -> float:
    """The mean over examples of log 1/K sum_k exp(weight), for weights [K, N]."""
    return (torch.logsumexp(weights, 0) - math.log(len(weights))).mean().item()


def measure_model(model: models.BaseMultiVAE, x: Mapping[str, Tensor]) -> dict[str, float]:
    model.eval()
    decoders = {n: lambda z, n=n: model.decoders[n](z).reconstruction for n in NAMES}
    with torch.no_grad():
        return measure(*posteriors(model, x), decoders, x)


def measure_ours(arrays: Mapping[str, np.ndarray], x: Mapping[str, Tensor]) -> dict[str, float]:
    """The numbers of a model of ours, from its posteriors and the weights of its decoders."""
    tensors = {name: torch.from_numpy(arrays[name]) for name in arrays}

    def posterior(name):  # [components, N, D]
        return [*zip(tensors[f'mean_{name}'], 2 * tensors[f'log_scale_{name}'], strict=True)]

    def decoder(name):
        def decode(z):
            for i in range(3):
                weights, bias = (tensors[f'{part}_{name}_{i}'] for part in ('weights', 'bias'))
                z = z @ weights + bias
                z = functional.elu(z) if i < 2 else z
            return z.view(-1, *SHAPE)

        return decode

    single, decoders = {n: posterior(n) for n in NAMES}, {n: decoder(n) for n in NAMES}
    return measure(posterior('xy'), single, decoders, x)


# Training


def read(path: Path) -> dict[str, Tensor]:
    """The arrays of halves-SEED.npz as [N, *SHAPE], grey levels in [0, 1]."""
    with np.load(path) as arrays:
        tensors = {name: torch.from_numpy(arrays[name]).permute(0, 3, 1, 2).float() for name in arrays}  # fmt: skip
    return {n: t if n.startswith('test') else t / 255 for n, t in tensors.items()}


def minibatches(count: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Rows, [size]: epoch after epoch in a new order."""
    rows = torch.empty(0, dtype=torch.long)
    while True:
        while len(rows) < size:
            rows = torch.cat([rows, torch.randperm(count, generator=generator)])
        yield rows[:size]
        rows = rows[size:]


def batches(
    data: Mapping[str, Tensor], pairs_alone: bool, generator: torch.Generator
) -> Iterator[MultimodalBaseDataset]:
    """Minibatches, binarised afresh: 64 pairs and, unless `pairs_alone`, 128 of each half."""

    def binary(name, rows):
        return torch.bernoulli(data[name][rows], generator=generator)

    paired = minibatches(len(data['pairs_x']), PAIRED, generator)
    unpaired = {n: minibatches(len(data[f'unpaired_{n}']), UNPAIRED, generator) for n in NAMES}
    for rows in paired:
        parts = {n: [binary(f'pairs_{n}', rows)] for n in NAMES}
        if pairs_alone:
            yield MultimodalBaseDataset({n: part for n, (part,) in parts.items()})
            continue
        masks = {n: [torch.ones(PAIRED)] for n in NAMES}
        for seen in NAMES:
            seen_values = binary(f'unpaired_{seen}', next(unpaired[seen]))
            for n in NAMES:
                parts[n].append(seen_values if n == seen else torch.zeros_like(seen_values))
                masks[n].append(torch.full((UNPAIRED,), float(n == seen)))
        yield IncompleteDataset(
            {n: torch.cat(part) for n, part in parts.items()},
            {n: torch.cat(mask).bool() for n, mask in masks.items()},
        )


def train(name: str, data: Mapping[str, Tensor], seed: int) -> list[dict]:
    """Trains one of `MODELS`; gives a row with the last parameters, and one with their average."""
    torch.manual_seed(seed)
    model = _make(MODELS[name][0], **MODELS[name][1])
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(AVERAGING))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
    generator = torch.Generator().manual_seed(seed)
    stream = batches(data, model.model_name == 'JMVAE', generator)
    started, averaging = time.process_time(), 0.0
    for _ in range(NUM_UPDATES):
        optimizer.zero_grad()
        model(next(stream), epoch=2).loss.backward()
        optimizer.step()
        updated = time.process_time()
        averaged.update_parameters(model)
        averaging += time.process_time() - updated
    seconds = time.process_time() - started
    test = {n: data[f'test_{n}'] for n in NAMES}
    rows = ((0.0, model, seconds - averaging), (AVERAGING, averaged.module, seconds))
    return [
        {'library': 'MultiVae', 'model': name, 'seed': seed, 'averaging': decay,
         **measure_model(of, test), 'seconds': used}
        for decay, of, used in rows
    ]  # fmt: skip


def main(folder: Path, seeds: Sequence[int]) -> None:
    torch.set_num_threads(1)
    logging.disable(logging.INFO)
    for seed in seeds:
        data = read(folder / f'halves-{seed}.npz')
        for name in MODELS:
            place = folder / f'multivae-{name.replace(", ", "-").replace(" ", "_")}-{seed}.json'
            if not place.exists():
                rows = train(name, data, seed)
                place.write_text(json.dumps(rows, indent=1) + '\n')
                print(*map(json.dumps, rows), sep='\n', flush=True)
    for path in folder.glob('check-*.npz'):
        with np.load(path) as arrays:
            data = read(folder / f'halves-{arrays["seed"]}.npz')
            test = {n: data[f'test_{n}'] for n in NAMES}
            numbers = measure_ours({n: arrays[n] for n in arrays if n != 'seed'}, test)
        path.with_suffix('.json').write_text(json.dumps(numbers, indent=1) + '\n')


if __name__ == '__main__':
    main(Path(sys.argv[1]), [int(seed) for seed in sys.argv[2:]] or SEEDS)
