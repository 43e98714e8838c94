"""`python -m keras_spiking.train`: see `--help`."""

import importlib.util
import os
import sys

import keras

from keras_spiking.train.recipe import from_command_line


def main(arguments: list[str]) -> int:
    """Trains what the command line asks for, and returns the exit code."""
    try:
        recipe = from_command_line(arguments)
        _use_backend(recipe.backend, arguments)
        from keras_spiking.train.run import Run

        run = Run(recipe)
    except (ValueError, TypeError, ImportError, OSError) as error:
        return _fail(2, error)
    except KeyboardInterrupt:
        return _fail(130, "interrupted before the training began")
    try:
        run.train()
        run.report()
    except OSError as error:
        return _fail(1, f"{error}. {run.how_to_resume()}")
    except KeyboardInterrupt:
        return _fail(130, f"interrupted. {run.how_to_resume()}")
    finally:
        run.close()
    return 0


def _fail(code, message):
    message = " ".join(str(message).split())
    print(f"keras_spiking.train: {message}", file=sys.stderr)
    return code


def _use_backend(backend, arguments):
    """Starts again if Keras, which is imported by now, has another backend."""
    backend = backend or keras.config.backend()
    if backend not in ("jax", "tensorflow", "torch"):
        raise ValueError(
            f"The backend '{backend}' does not train. Choose --backend jax, tensorflow "
            "or torch."
        )
    if importlib.util.find_spec(backend) is None:
        raise ImportError(
            f"The backend '{backend}' is not installed: `pip install {backend}`, or "
            "choose another --backend."
        )
    if backend != keras.config.backend():
        sys.stdout.flush()
        command = [sys.executable, "-m", "keras_spiking.train", *arguments]
        os.execve(sys.executable, command, {**os.environ, "KERAS_BACKEND": backend})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
