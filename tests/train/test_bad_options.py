"""What a command line asks wrongly is told in one line, before anything is trained."""

import contextlib
import json
import os
import signal
import sys

import numpy as np
import pytest
from backend import BACKEND
from small_network import main
from small_network import small_network
from small_network import write_images

from keras_spiking.files import claimed
from keras_spiking.train import checkpoint

pytestmark = pytest.mark.skipif(BACKEND == "numpy", reason="does not train")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_images("images.npz")


def refused(capsys, *arguments):
    """The one line that a wrong command line is answered with."""
    network = [] if "--model" in arguments else ["--model", "small_network"]
    data = [] if "--data" in arguments else ["--data", "images.npz"]
    assert main([*network, *data, *map(str, arguments)]) == 2
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert line.startswith("keras_spiking.train: ")
    assert not os.path.exists("runs")
    return line


def write(path, text):
    with open(path, "w") as file:
        file.write(text)
    return path


def test_unknown_networks_are_told_which_there_are(capsys):
    line = refused(capsys, "--model", "resnet_9000")
    assert "resnet_9000" in line and "SEWResNet18" in line


def test_unknown_neurons_are_told_which_there_are(capsys):
    arguments = [
        "--model",
        "sew_resnet18",
        "--model-options",
        "stem=cifar",
        "filters=1",
    ]
    line = refused(capsys, *arguments, "--neuron", "spiky")
    assert "'spiky'" in line and "'lif'" in line


def test_unknown_data_are_told_which_there_are(capsys):
    line = refused(capsys, "--data", "imagenet")
    for name in ("imagenet", "digits", "gestures", "dvs128_gesture", "tonic:<name>"):
        assert name in line


def test_unknown_options_of_a_network(capsys):
    line = refused(capsys, "--model-options", "width=3")
    assert "'width'" in line and "units" in line


def test_unknown_augmentation(capsys):
    assert "'cutout'" in refused(capsys, "--augmentation", "blur=3")


def test_an_input_too_small_for_the_strides(capsys):
    line = refused(capsys, "--model", "sew_resnet18")
    assert "at least 32 x 32" in line and "(7, 9, 1)" in line


def test_classes_that_do_not_fit_the_weights(capsys):
    small_network((7, 9, 1), classes=5).save_weights("five.weights.h5")
    line = refused(capsys, "--weights", "five.weights.h5")
    assert "five.weights.h5" in line and "do not fit" in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "0"], "`epochs` must be at least 1"),
        (["--epochs", "ten"], "--epochs: invalid int value: 'ten'"),
        (["--learning-rate", "-1"], "`learning_rate` must be greater than 0"),
        (["--optimizer", "adm"], "`optimizer` must be one of 'sgd'"),
        (["--epoch", "3"], "There is no option 'epoch'. Did you mean 'epochs'?"),
        (["--batch-size", "100"], "36 samples for training"),
        (["--resume"], "no training to go on with"),
        (["--data", "nothing.npz"], "no file 'nothing.npz'"),
        (["--data", "n_mnist"], "needs --data-dir"),
        (["nothing.yaml"], "no recipe 'nothing.yaml'"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ",
)
def test_options_out_of_range(capsys, arguments, message):
    assert message in refused(capsys, *arguments)


def test_unknown_keys_of_a_recipe(capsys):
    path = write("recipe.json", json.dumps({"epoch": 3}))
    line = refused(capsys, path)
    assert "'recipe.json': there is no option 'epoch'. Did you mean 'epochs'?" in line


@pytest.mark.parametrize("text", ["{", "[1]", "epochs: [", "epochs: 'three'"])
@pytest.mark.parametrize("name", ["recipe.json", "recipe.yaml"])
def test_broken_recipes(capsys, name, text):
    assert "recipe" in refused(capsys, write(name, text)) or "epochs" in text


def test_recipes_that_unfold(capsys):
    lines = [f"x0: &x0 [{'0, ' * 9}0]"]
    lines += [f"x{i}: &x{i} [{f'*x{i - 1}, ' * 9}0]" for i in range(1, 40)]
    assert "aliases" in refused(capsys, write("recipe.yaml", "\n".join(lines)))
    assert "recursion" in refused(capsys, write("recipe.json", "[" * 100_000))


