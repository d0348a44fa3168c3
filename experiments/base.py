"""The fields that every experiment has, with the thesis's common settings (chapter 7)."""

import ml_collections
from ml_collections import config_dict


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.experiment = 'base'
    config.seed = 0  # initialisation and training noise

    config.data = ml_collections.ConfigDict()
    config.data.name = 'mnist5k'
    config.data.seed = 0  # splits, pairs and the order of minibatches
    config.data.num_pairs = 500
    # Whom the streams of one modality draw from: the rest, each example seen in one of them, or
    # 'all', pairs or not.
    config.data.unpaired = 'rest'
    # How minibatches reach the devices: 'resident', 'tfdata', or None for what suits the data
    # set. Both give the same bytes.
    config.data.feed = config_dict.placeholder(str)
    # The options of MNIST.
    config.data.view = 'halves'
    config.data.limit = 0  # of each split; 0 for all
    config.data.edge_colours = 'separate'  # of coloured MNIST, or 'mixed'
    config.data.train_digits = ()  # () for all
    config.data.test_digits = ()

    config.model = ml_collections.ConfigDict()
    config.model.network = 'conv'
    config.model.latent_dim = 64
    config.model.hidden = 128
    config.model.feature_maps = 16
    config.model.strides = (2, 1, 2, 2, 1)
    config.model.last_layer = 'block'  # of the conv decoder, or 'pointwise'
    config.model.masked_blocks = 3  # of the autoregressive network
    config.model.masked_size = 3
    config.model.masked_gates = False  # not the thesis's, like the next
    config.model.flow_steps = 0  # of inverse autoregressive flow, 0 for a Gaussian posterior

    config.objective = ml_collections.ConfigDict()
    config.objective.name = 'joint'
    # lambda; None is what `mmvae.objectives.OBJECTIVES` has for the objective
    config.objective.joint_weight = config_dict.placeholder(float)
    config.objective.free_bits = 0.0  # psi, nats a latent dimension
    config.objective.num_samples = 1  # S
    config.objective.kl_warmup = 0  # updates in which the KL's weight rises from 0 to 1

    config.optimizer = ml_collections.ConfigDict()
    config.optimizer.learning_rate = 0.001
    config.optimizer.momentum = 0.9
    config.optimizer.decay = 0.9
    # Not the thesis's, and off.
    config.optimizer.halving = 0  # updates in which the learning rate halves
    config.optimizer.averaging = 0.0  # decay of the parameters' average that is evaluated

    config.train = ml_collections.ConfigDict()
    config.train.num_updates = 1000
    config.train.eval_every = 250
    config.train.log_every = 50
    config.train.updates_per_call = 0  # 0: 1 on a CPU, up to 25 elsewhere
    config.train.patience = 0  # evaluations without a better bound; 0: never stop early
    config.train.batch = ml_collections.ConfigDict()
    config.train.batch.paired = 64  # of each stream that observes several modalities
    config.train.batch.unpaired = 128  # of each stream that observes one
    config.train.batch.by_stream = ''  # other sizes, as in 'x+y=32,x=64'

    config.eval = ml_collections.ConfigDict()
    config.eval.seed = 0
    config.eval.batch_size = 250
    config.eval.train_examples = 1000  # pairs whose bounds are tracked
    config.eval.validation_examples = 0  # 0 for all
    config.eval.iw_samples = 100  # K
    config.eval.iw_examples = 0  # of the test set; 0 for all
    config.eval.iw_chunk = 10  # samples decoded at a time
    return config
