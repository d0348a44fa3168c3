"""Run as `python -m tests.on_devices COUNT OUT.npz [HOST:PORT PROCESSES WHICH]`: on so many forced CPU devices.

These are of this process, or of several together. An update by gradient descent, on 4 devices also
without one of the means over them, or with the rows of the first process in all; and the training
loop and the Evaluator.
"""

import os
import sys


def main(count, path, coordinator=None, processes='1', which='0'):
    # After the suite's, see conftest.
    own = count // int(processes)
    os.environ['XLA_FLAGS'] += f' --xla_force_host_platform_device_count={own}'
    import numpy as np

    from mmvae.system import parallel

    if coordinator:
        parallel.join(coordinator, int(processes), int(which))
    assert parallel.device_count() == count
    results = {**updates(count), **loop_and_evaluator(path)}
    if parallel.is_first():
        np.savez(path, **results)
    if coordinator:
        parallel.wait_for_all('the end')
        parallel.leave(0)


def updates(count):
    """Parameters after an update from the same start, and the losses with and without free bits."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    import optax

    from mmvae import train
    from mmvae.data import streams as feeds
    from mmvae.data.streams import ResidentFeed, make_streams
    from mmvae.model.vae import MultimodalVAE
    from mmvae.system import parallel
    from tests import small

    data = small.make_data()
    config = small.make_config(
        model__network='dense', train__batch__paired=8, train__batch__unpaired=8
    )
    model = MultimodalVAE(data.modalities, config.model)
    streams = make_streams(data, config.train.batch, config.data.seed)
    feed = ResidentFeed(data, streams, count)
    initial = train.initial_state(config, model, train.initial_pixels(config, data))
    constants = parallel.replicate(feed.constants)
    whole_mean, own_part = parallel.mean_over_devices, feeds.own_part

    def is_gradient(tree):
        return isinstance(tree, dict) and 'encoders_x' in tree

    variants = {
        'right': whole_mean,
        'gradient of one device': lambda tree: tree if is_gradient(tree) else whole_mean(tree),
        'free bits of one device': lambda tree: whole_mean(tree) if is_gradient(tree) else tree,
    }
    if parallel.is_one_of_several():
        variants['rows of the first process'] = whole_mean
    psi = 1.2  # between the KLs of the dimensions

    def sgd(rate, step):
        return optax.sgd(rate)

    def compile_update():
        update = train.make_update(
            model, sgd, feed.fetch, {s.name: s.number for s in streams}, config.objective,
        )  # fmt: skip
        return parallel.map_update(update)

    def run(update, psi):
        state = train.TrainState(jnp.int32(0), initial.params, sgd(1e-3, 0).init(initial.params))
        state = parallel.replicate(jax.device_get(state))
        hyper = train.hyperparameters(config, 2)._replace(free_bits=jnp.float32(psi))
        minibatch = parallel.split(next(feed.minibatches(0)))
        state, logged = update(state, constants, minibatch, parallel.replicate(hyper))
        return state, jax.device_get(logged)

    def flat(params):
        return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(jax.device_get(params))])

    results = {'initial': flat(initial.params)}
    for variant, mean in variants.items():
        if variant != 'right' and count != 4:
            continue
        parallel.mean_over_devices = mean
        if variant == 'rows of the first process':
            feeds.own_part = lambda array: array[: len(array) // 2]
        update = compile_update()
        state, logged = run(update, psi)
        results[variant] = flat(state.params)
        if variant == 'right':
            parallel.check_replicas(state)
            _, plain = run(update, psi=0.0)
            results |= {'loss': logged['loss'], 'plain loss': plain['loss']}
            kls = {s: plain[f'{s}_kl'] for s in ('paired', 'x', 'y')}
            results['all floored'] = sum(
                (0.3 if s == 'paired' else 1.0) * (psi * 3 - kl) for s, kl in kls.items()
            )
    parallel.mean_over_devices, feeds.own_part = whole_mean, own_part
    return results


def loop_and_evaluator(path):
    """What the loop writes call by call, and the Evaluator's numbers of 13 examples, before and after."""
    from pathlib import Path

    import numpy as np

    from mmvae import evaluate, train
    from mmvae.model.vae import MultimodalVAE
    from mmvae.system import metrics, parallel
    from mmvae.system.checkpoint import open_checkpoints
    from tests import small

    # With a random subset of the modalities of each example, a label, and a flow of all posteriors.
    data = small.make_data((*small.BINARY, small.MIXED[-1]))
    config = small.make_config(
        objective__name='mvae', model__posterior='product', model__flow='shared',
        model__flow_steps=1, model__network='dense', train__batch__paired=8,
        train__batch__unpaired=0, train__num_updates=8, train__updates_per_call=2,
        train__log_every=2, train__eval_every=4, data__feed='resident',
    )  # fmt: skip
    model = MultimodalVAE(data.modalities, config.model, 'product')
    folder = Path(path).with_suffix('')
    folder.mkdir(exist_ok=True)
    with open_checkpoints(folder / 'c', not parallel.is_first()) as checkpoints:
        train.train(config, model, data, folder, checkpoints)
        params = checkpoints.restore_latest(train.abstract_state(config, model)).state.evaluated
    rows = metrics.read_metrics(folder / 'metrics.jsonl')
    assert [row['step'] for row in rows if row['kind'] == 'updates'] == [2, 4, 6, 8]
    written = [v for row in rows for k, v in row.items() if k not in ('kind', 'seconds')]
    test = evaluate.examples_of(data, 'test')
    evaluator = evaluate.Evaluator(model, config.eval)
    start = train.initial_state(config, model, train.initial_pixels(config, data)).params
    results = {'rows': np.array(written)}
    for name, measured in (('start', start), ('report', params)):
        report = evaluate.report(evaluator, measured, 'test', test, config.eval)
        assert {row['n'] for row in report} == {len(test.index)}
        results[name] = np.array([v for row in report for v in (row['mean'], row['stderr'])])
    return results


if __name__ == '__main__':
    main(int(sys.argv[1]), *sys.argv[2:])
