"""The seam between trainer and method: `init`, `train_step`, `loss`, `predict`.

Beside these four, `refine` may go on from the class ids of whole pictures, and
`warnings` may comment on what the log shows.

A method is its hyperparameters and one idea, `loss`; everything else here is a default
that most methods keep. Read `Method.train_step` first.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxseg import config as config_lib
from jaxseg import models
from jaxseg.data.labels import LabelSet
from jaxseg.models.segmentor import Outputs, Segmentor
from jaxseg.state import TrainState

Batch = Mapping[str, jax.Array]
Metrics = dict[str, jax.Array]


class Network(nn.Module):
    """A segmentor and nothing beside it.

    A method that trains more wraps it in a module of its own, so that `params` has one
    entry per sub-network and prediction takes `params["segmentor"]` alone.
    """

    segmentor: Segmentor

    def __call__(self, image: jax.Array, *, train: bool) -> Outputs:
        return self.segmentor(image, train=train)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Method:
    """What every method is given, and what it may override.

    Attributes:
        segmentor: the network that predicts.
        optimizer: updates each sub-network by itself, with a state of its own.
        labels: class names, seen and unseen ids, word vectors where the config asks for
            them.
    """

    segmentor: Segmentor
    optimizer: optax.GradientTransformation
    labels: LabelSet

    # Whether `loss` learns from the batch's `image_labels` where masks are hidden.
    reads_image_labels: ClassVar[bool] = False
    # Whether the vectors of the class names are used.
    reads_word_vectors: ClassVar[bool] = False

    @property
    def self_training(self) -> bool:
        """Whether pixels of unseen classes are learnt from, with pseudo labels.

        Such a run is transductive, see `data.zero_shot.protocol`.
        """
        return False

    @property
    def reads_unseen_labels(self) -> bool:
        """Whether training must be shown the labels of unseen classes.

        Only to compare with authors who did so; `data.train_images="keep_unseen"`.
        """
        return False

    @property
    def zero_label(self) -> bool:
        """Whether the prediction is over unseen classes only."""
        return False

    @property
    def network(self) -> nn.Module:
        """The module whose parameters are trained, one attribute per sub-network."""
        return Network(self.segmentor)

    def init_memory(self) -> Any:
        """What is remembered between steps beside parameters; a PyTree or None."""
        return None

    def init(self, rng: jax.Array, batch: Batch) -> TrainState:
        """Makes the state before the first step; only shapes of `batch` matter."""
        params_rng, state_rng = jax.random.split(rng)
        variables = self.network.init(params_rng, batch["image"], train=False)
        params = variables["params"]
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            rng=state_rng,
            params=params,
            batch_stats=variables.get("batch_stats", {}),
            opt_state={name: self.optimizer.init(params[name]) for name in params},
            memory=self.init_memory(),
        )

    def train_step(self, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        """Does one update of all sub-networks by one gradient of `loss`.

        Args:
            state: before the step.
            batch: the global batch: image [B, H, W, 3], label [B, H, W], valid [B].

        Returns:
            The state after it, and [] float32 metrics of the step.
        """
        rng = jax.random.fold_in(state.rng, state.step)
        gradient = jax.grad(self.loss, has_aux=True)
        grads, (state, metrics) = gradient(state.params, state, batch, rng)
        state = self.apply_gradients(state, grads)
        metrics = metrics | {"grad_norm": optax.tree.norm(grads)}
        return state.replace(step=state.step + 1), metrics

    def loss(
        self, params: Any, state: TrainState, batch: Batch, rng: jax.Array
    ) -> tuple[jax.Array, tuple[TrainState, Metrics]]:
        """The method's idea: [] what to minimise, the state to go on with, metrics."""
        raise NotImplementedError(f"{type(self).__name__} defines no loss")

    def predict(self, state: TrainState, batch: Batch) -> jax.Array:
        """Returns logits [B, H, W, C] of the segmentor, in evaluation mode."""
        variables = {
            "params": state.params["segmentor"],
            "batch_stats": state.batch_stats.get("segmentor", {}),
        }
        outputs: Any = self.segmentor.apply(variables, batch["image"], train=False)
        return outputs.logits

    def refine(
        self, state: TrainState, batch: Batch, class_ids: jax.Array
    ) -> jax.Array:
        """Goes on from what the logits of whole pictures say; by default leaves it.

        For what needs whole pictures at their own size and is no sum of logits.

        Args:
            state: as `predict` is given it.
            batch: image [B, H, W, 3], size int [B, 2] of the pictures in it, and what
                the data set adds; no labels.
            class_ids: [B, H, W] int32, those of the largest logits.

        Returns:
            [B, H, W] int32.
        """
        del state, batch
        return class_ids

    def warnings(
        self, step: int, total_steps: int, means: Mapping[str, float]
    ) -> tuple[str, ...]:
        """Says what a user should hear about a log line's metrics.

        By default that there is nothing to learn, where the cross entropy is 0, and
        that self-training has labelled nothing. A text is said once a run: numbers that
        change from line to line do not belong in it.

        Args:
            step: the last of the line.
            total_steps: of the run.
            means: metrics of the line's steps, averaged.
        """
        del step, total_steps
        if means.get("cross_entropy", 1.0) == 0.0:
            return (
                "the cross entropy is exactly 0: no picture had a labelled pixel, and "
                "nothing was learnt. Does the split have masks (config.data.split, "
                "config.data.supervision)?",
            )
        if self.self_training and means.get("pseudo_labelled", 1.0) == 0.0:
            return (
                "no unlabelled pixel was taken for an unseen class, so self-training "
                "goes on as the stage before: begin from a run that predicts unseen "
                "classes (config.init_from), or take more of its predictions "
                "(pseudo_percent or pseudo_labels of config.method)",
            )
        return ()

    def forward(
        self,
        params: Any,
        state: TrainState,
        *inputs: Any,
        rng: jax.Array | None = None,
        method: Any = None,
    ) -> tuple[Any, TrainState]:
        """Applies `network` in training mode.

        Args:
            params: to differentiate; `state.params` stays out of it.
            state: gives the running statistics.
            *inputs: of the network, usually `batch["image"]`.
            rng: key of dropout layers, for networks that have any.
            method: of the network, `__call__` when None.

        Returns:
            The network's outputs, and the state with new running statistics.
        """
        outputs, updates = self.network.apply(
            {"params": params, "batch_stats": state.batch_stats},
            *inputs,
            train=True,
            mutable=["batch_stats"],
            rngs=None if rng is None else {"dropout": rng},
            method=method,
        )
        stats = {**state.batch_stats, **updates.get("batch_stats", {})}
        return outputs, state.replace(batch_stats=stats)

    def apply_gradients(
        self,
        state: TrainState,
        grads: Any,
        optimizers: Mapping[str, optax.GradientTransformation] | None = None,
    ) -> TrainState:
        """Updates the sub-networks named in `grads` and leaves the others.

        Args:
            state: before the update.
            grads: gradients, one entry per sub-network to update.
            optimizers: per sub-network; `self.optimizer` for those not named.
        """
        params, opt_state = dict(state.params), dict(state.opt_state)
        for name in grads:
            optimizer = (optimizers or {}).get(name, self.optimizer)
            updates, opt_state[name] = optimizer.update(
                grads[name], opt_state[name], params[name]
            )
            params[name] = optax.apply_updates(params[name], updates)
        return state.replace(params=params, opt_state=opt_state)


def from_config(config: Mapping[str, Any], labels: LabelSet) -> Method:
    """Builds the method of a config, with its segmentor and its optimiser.

    Args:
        config: a whole config; `model`, `method`, `optimizer`, `schedule` are read.
        labels: of the data set; their number is the number of classes.
    """
    segmentor = models.build(config["model"], num_classes=labels.num_classes)
    schedule = make_schedule(config)
    optimizer = config_lib.make(
        "optimizers", config.get("optimizer", {"name": "sgd"}), schedule=schedule
    )
    return config_lib.make(
        "methods",
        config["method"],
        segmentor=segmentor,
        optimizer=optimizer,
        labels=labels,
    )


def make_schedule(config: Mapping[str, Any]) -> optax.Schedule:
    """Builds the learning-rate schedule of a config, [] int step -> [] rate."""
    spec = config.get("schedule", {"name": "poly", "peak": 0.01})
    return config_lib.make("optimizers", spec, total_steps=config["total_steps"])
