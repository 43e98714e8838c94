"""A training whose second process is killed once, under `torchrun --max-restarts 1`."""

import os
import signal
import sys

import keras
import numpy as np
import scenarios
import torch.distributed

import keras_spiking

EPOCHS = 3


def build():
    keras.utils.set_random_seed(5)
    model, _ = scenarios.convolutional()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss)
    return model


def fit(model, process=0, processes=1, callbacks=()):
    x, y = scenarios.data((6, 6, 1))
    model.fit(
        scenarios.share(x, process, processes),
        scenarios.share(y, process, processes),
        batch_size=scenarios.BATCH // processes,
        initial_epoch=int(model.optimizer.iterations.value) // scenarios.STEPS,
        epochs=EPOCHS,
        shuffle=False,
        verbose=0,
        callbacks=list(callbacks),
    )


class Save(keras.callbacks.Callback):
    def __init__(self, path):
        super().__init__()
        self.path = path

    def on_epoch_end(self, epoch, logs=None):
        self.model.save(f"{self.path}.part.keras")
        os.replace(f"{self.path}.part.keras", self.path)


class Die(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (1, 4):
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    folder = sys.argv[1]
    torch.distributed.init_process_group("gloo")
    process = torch.distributed.get_rank()
    path = f"{folder}/model.keras"
    model = keras.models.load_model(path) if os.path.exists(path) else build()
    keras_spiking.distribution.data_parallel(model)
    callbacks = [Save(path)] if process == 0 else []
    if process == 1 and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        callbacks = [Die()]
    fit(model, process, 2, callbacks)
    np.savez(f"{folder}/weights_{process}.npz", *model.get_weights())