def test_backends_that_are_not_installed(capsys, monkeypatch):
    find_spec = "keras_spiking.train.__main__.importlib.util.find_spec"
    monkeypatch.setattr(find_spec, lambda name: None)
    line = refused(capsys, "--backend", "torch")
    assert "'torch' is not installed: `pip install torch`" in line


def test_data_without_the_package_for_them(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tonic", None)
    assert "pip install tonic" in refused(capsys, "--data", "tonic:NMNIST")


def write_folder(folder, classes=("cat", "dog")):
    import PIL.Image

    for number, name in enumerate(classes):
        os.makedirs(f"{folder}/{name}")
        for i in range(5):
            image = np.full((12, 10, 3), 80 * number + i, "uint8")
            PIL.Image.fromarray(image).save(f"{folder}/{name}/{i}.png")


def test_a_folder_without_classes(capsys):
    write_folder("pictures/cats")
    os.makedirs("empty")
    assert "no classes in 'empty'" in refused(capsys, "--data", "empty")
    write("empty/picture.png", "")
    assert "no classes in 'empty'" in refused(capsys, "--data", "empty")


def test_unreadable_files_are_named_and_left_out_only_on_request(capsys):
    write_folder("pictures")
    whole = open("pictures/cat/1.png", "rb").read()
    with open("pictures/cat/1.png", "wb") as file:
        file.write(whole[:-30])
    write("pictures/dog/notes.txt", "good dog")
    arguments = ["--data", "pictures", "--batch-size", "2", "--image-size", "8"]
    line = refused(capsys, *arguments)
    assert "2 of 11 files" in line and "--skip-unreadable" in line
    for name in ("cat/1.png", "dog/notes.txt"):
        assert os.path.join("pictures", *name.split("/")) in line
    model = ["--model", "small_network", "--epochs", "1", "--no-firing-rates"]
    assert main([*model, *arguments, "--skip-unreadable"]) == 0
    printed = capsys.readouterr()
    assert "left out" in printed.err and "notes.txt" in printed.err
    assert (
        "4 steps of 2 an epoch" in printed.out
    )  # 9 images, of which one is for validation


def test_recordings_need_a_sensor(capsys):
    os.makedirs("events/left")
    write("events/left/1.npy", "")
    assert "--sensor-shape" in refused(capsys, "--data", "events")


def test_another_training_in_the_folder(capsys):
    arguments = ["--model", "small_network", "--data", "images.npz", "--output", "run"]
    arguments += ["--epochs", "1", "--no-firing-rates"]
    assert main(arguments) == 0
    assert "holds a training already. Add --resume" in refused(
        capsys, "--output", "run"
    )
    line = refused(capsys, *arguments, "--resume", "--model", "sew_resnet18")
    assert "started with model='small_network'" in line
    with claimed("run"):
        line = refused(capsys, "--output", "run", "--resume")
    assert "Another process trains in 'run'" in line
    checkpoint = open("run/checkpoint.npz", "rb").read()
    with open("run/checkpoint.npz", "wb") as file:
        file.write(checkpoint[:100])
    line = refused(capsys, "--output", "run", "--resume")
    assert "checkpoint.npz' is not an `.npz` file of arrays, or it is damaged" in line


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path, capsys, monkeypatch):
    """The third checkpoint cannot be written; the second is whole."""
    save, epochs = checkpoint.Checkpoint.save, []

    def save_until_full(self):
        epochs.append(self.epoch)
        with full_disk() if len(epochs) == 3 else contextlib.nullcontext():
            save(self)

    monkeypatch.setattr(checkpoint.Checkpoint, "save", save_until_full)
    arguments = ["--model", "small_network", "--data", "images.npz", "--output", "run"]
    arguments += ["--epochs", "3", "--no-firing-rates"]
    assert main(arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "File too large" in line and "--output run --resume" in line
    assert not list((tmp_path / "run").glob(".part-*"))
    assert main([*arguments, "--resume"]) == 0
    assert "after epoch 2, step 0" in capsys.readouterr().out


@contextlib.contextmanager
def full_disk(limit=200):
    """Files cannot grow: what writes them gets an error of the operating system."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_without_tensorboard(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    name = "tensorboard.summary.writer.event_file_writer"
    monkeypatch.setitem(sys.modules, name, None)
    assert "pip install tensorboard" in refused(capsys, "--tensorboard")
