"""What there is to choose, on the command line or in a file."""

import argparse
import dataclasses
import difflib
import json
import pathlib
from typing import Any

from keras_spiking.files import complete_file
from keras_spiking.validation import check_bool
from keras_spiking.validation import check_choice
from keras_spiking.validation import check_integer
from keras_spiking.validation import check_number

OPTIMIZERS = ("sgd", "adam", "adamw", "lamb", "lion", "rmsprop")
LOSSES = ("cross_entropy", "tet", "mse")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")

# What a training that goes on may do otherwise than before.
FREE = {"epochs", "output", "resume", "save_steps", "tensorboard", "workers"}

_DESCRIPTION = """\
Trains a spiking network, and tells how well and how sparsely it computes.

Start with real digits that scikit-learn ships; it takes a minute:

  python -m keras_spiking.train --model sew_resnet18 --data digits \\
      --model-options stem=cifar filters=16 --epochs 10 --output runs/first

Interrupted, even killed, it goes on where it was:

  python -m keras_spiking.train --output runs/first --resume

A recipe, a YAML or JSON file, holds any of the options below with _ for -. Options on
the command line come before those of the recipe:

  python -m keras_spiking.train recipes/digits.yaml --epochs 5 --backend torch

The folder of --output has the recipe in full, the curve as history.csv, a checkpoint,
the network at its best (best.keras) and at its end (model.keras), and report.json.
"""

_EPILOG = """\
Exit codes: 0 done, 1 failed while training, 2 wrong usage, 130 interrupted.
"""

_GROUPS = {
    "network": "See keras_spiking.models for the networks and their options.",
    "data": "Images are divided by 255, events counted in one frame a time step.",
    "training": None,
    "running": None,
}


def _option(group, default, help, kind=str, choices=None, **bounds):
    metadata = {"group": group, "help": help, "kind": kind}
    metadata |= {"choices": choices, "bounds": bounds}
    return dataclasses.field(default=default, metadata=metadata)


def _network(*args, **kwargs):
    return _option("network", *args, **kwargs)


def _data(*args, **kwargs):
    return _option("data", *args, **kwargs)


def _training(*args, **kwargs):
    return _option("training", *args, **kwargs)


