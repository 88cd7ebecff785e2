"""Trains some steps, with others if the environment says so, and keeps what came out.

python -m tests.hosts_steps OUT STEPS
"""

import sys
import zlib

import jax
import numpy as np

from configs import quickstart
from jaxseg import distributed, initialization, sharding, train
from jaxseg.data import inputs
from jaxseg.methods import base


def main(out, num_steps):
    with distributed.start(distributed.find_launch()):
        kept = steps(make_config(), num_steps)
        np.savez(f"{out}.{jax.process_index()}.npz", **kept)


def make_config():
    config = quickstart.get_config("tiny").to_dict()
    config["total_steps"] = 20
    config["schedule"]["warmup_steps"] = 0
    # Adam's first step is the sign of the gradient, that is of rounding where it is 0.
    config["optimizer"] = dict(name="sgd", momentum=0.9, weight_decay=1e-4)
    config["schedule"]["peak"] = 0.05
    config["data"]["num_train"] = 20  # 2.5 batches: epochs end within a batch
    return config


def steps(config, num_steps):
    dataset = inputs.make_dataset(config)
    method, mesh = base.from_config(config, dataset.labels), sharding.make_mesh()
    target = initialization.describe(config, method, mesh)
    state = initialization.fresh(config, method, target)
    place = dict(process_index=jax.process_index(), process_count=jax.process_count())
    kept = {"pictures": [], "loss": []}
    with inputs.training_batches(config, dataset, start_step=0, **place) as batches:
        step = None
        for done in range(1, num_steps + 1):
            batch = next(batches)
            kept["pictures"].append([zlib.crc32(row) for row in batch["image"]])
            placed = sharding.to_devices(batch, mesh)
            step = step or train.compile_step(method, mesh, state, placed)
            state, metrics = step(state, placed)
            kept["loss"].append(float(metrics["loss"]))
            if done == 1:
                kept |= leaves({"params": state.params})
                kept |= leaves({"memory": state.memory})
    kept |= leaves({"last_memory": state.memory})
    return kept


def leaves(tree):
    paths = jax.tree_util.tree_leaves_with_path(tree)
    return {sharding.path_name(path): np.asarray(leaf) for path, leaf in paths}


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
