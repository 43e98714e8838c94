"""Everything that a training needs to go on, in one file.

`keras.callbacks.BackupAndRestore` writes weights and epoch to two files, over the old
ones, and repeats an interrupted epoch from its beginning with weights from its middle.
Here a file appears whole or not at all, and says which batch comes next.

All that is random comes from variables of the model or generators of the backend, which
are saved, or from the seed and the numbers of epoch, batch and sample.
"""

import json
import pathlib

import keras
import numpy as np
from numpy import savez

from keras_spiking import backends
from keras_spiking.datasets.limits import MOST
from keras_spiking.datasets.readers.arrays import load_npz
from keras_spiking.datasets.readers.binary import damage
from keras_spiking.files import complete_file
from keras_spiking.validation import check_integer
from keras_spiking.validation import check_number


class Checkpoint(keras.callbacks.Callback):
    """Saves the state of a training after epochs and steps, and restores it.

    It comes after callbacks that count or add to the logs.

    Args:
        path: Path of the file.
        batches: `Batches` that the model is trained on.
        save_steps: Integer >= 1, number of training steps between checkpoints, or
            `None`: after epochs only.

    Attributes:
        epoch: Integer, number of finished epochs.
        step: Integer, number of finished steps of the next epoch.
        history: List of dictionaries, the logs of the finished epochs.
        best: Float, the highest accuracy so far, or `None`.
    """

    def __init__(self, path, batches, save_steps=None):
        super().__init__()
        self.path = pathlib.Path(path)
        self.batches = batches
        self.save_steps = save_steps
        self.epoch = self.step = 0
        self.history = []
        self.best = None
        self._values = None
        if save_steps:
            # Only then: Keras dispatches batches faster if nobody listens.
            self.on_train_batch_end = self._count

    def load(self):
        """Reads the state, to be restored when `fit` begins."""
        with damage(self.path, "a checkpoint of a training"):
            values = load_npz(self.path, MOST * self.path.stat().st_size)
            state = json.loads(str(values.pop("state")))
            self.epoch = check_integer("epoch", state["epoch"], minimum=0)
            self.step = check_integer("step", state["step"], minimum=0)
            self.history, self.best = list(state["history"]), state["best"]
            if self.best is not None:
                check_number("best", self.best)
        self._values = values
        if self.step:
            # A loader of PyTorch draws a number before the first batch of an epoch.
            self.on_train_batch_begin = self._at_first_batch

    def save(self):
        """Writes the state of the model and of the training."""
        self._values = {
            f"{kind}/{i}": keras.ops.convert_to_numpy(variable.value)
            for kind, variables in self._variables().items()
            for i, variable in enumerate(variables)
        }
        for name, value in backends.active().random_state().items():
            self._values[f"random/{name}"] = value
        state = {"epoch": self.epoch, "step": self.step, "best": self.best}
        text = np.array(json.dumps({**state, "history": self.history}))
        with complete_file(self.path) as temporary, open(temporary, "wb") as file:
            savez(file, **self._values, state=text)

    def _variables(self):
        model = self.model  # On JAX this brings the variables up to date.
        return {
            "model": model.variables,  # random seeds included
            "optimizer": model.optimizer.variables,
            "metrics": model.metrics_variables,
        }

    def _restore(self, kinds):
        if self._values is None:
            return
        for kind, variables in self._variables().items():
            if kind not in kinds:
                continue
            saved = list(self._saved(kind).values())
            shapes = [tuple(v.shape) for v in variables]
            if shapes != [v.shape for v in saved]:
                raise ValueError(
                    f"The checkpoint '{self.path}' is of another training: its {kind} "
                    f"has {len(saved)} variables of other shapes than the "
                    f"{len(shapes)} here."
                )
            for variable, value in zip(variables, saved):
                variable.assign(value)
        self._restore_random()

    def _restore_random(self):
        backends.active().set_random_state(self._saved("random"))

    def _at_first_batch(self, batch, logs=None):
        self._restore_random()
        self.on_train_batch_begin = super().on_train_batch_begin

    def _saved(self, kind):
        """What was saved of a kind, in order: `{name: array}`."""
        start = f"{kind}/"
        return {
            name.removeprefix(start): value
            for name, value in self._values.items()
            if name.startswith(start)
        }

    def on_train_begin(self, logs=None):
        self._restore(["model", "optimizer"])

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch and self.step:
            # Keras and other callbacks begin to count at every epoch.
            self._restore(["model", "metrics"])
        else:
            self.epoch, self.step = epoch, 0
            self.batches.begin(epoch)

    def _count(self, batch, logs=None):
        self.step += 1
        if self.step % self.save_steps == 0 and self.step < self.batches.steps:
            self.save()

    def on_epoch_end(self, epoch, logs=None):
        self.epoch, self.step = epoch + 1, 0
        logs = {name: float(value) for name, value in logs.items()}
        self.history.append({"epoch": self.epoch, **logs})
        accuracy = logs["val_accuracy"]
        if self.best is None or accuracy > self.best:
            self.best = accuracy
            self.on_best()
        self.save()

    def on_best(self):
        """Called before a checkpoint that says that this epoch is the best so far."""