def _running(*args, **kwargs):
    return _option("running", *args, **kwargs)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """All that decides a training."""

    model: str = _network("sew_resnet18", "name of a network, such as sew_resnet18")
    timesteps: int = _network(4, "time steps of the network", int, minimum=1)
    neuron: str | None = _network(None, "its neurons, such as if, lif or plif")
    surrogate: str | None = _network(None, "surrogate gradient, such as atan")
    model_options: dict = _network(
        None, "further arguments of the network, such as filters=16", dict
    )
    weights: str | None = _network(None, "file of weights to start from")

    data: str = _data(
        "digits",
        "digits, mnist, fashion_mnist, cifar10, cifar100, gestures (synthetic); "
        "n_mnist and other loaders of keras_spiking.datasets, or tonic:NMNIST and "
        "other data sets of Tonic, both with --data-dir; a file .npz with x_train, "
        "y_train, x_test and y_test, or x and y; or a folder that has a folder of "
        "images or event recordings for each class",
    )
    data_dir: str | None = _data(None, "folder with the files of a named data set")
    validation: float = _data(
        0.2,
        "share of the samples of each class that are kept for validation, where data "
        "have no such part of their own",
        float,
        above=0.0,
        below=1.0,
    )
    image_size: int | None = _data(
        None, "height and width of images from files", int, minimum=1
    )
    sensor_shape: list | None = _data(
        None, "height, width and polarities of a folder of recordings", [int], minimum=1
    )
    mean: list | None = _data(None, "subtracted from channels in [0, 1]", [float])
    std: list | None = _data(None, "channels are divided by it", [float], above=0.0)
    augmentation: dict = _data(
        None,
        "changes at random. Images: flip=probability, crop=pixels, cutout=pixels, "
        "resized_crop=area. Events: flip=probability, shift=pixels, drop=probability, "
        "time_crop=fraction, time_jitter=microseconds, event_mix=alpha. Both: "
        "mixup=alpha",
        dict,
    )
    skip_unreadable: bool = _data(False, "leave out files that cannot be read", bool)
    workers: int = _data(1, "threads that read data", int, minimum=1)

    epochs: int = _training(10, "passes over the training data", int, minimum=1)
    batch_size: int = _training(32, "samples of a training step", int, minimum=1)
    optimizer: str = _training("adam", "one of", choices=OPTIMIZERS)
    learning_rate: float = _training(1e-3, "after the warm-up", float, above=0.0)
    momentum: float = _training(
        0.9, "of sgd and rmsprop", float, minimum=0.0, maximum=1.0
    )
    weight_decay: float = _training(
        0.0, "of all weights but biases and normalisation", float, minimum=0.0
    )
    schedule: str = _training("cosine", "one of", choices=("cosine", "constant"))
    warmup_epochs: float = _training(
        0.0, "the learning rate rises linearly from 0", float, minimum=0.0
    )
    final_learning_rate: float = _training(
        0.0, "at the end of the cosine", float, minimum=0.0
    )
    clip_norm: float | None = _training(
        None, "largest norm of all gradients together", float, above=0.0
    )
    loss: str = _training(
        "cross_entropy",
        "of the mean over time; tet: cross-entropy of every step; mse: of firing rates",
        choices=LOSSES,
    )
    tet_regularization: float = _training(
        0.0, "weight of the second term of tet", float, minimum=0.0, maximum=1.0
    )
    label_smoothing: float = _training(
        0.0, "share of labels spread over classes", float, minimum=0.0, below=1.0
    )
    ema: float | None = _training(
        None,
        "keep a moving average of the weights with this momentum, such as 0.999, for "
        "evaluation",
        float,
        above=0.0,
        below=1.0,
    )
    precision: str = _training("float32", "one of", choices=PRECISIONS)
    seed: int = _training(0, "decides all that is random", int, minimum=0)

    output: str | None = _running(None, "folder for results (default: runs/<model>)")
    resume: bool = _running(False, "go on with the training in --output", bool)
    save_steps: int | None = _running(
        None, "training steps between checkpoints, beside each epoch's", int, minimum=1
    )
    backend: str | None = _running(
        None,
        "(default: KERAS_BACKEND, or what Keras is set to)",
        choices=("jax", "tensorflow", "torch"),
    )
    firing_rates: bool = _running(True, "measure firing rates while training", bool)
    tensorboard: bool = _running(False, "write logs for TensorBoard as well", bool)
    about: dict = _running(None, "what a recipe says of itself", dict)

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = _checked(field, getattr(self, field.name))
            object.__setattr__(self, field.name, value)
        if self.output is None:
            object.__setattr__(self, "output", str(pathlib.Path("runs", self.model)))

    def save(self):
        """Writes all options to the folder of the training."""
        path = pathlib.Path(self.output, "recipe.json")
        with complete_file(path) as temporary:
            text = json.dumps(dataclasses.asdict(self), indent=2)
            pathlib.Path(temporary).write_text(text + "\n", "utf-8")


FIELDS = {field.name: field for field in dataclasses.fields(Recipe)}


def _checked(field, value):
    name, kind = field.name, field.metadata["kind"]
    bounds, choices = field.metadata["bounds"], field.metadata["choices"]
    if kind is dict:
        value = {} if value is None else value
    elif value is None and field.default is None:
        return None
    if choices:
        return check_choice(name, value, choices)
    if kind is bool:
        return check_bool(name, value)
    if kind is int:
        return check_integer(name, value, **bounds)
    if kind is float:
        return float(check_number(name, value, **bounds))
    if isinstance(kind, list):
        if not isinstance(value, (list, tuple)):
            raise TypeError(f"`{name}` must be a list. Received: {name}={value!r}")
        return [kind[0](check_number(name, item, **bounds)) for item in value]
    if not isinstance(value, kind):
        what = "a mapping from names to values" if kind is dict else "a string"
        raise TypeError(f"`{name}` must be {what}. Received: {name}={value!r}")
    return value


