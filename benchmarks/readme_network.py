"""Does the README's network learn, as it stands there, from the first epoch on?

    KERAS_BACKEND=tensorflow python benchmarks/readme_network.py [--seeds 3]

The digits of scikit-learn, enlarged to 28 x 28 pixels. Test accuracy after each epoch.
"""

import argparse
import pathlib
import re

import keras
import numpy as np
from sklearn.datasets import load_digits

README = pathlib.Path(__file__).parents[1] / "README.md"


def digits():
    x, y = load_digits(return_X_y=True)
    x = x.reshape(-1, 8, 8, 1).astype("float32") / 16
    x = keras.ops.convert_to_numpy(keras.ops.image.resize(x, (28, 28)))
    order = np.random.default_rng(0).permutation(len(x))
    return x[order], y[order]


def main(arguments):
    code = re.search(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)[1]
    x, y = digits()
    for seed in range(arguments.seeds):
        keras.utils.set_random_seed(seed)
        exec(code, names := {})
        model, accuracies = names["model"], []
        for _ in range(arguments.epochs):
            model.fit(x[:1400], y[:1400], verbose=0)
            predicted = model.predict(x[1400:], verbose=0).argmax(1)
            accuracies.append(f"{np.mean(predicted == y[1400:]):.3f}")
        print(f"{keras.config.backend()}, seed {seed}: {' '.join(accuracies)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    main(parser.parse_args())
