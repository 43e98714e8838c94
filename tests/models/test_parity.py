"""The networks compute what SpikingJelly's do, spike for spike.

`tests/peers/generate_models.py` has recorded SpikingJelly.
"""

import hashlib
import json
import pathlib

import drawing
import keras
import numpy as np
import pytest
from backend import BACKEND
from backend import to_numpy

from keras_spiking import models
from keras_spiking.inspection.capture import Capture
from keras_spiking.inspection.selection import all_layers
from keras_spiking.inspection.selection import is_spiking

FOLDER = pathlib.Path(__file__).parents[1] / "data" / "models"
FOUR = {"filters": 4, "classes": 5}
TWO = {"filters": 2, "classes": 5}
DENSE = {**TWO, "units": 16, "dropout": 0.0}
BLOCKS = {"width": 24, "depth": 2, "heads": 3, "classes": 5}
STAGES = {"width": 32, "heads": (4, 8, 4), "classes": 5}
MAXIMA = {"depths": (1, 1, 2), "classes": 5}
PLIF = {"filters": 4, "units": 16, "dropout": 0.0}
CASES = {
    "spiking_resnet18": (models.SpikingResNet18, FOUR),
    "spiking_resnet50": (models.SpikingResNet50, FOUR),
    "sew_resnet18": (models.SEWResNet18, FOUR),
    "sew_resnet18_and": (models.SEWResNet18, {**FOUR, "connect": "AND"}),
    "sew_resnet34_iand": (models.SEWResNet34, {**FOUR, "connect": "IAND"}),
    "sew_resnet50_iand": (models.SEWResNet50, {**FOUR, "connect": "IAND"}),
    "sew_wide_resnet50": (models.SEWWideResNet50_2, FOUR),
    "sew_resnext50": (models.SEWResNeXt50_32x4d, {"filters": 16, "classes": 5}),
    "recurrent_sew_resnet18": (models.RecurrentSEWResNet18, TWO),
    "ms_resnet18": (models.MSResNet18, FOUR),
    "ms_resnet34_frames": (models.MSResNet34, FOUR),
    "spiking_vgg11": (models.SpikingVGG11, DENSE),
    "spiking_vgg13_bn": (models.SpikingVGG13BN, DENSE),
    "spiking_vgg16_bn": (models.SpikingVGG16BN, DENSE),
    "ottt_spiking_vgg11": (models.OTTTSpikingVGG11, DENSE),
    "ottt_spiking_vgg13_ws": (models.OTTTSpikingVGG13WS, DENSE),
    "ottt_spiking_vggws": (models.OTTTSpikingVGGWS, DENSE),
    "mnist_net": (models.MNISTNet, PLIF),
    "nmnist_net": (models.NMNISTNet, PLIF),
    "cifar10_net": (models.CIFAR10Net, PLIF),
    "cifar10_dvs_net": (models.CIFAR10DVSNet, PLIF),
    "dvs_gesture_net": (models.DVSGestureNet, PLIF),
    "spikformer": (models.Spikformer, BLOCKS),
    "spikformer_odd": (models.Spikformer, {**BLOCKS, "patch_size": 4}),
    "spikformer_if": (models.Spikformer, {**BLOCKS, "patch_size": 4, "neuron": "if"}),
    "spike_driven": (models.SpikeDrivenTransformer, BLOCKS),
    "spike_driven_plain": (
        models.SpikeDrivenTransformer,
        {**BLOCKS, "mlp_ratio": 1.0, "pooling": (False, True, False, True)},
    ),
    "qkformer": (models.QKFormer, {**STAGES, "depths": (1, 2, 1)}),
    "qkformer_channels": (
        models.QKFormer,
        {**STAGES, "depths": (1, 2, 0), "attention_over": "channels"},
    ),
    "maxformer": (models.MaxFormer, {**MAXIMA, "width": 64, "heads": 1}),
    "maxformer_cifar": (
        models.MaxFormer,
        {**MAXIMA, "width": 32, "heads": 8, "stem": "cifar"},
    ),
}
ONE_OF_EACH = {
    "spiking_resnet18",
    "sew_resnet18",
    "recurrent_sew_resnet18",
    "ms_resnet18",
    "spiking_vgg11",
    "ottt_spiking_vggws",
    "mnist_net",
    "spikformer_odd",
    "spike_driven_plain",
    "qkformer_channels",
    "maxformer_cifar",
}


def run(network, x, training):
    """Scores, and the spikes of all neurons by the name of their layer."""
    neurons = {n: x for n, x in all_layers(network).items() if is_spiking(x)}

    def note(capture, name, call, *args, **kwargs):
        return capture.note(name, call(*args, **kwargs))

    capture = Capture(network, neurons, {"call": note})
    x = keras.ops.convert_to_tensor(x)
    y = capture.run(lambda: network(x, training=training))
    return to_numpy(y), to_numpy(capture.assembled())


@pytest.mark.parametrize("case", CASES)
def test_spikes_and_scores_are_spikingjellys(case):
    if BACKEND != "numpy" and case not in ONE_OF_EACH:
        pytest.skip("compilers make it slow: one network of each family has to do")
    arrays = dict(np.load(FOLDER / f"{case}.npz"))
    about = json.loads(str(arrays["about"]))
    make, options = CASES[case]
    x = np.moveaxis(drawing.inputs(about["input_shape"], about["seed"]), -3, -1)
    network = make(x.shape[1:], **{"timesteps": 4, **options})
    state = drawing.state(about["shapes"], about["seed"], about.get("gain", 1.0))
    report = models.load_spikingjelly(network, state)
    assert report.by == "name" and not report.missing and not report.unused
    for mode in ("inference", "training"):
        scores, spikes = run(network, x, mode == "training")
        hashes = about[f"{mode}_hashes"]
        assert sorted(spikes) == sorted(hashes)
        for name, counts in zip(hashes, arrays[f"{mode}_counts"]):
            found = np.moveaxis(spikes[name], 1, 0)
            differ = found.reshape(len(found), -1).sum(1) - counts
            assert not differ.any(), f"{name}: {differ} spikes more than {counts}"
            bits = np.packbits(found.astype(bool)).tobytes()
            assert hashlib.sha256(bits).hexdigest() == hashes[name], name
        expected = arrays[f"{mode}_scores"]
        np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-4)
