"""Networks with their weights in a folder, as KerasHub lays it out.

config.json        the configuration of the model
model.weights.h5   its weights
metadata.json      versions, number of parameters, date
README.md          the model card
"""

import datetime
import importlib
import json
import os
import pathlib
import shutil
import uuid

import keras

from keras_spiking.models.weights import load_weights as load
from keras_spiking.validation import check_bool
from keras_spiking.version import __version__

CONFIG = "config.json"
WEIGHTS = "model.weights.h5"
METADATA = "metadata.json"
CARD = "README.md"

_OF_A_CALL = ("compile_config", "build_config")
# Options that Keras has had since 3.13 or later, and their defaults.
_NEW = {
    "input_axes": None,
    "output_axes": None,
    "quantization_config": None,
    "renorm": False,
    "renorm_clipping": None,
    "renorm_momentum": 0.99,
}


def presets() -> dict[str, str]:
    """The trained networks that come with the package.

    Returns:
        Dictionary from names to the first lines of the model cards.

    Example:

    >>> for name, title in keras_spiking.models.presets().items():
    ...     print(name, "-", title)  # doctest: +SKIP
    """
    folders = sorted(path.parent for path in _shipped().glob(f"*/{CONFIG}"))
    return {f.name: (f / CARD).read_text().split("\n")[0].lstrip("# ") for f in folders}


def from_preset(preset: str | os.PathLike, *, load_weights: bool = True) -> keras.Model:
    """Loads a network from a preset.

    Args:
        preset: Name of a network that comes with the package, see
            `keras_spiking.models.presets`; path of a folder; or an address
            `"hf://user/model"` (needs `huggingface_hub`) or
            `"kaggle://user/model/keras/variation"` (needs `kagglehub`).
        load_weights: Boolean, whether weights are loaded, or left random. Defaults to
            `True`.

    Returns:
        The Keras model.

    Raises:
        ValueError: if there is no such preset, or its files do not fit each other.

    Example:

    >>> model = keras_spiking.models.from_preset("sew_resnet18_digits")
    >>> model.output_shape
    (None, 10)
    """
    folder = _folder(preset)
    try:
        config = json.loads((folder / CONFIG).read_text("utf-8"))
        model = keras.saving.deserialize_keras_object(config, safe_mode=True)
    except Exception as error:
        raise ValueError(
            f"{os.fsdecode(folder / CONFIG)!r} describes no Keras model: {error}"
        ) from error
    if not isinstance(model, keras.Model):
        raise ValueError(
            f"{os.fsdecode(folder / CONFIG)!r} describes a {type(model).__name__}, "
            "which is no Keras model."
        )
    if check_bool("load_weights", load_weights):
        load(model, folder / WEIGHTS)
    return model


def save_to_preset(
    model: keras.Model, folder: str | os.PathLike, *, card: str = ""
) -> None:
    """Saves a network as a preset: a folder that appears whole or not at all.

    Args:
        model: Built Keras model.
        folder: Path of the folder, which must not exist.
        card: Text of the model card in Markdown: what the network was trained on and
            how, how good it is, and its licence. Its first line is the title.

    Raises:
        ValueError: if the model is not built, or the folder exists.

    Example:

    >>> model = keras_spiking.models.SEWResNet18((32, 32, 3), filters=2, classes=5)
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     keras_spiking.models.save_to_preset(model, f"{folder}/mine")
    ...     keras_spiking.models.from_preset(f"{folder}/mine").output_shape
    (None, 5)
    """
    if not isinstance(model, keras.Model) or not model.built:
        raise ValueError(f"`model` must be a built Keras model. Received: {model!r}")
    folder = pathlib.Path(folder)
    if folder.exists() or not folder.absolute().parent.is_dir():
        raise ValueError(
            "`folder` must be a new folder in one that exists. Received: "
            f"folder={os.fsdecode(folder)!r}"
        )
    metadata = {
        "keras_version": keras.__version__,
        "keras_spiking_version": __version__,
        "parameter_count": model.count_params(),
        "date_saved": datetime.datetime.now().strftime("%Y-%m-%d@%H:%M:%S"),
    }
    temporary = folder.absolute().parent / f".{uuid.uuid4().hex}.part"
    temporary.mkdir()
    try:
        config = _without(keras.saving.serialize_keras_object(model))
        (temporary / CONFIG).write_text(json.dumps(config))
        (temporary / METADATA).write_text(json.dumps(metadata, indent=4))
        (temporary / CARD).write_text(card or f"# {model.name}\n")
        model.save_weights(temporary / WEIGHTS)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _without(config):
    """A configuration without what belongs to a training or a first call.

    And without options at their defaults that older versions of Keras do not know.
    """
    if isinstance(config, dict):
        return {
            key: _without(value)
            for key, value in config.items()
            if key not in _OF_A_CALL and not (key in _NEW and value == _NEW[key])
        }
    if isinstance(config, (list, tuple)):
        return [_without(item) for item in config]
    return config


def _shipped():
    return (
        pathlib.Path(str(importlib.resources.files("keras_spiking.models"))) / "trained"
    )


def _folder(preset):
    text = os.fsdecode(preset)
    if text.startswith("hf://"):
        return pathlib.Path(_hub("huggingface_hub").snapshot_download(text[5:]))
    if text.startswith("kaggle://"):
        return pathlib.Path(_hub("kagglehub").model_download(text[9:]))
    for folder in (pathlib.Path(preset), _shipped() / text):
        if (folder / CONFIG).is_file():
            return folder
    raise ValueError(
        f"There is no preset {text!r}. It may be one of {', '.join(presets())}, a "
        f"folder with a `{CONFIG}`, or an address that begins with `hf://` or "
        "`kaggle://`."
    )


def _hub(package):
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(
            f"This address needs the package `{package}`: pip install {package}"
        ) from error
