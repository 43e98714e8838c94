"""NeuroBench's chaotic series, from end to end: data, training, metrics.

A network of integrate-and-fire neurons sees a window of the series of Mackey and Glass
and predicts the next value. After a warm-up on the true series it goes on with its own
predictions, as in NeuroBench. The series is generated here, with the same parameters,
but not downloaded: figures of others are for other pieces of it.

    KERAS_BACKEND=torch python benchmarks/neurobench_mackey_glass.py [--quick]
"""

import argparse
import time

import keras
import numpy as np

import keras_spiking
from keras_spiking import layers

POINTS = 75  # in a Lyapunov time, which is 197
WINDOW = 50


def smape(predicted, target):
    """The symmetric mean absolute percentage error, 0 to 200."""
    difference = np.abs(predicted - target)
    return 200.0 * np.mean(difference / (np.abs(predicted) + np.abs(target)))


def network(units):
    """Spikes say how far the next value is from the last one."""
    inputs = keras.Input((WINDOW, 1))
    x = keras.layers.Dense(units, name="input")(inputs)
    x = layers.LIFLayer(surrogate="atan", decay_input=False, name="first")(x)
    x = keras.layers.Dense(units, name="hidden")(x)
    x = layers.LIFLayer(surrogate="atan", decay_input=False, name="second")(x)
    x = layers.LILayer(tau=8.0, reduce="last")(x)
    x = keras.layers.Dense(1, name="output")(x)
    return keras.Model(inputs, keras.layers.Add()([x, inputs[:, -1]]))


def windows(series):
    x = np.lib.stride_tricks.sliding_window_view(series[:-1], WINDOW)[..., None]
    return x.astype("float32"), series[WINDOW:, None].astype("float32")


def forecast(model, past, steps):
    """Goes on with what the model itself has predicted."""
    series = list(past[-WINDOW:])
    for _ in range(steps):
        x = np.array(series[-WINDOW:], "float32").reshape(1, -1, 1)
        series.append(float(keras.ops.convert_to_numpy(model(x))[0, 0]))
    return np.array(series[WINDOW:])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a few seconds")
    parser.add_argument("--units", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    times, epochs = (4, 1) if options.quick else (20, options.epochs)
    keras.utils.set_random_seed(options.seed)
    length = times * POINTS + WINDOW
    x = keras_spiking.datasets.mackey_glass(
        length, interval=197 / POINTS, seed=options.seed
    )
    split = WINDOW + times // 2 * POINTS
    mean, deviation = x[:split].mean(), x[:split].std()
    scaled = (x - mean) / deviation
    model = network(options.units)
    schedule = keras.optimizers.schedules.CosineDecay(2e-3, epochs * (split // 32))
    model.compile(keras.optimizers.Adam(schedule), "mse")
    start = time.perf_counter()
    model.fit(*windows(scaled[:split]), batch_size=32, epochs=epochs, verbose=0)
    seconds = time.perf_counter() - start
    inputs, targets = windows(scaled[split - WINDOW :])

    def original(y):
        return y * deviation + mean

    one_step = original(model.predict(inputs, verbose=0)[:, 0])
    truth = x[split:]
    free = original(forecast(model, scaled[:split], POINTS))
    naive = x[split - 1 : -1]
    print(f"backend {keras.config.backend()}, {options.units} units, {epochs} epochs")
    print(f"training: {seconds:.0f} s")
    print(f"sMAPE, next value: {smape(one_step, truth):.2f}")
    print(f"sMAPE, last value repeated: {smape(naive, truth):.2f}")
    print(f"sMAPE, one Lyapunov time ahead: {smape(free, truth[: len(free)]):.2f}")
    for name, value in keras_spiking.neurobench.run(model, inputs).items():
        print(f"{name}: {value}")
    print()
    print(keras_spiking.energy.report(model, inputs))


if __name__ == "__main__":
    main()
