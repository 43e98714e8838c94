"""A training from its recipe to its report."""

import contextlib
import inspect
import json
import pathlib

import keras
import numpy as np
from keras import ops

from keras_spiking import callbacks
from keras_spiking import energy
from keras_spiking import layers
from keras_spiking import losses
from keras_spiking import models
from keras_spiking.files import claimed
from keras_spiking.files import complete_file
from keras_spiking.files import remove_leftovers
from keras_spiking.train import data
from keras_spiking.train import progress
from keras_spiking.train.checkpoint import Checkpoint

# Of how many samples operations are counted.
REPORTED = 64


class Run:
    """A training, ready to begin or to go on. It has its folder until it is closed.

    Args:
        recipe: `Recipe`.

    Raises:
        ValueError: if the recipe asks for what there is not, or its parts do not fit,
            or another process trains in the folder.
    """

    def __init__(self, recipe):
        self.recipe = recipe
        self.folder = pathlib.Path(recipe.output)
        self.file = self.folder / "checkpoint.npz"
        if self.file.exists() and not recipe.resume:
            raise ValueError(
                f"'{self.folder}' holds a training already. Add --resume to go on with "
                "it, or choose another --output."
            )
        keras.utils.set_random_seed(recipe.seed)
        keras.config.set_dtype_policy(recipe.precision)
        self.batches, self.validation, classes, shape = data.load(recipe)
        self.model = network(recipe, shape, classes)
        self.model.compile(
            optimizer(recipe, self.batches.steps),
            loss(recipe),
            metrics=[accuracy],
        )
        left_out = [v for v in self.model.trainable_variables if len(v.shape) < 2]
        self.optimizer.exclude_from_weight_decay(var_list=left_out)
        # Now, so that there is a state to be restored.
        self.model.optimizer.build(self.model.trainable_variables)
        scores = ops.zeros((1, *self.model.output_shape[1:]))
        self.model.compute_metrics(None, ops.zeros((1, classes)), scores)
        self.model.reset_metrics()
        self.average = keras.callbacks.SwapEMAWeights() if recipe.ema else None
        self.checkpoint = Checkpoint(self.file, self.batches, recipe.save_steps)
        self.checkpoint.on_best = self._save_best
        self.callbacks = self._callbacks()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._claim = contextlib.ExitStack()
        self._claim_folder()
        if recipe.resume and self.file.exists():
            self.checkpoint.load()
        recipe.save()

    def _claim_folder(self):
        try:
            mine = self._claim.enter_context(claimed(self.folder))
        except BlockingIOError:
            raise ValueError(
                f"Another process trains in '{self.folder}'. End it before, or choose "
                "another --output."
            ) from None
        if mine:
            remove_leftovers(self.folder)

    def close(self):
        """Leaves the folder to others."""
        self._claim.close()

    @property
    def optimizer(self):
        optimizer = self.model.optimizer
        return getattr(optimizer, "inner_optimizer", optimizer)

    def _callbacks(self):
        found = [self.average] if self.average else []
        if self.recipe.firing_rates:
            found.append(callbacks.FiringRateLogger())
        found += [
            progress.MoreLogs(),
            progress.Progress(self.recipe.epochs, self.batches),
            self.checkpoint,
            keras.callbacks.LambdaCallback(on_epoch_end=self._write_history),
        ]
        if self.recipe.tensorboard:
            found.append(progress.Scalars(self.folder / "tensorboard"))
        return found

    def _write_history(self, epoch, logs):
        progress.write_table(self.folder / "history.csv", self.checkpoint.history)

    def _save_best(self):
        if self.average:
            self.average.on_test_begin()
        self._save_model("best.keras")
        if self.average:
            self.average.on_test_end()

    def _save_model(self, name):
        """Saves the network up to its mean over time, without optimizer and loss."""
        scores = self.model.output
        if self.recipe.loss != "cross_entropy":
            scores = layers.FiringRate(name="mean_over_time")(scores)
        model = keras.Model(self.model.input, scores, name=self.model.name)
        with complete_file(self.folder / name) as temporary:
            model.save(temporary)

    def train(self):
        """Trains up to the number of epochs of the recipe."""
        recipe, checkpoint = self.recipe, self.checkpoint
        print(self._summary(), flush=True)
        while True:
            # The rest of an interrupted epoch has fewer steps than the others, and
            # Keras counts them when `fit` begins.
            epoch, step = checkpoint.epoch, checkpoint.step
            last = epoch + 1 if step else recipe.epochs
            if epoch < recipe.epochs:
                self.batches.begin(epoch, step)
            self.model.fit(
                self.batches,
                initial_epoch=epoch,
                epochs=last,
                validation_data=self.validation,
                callbacks=self.callbacks,
                shuffle=False,  # or Keras would shuffle the batches once more
                verbose=0,
            )
            if last >= recipe.epochs:
                break
        self._save_model("model.keras")

    def _summary(self):
        recipe, about = self.recipe, self.recipe.about
        lines = [
            f"network   {self.model.name}, {self.model.count_params():,} weights, "
            f"{recipe.timesteps} time steps",
            f"data      {recipe.data}, {self.batches.steps} steps of "
            f"{recipe.batch_size} an epoch",
            f"backend   {keras.config.backend()}",
            f"output    {self.folder}",
        ]
        lines += [f"{name:9} {text}" for name, text in about.items()]
        if self.checkpoint.epoch or self.checkpoint.step:
            lines.append(
                f"resumed   after epoch {self.checkpoint.epoch}, "
                f"step {self.checkpoint.step}"
            )
        return "\n".join(lines) + "\n"

    def report(self):
        """Evaluates the trained network, and tells what it costs."""
        found = self.model.evaluate(self.validation, verbose=0, return_dict=True)
        found["best_accuracy"] = self.checkpoint.best
        steps = min(len(self.validation), -(-REPORTED // self.recipe.batch_size))
        x = np.concatenate([self.validation[step][0] for step in range(steps)])
        measured = energy.report(
            self.model, x[:REPORTED], costs=["45nm", "45nm_int8", "45nm_int8_memory"]
        )
        found["report"] = measured.to_dict()
        with complete_file(self.folder / "report.json") as temporary:
            pathlib.Path(temporary).write_text(json.dumps(found, indent=2) + "\n")
        print(
            f"\nvalidation: accuracy {found['accuracy']:.4f} (best epoch "
            f"{found['best_accuracy']:.4f}), loss {found['loss']:.4f}\n"
        )
        print(measured, flush=True)

    def how_to_resume(self):
        """What to do after an interruption, for the user."""
        if not self.file.exists():
            return "There is no checkpoint yet."
        return (
            f"The checkpoint in '{self.folder}' is whole: go on with "
            f"--output {self.folder} --resume"
        )


def network(recipe, shape, classes):
    """The network of a recipe, for samples of a shape."""
    make = models.get(recipe.model)
    options = {
        "classes": classes,
        "timesteps": recipe.timesteps,
        "neuron": recipe.neuron,
        "surrogate": recipe.surrogate,
        "weights": recipe.weights,
        "return_sequences": recipe.loss != "cross_entropy",
    }
    known = list(inspect.signature(make).parameters)[1:]
    for name in recipe.model_options:
        if name not in known or name in options:
            own = ", ".join(n for n in known if n not in options)
            raise ValueError(
                f"{make.__name__} has no option '{name}' of its own. It has {own}."
            )
    options = {name: value for name, value in options.items() if value is not None}
    return make(tuple(shape), **options, **recipe.model_options)


def optimizer(recipe, steps):
    """The optimizer of a recipe, with its schedule over so many steps an epoch."""
    names = {"adamw": "AdamW", "rmsprop": "RMSprop", "sgd": "SGD"}
    name = names.get(recipe.optimizer, recipe.optimizer.capitalize())
    options = {"weight_decay": recipe.weight_decay, "global_clipnorm": recipe.clip_norm}
    if recipe.optimizer in ("sgd", "rmsprop"):
        options["momentum"] = recipe.momentum
    if recipe.ema:
        options |= {"use_ema": True, "ema_momentum": recipe.ema}
    rate = _schedule(recipe, steps)
    return getattr(keras.optimizers, name)(learning_rate=rate, **options)


def _schedule(recipe, steps):
    warmup = round(recipe.warmup_epochs * steps)
    rising = {"warmup_target": recipe.learning_rate, "warmup_steps": warmup}
    alpha = recipe.final_learning_rate / recipe.learning_rate
    if recipe.schedule == "constant":
        if not warmup:
            return recipe.learning_rate
        alpha = 1.0
    return keras.optimizers.schedules.CosineDecay(
        0.0 if warmup else recipe.learning_rate,
        max(round(recipe.epochs * steps) - warmup, 1),
        alpha=alpha,
        **(rising if warmup else {}),
    )


def loss(recipe):
    """The loss of a recipe."""
    if recipe.loss == "tet":
        return losses.TemporalEfficientTraining(recipe.tet_regularization)
    if recipe.loss == "mse":
        return losses.FiringRateMSE()
    return keras.losses.CategoricalCrossentropy(from_logits=True)


def accuracy(y_true, y_pred):
    """Whether the class with the largest score, on average over time, is right."""
    if len(y_pred.shape) == 3:
        y_pred = ops.mean(y_pred, axis=1)
    return keras.metrics.categorical_accuracy(y_true, y_pred)