def from_command_line(arguments: list[str]) -> Recipe:
    """The recipe that a command line asks for.

    Raises:
        ValueError: if it asks for something that there is not.
    """
    given, unknown = _parser().parse_known_args(arguments)
    if unknown:
        name = unknown[0].partition("=")[0]
        raise ValueError(f"There is no option {_no_option(name.lstrip('-'))}")
    given = vars(given)
    path = given.pop("recipe", None)
    chosen = _merged(read(path) if path else {}, given)
    if not chosen.get("resume"):
        return Recipe(**chosen)
    folder = pathlib.Path(str(Recipe(**chosen).output))
    if not (folder / "recipe.json").is_file():
        raise ValueError(
            f"There is no training to go on with in '{folder}': no recipe.json there. "
            "Give its folder as --output, or leave --resume out."
        )
    before = read(folder / "recipe.json")
    recipe = Recipe(**_merged(before, chosen))
    for name in FIELDS.keys() - FREE:
        if getattr(recipe, name) != before.get(name, FIELDS[name].default):
            raise ValueError(
                f"The training in '{folder}' was started with {name}="
                f"{before.get(name)!r}. Received: {name}={getattr(recipe, name)!r}. "
                "Leave that out to go on, or choose another --output."
            )
    return recipe


def _merged(below, above):
    """Options of two sources; of settings each by its own name, `None` removes it."""
    merged = below | above
    for name in below.keys() & above.keys():
        if FIELDS[name].metadata["kind"] is dict:
            settings = (below[name] or {}) | (above[name] or {})
            merged[name] = {k: v for k, v in settings.items() if v is not None}
    return merged


def read(path: Any) -> dict[str, Any]:
    """Options from a YAML or JSON file."""
    path = pathlib.Path(path)
    if not path.is_file():
        raise ValueError(f"There is no recipe '{path}'.")
    try:
        text = path.read_text("utf-8")
        options = json.loads(text) if path.suffix == ".json" else _yaml(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"Recipe '{path}' cannot be read: {error}") from None
    if not isinstance(options, dict):
        raise ValueError(f"Recipe '{path}' must be a mapping from options to values.")
    for name in options:
        if name not in FIELDS:
            raise ValueError(f"Recipe '{path}': there is no option {_no_option(name)}")
    return options


def _no_option(name):
    near = difflib.get_close_matches(str(name).replace("-", "_"), FIELDS, n=1)
    hint = f"Did you mean '{near[0]}'?" if near else f"There are {', '.join(FIELDS)}."
    return f"'{name}'. {hint}"


def _yaml(text):
    try:
        import yaml
    except ImportError:
        raise ImportError(
            "Recipes in YAML need the package PyYAML: `pip install pyyaml`, or write "
            "the recipe as JSON in a file .json."
        ) from None
    try:
        # A few aliases of aliases stand for more values than there is memory.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)):
            raise ValueError("write values where they belong, not as aliases (`*name`)")
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise ValueError(f"{message} (--help shows all options)")


def _parser():
    parser = _Parser(
        prog="python -m keras_spiking.train",
        usage="%(prog)s [recipe] [--option value ...]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    parser.add_argument("recipe", nargs="?", help="file with options, YAML or JSON")
    groups = {n: parser.add_argument_group(n, text) for n, text in _GROUPS.items()}
    for name, field in FIELDS.items():
        if name != "about":
            group = groups[field.metadata["group"]]
            group.add_argument(f"--{name.replace('_', '-')}", **_argument(field))
    return parser


def _argument(field):
    kind, choices = field.metadata["kind"], field.metadata["choices"]
    help = field.metadata["help"]
    if choices:
        help = f"{', '.join(choices)} {help.removeprefix('one of')}".strip()
    if field.default is not None and field.default is not False:
        shown = f"{field.default:g}" if kind is float else field.default
        help += f" (default: {shown})"
    if kind is bool:
        return {"action": argparse.BooleanOptionalAction, "help": help}
    if kind is dict:
        setting = {"nargs": "+", "type": _setting, "metavar": "NAME=VALUE"}
        return {**setting, "action": _Settings, "help": help}
    if isinstance(kind, list):
        return {"nargs": "+", "type": kind[0], "metavar": "N", "help": help}
    metavar = {int: "N", float: "X"}.get(kind, field.name.upper())
    return {"type": kind, "metavar": metavar, "help": help}


class _Settings(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None):
        setattr(namespace, self.dest, dict(values))


def _setting(text):
    name, equals, value = text.partition("=")
    try:
        return name, json.loads(value) if equals else True
    except ValueError:
        return name, value
