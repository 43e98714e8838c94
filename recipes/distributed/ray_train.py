"""Trains with Ray Train: two workers on a laptop, unchanged on a cluster.

    pip install "ray[train]"
    python recipes/distributed/ray_train.py --workers 2

Within a cluster of Ray (`ray start`, or recipes/distributed/ray.slurm) the same command
uses its machines. A worker that dies is started again, with all others, and the
training goes on from its last checkpoint, which Ray keeps under `--storage`.
"""

import argparse
import os
import pathlib
import tempfile


def train(config):
    """What each worker runs. Ray has made the group of processes already."""
    os.environ["KERAS_BACKEND"] = "torch"

    import keras
    import numpy as np
    import ray.train
    from sklearn.datasets import load_digits

    import keras_spiking
    from keras_spiking import layers

    worker = ray.train.get_context()
    process, processes = worker.get_world_rank(), worker.get_world_size()
    keras.utils.set_random_seed(config["seed"])
    keras_spiking.distribution.check()

    digits = load_digits()
    images = (digits.images[:1536, ..., np.newaxis] / 16.0).astype("float32")
    x, y = images[process::processes], digits.target[:1536][process::processes]
    batch_size = 64 // processes
    steps = len(x) // batch_size

    checkpoint = ray.train.get_checkpoint()
    if checkpoint:
        with checkpoint.as_directory() as folder:
            model = keras.models.load_model(f"{folder}/model.keras")
    else:
        model = keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                layers.DirectEncoder(4),
                layers.SeqToBatch(keras.layers.Conv2D(16, 3, use_bias=False)),
                layers.ThresholdDependentBatchNormalization(),
                layers.LIFLayer(surrogate="atan", name="lif"),
                layers.SeqToBatch([keras.layers.Flatten(), keras.layers.Dense(10)]),
                layers.FiringRate(),
            ]
        )
        model.compile(
            keras.optimizers.Adam(2e-3),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
    keras_spiking.distribution.data_parallel(model)
    keras_spiking.distribution.check(model, x, batch_size=batch_size)

    class Report(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs = {name: float(value) for name, value in logs.items()}
            with tempfile.TemporaryDirectory() as folder:
                saved = None
                if process == 0:  # all have the same
                    self.model.save(f"{folder}/model.keras")
                    saved = ray.train.Checkpoint.from_directory(folder)
                ray.train.report({"epoch": epoch + 1, **logs}, checkpoint=saved)

    model.fit(
        x,
        y,
        batch_size=batch_size,
        initial_epoch=int(model.optimizer.iterations.value) // steps,
        epochs=config["epochs"],
        shuffle=False,
        verbose=0,
        callbacks=[keras_spiking.callbacks.FiringRateLogger(), Report()],
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--gpu", action="store_true", help="one GPU for each worker")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--storage", help="folder that all machines see")
    arguments = parser.parse_args()

    from ray.train import FailureConfig
    from ray.train import RunConfig
    from ray.train import ScalingConfig
    from ray.train.torch import TorchTrainer

    storage = arguments.storage or pathlib.Path("runs", "ray").resolve()
    trainer = TorchTrainer(
        train,
        train_loop_config={"epochs": arguments.epochs, "seed": arguments.seed},
        scaling_config=ScalingConfig(
            num_workers=arguments.workers, use_gpu=arguments.gpu
        ),
        run_config=RunConfig(
            storage_path=str(storage), failure_config=FailureConfig(max_failures=3)
        ),
    )
    result = trainer.fit()
    print(", ".join(f"{name} {value:.4g}" for name, value in result.metrics.items()))


if __name__ == "__main__":
    main()
