"""Converted networks compute what the ANN computes."""

import keras
import numpy as np
import pytest
from backend import to_numpy
from keras import layers
from keras import ops

from keras_spiking import conversion
from keras_spiking.conversion.calibration import thresholds
from keras_spiking.conversion.convert import analog_graph
from keras_spiking.conversion.graph import run


def images(n=8, shape=(8, 8, 2)):
    return np.random.default_rng(0).uniform(-1, 1, (n, *shape)).astype("float32")


def randomize_norms(model):
    rng = np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            n = layer.gamma.shape
            layer.set_weights(
                [rng.uniform(0.5, 1.5, n), rng.normal(size=n) * 0.2]
                + [rng.normal(size=n) * 0.2, rng.uniform(0.5, 1.5, n)]
            )
    return model


def small_network():
    inputs = keras.Input((8, 8, 2))
    x = layers.Conv2D(4, 3, use_bias=False)(inputs)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    y = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    x = layers.MaxPooling2D()(layers.Add()([x, y]))
    x = layers.Dropout(0.5)(layers.Flatten()(x))
    return randomize_norms(
        keras.Model(inputs, layers.Dense(5, activation="softmax")(x))
    )


def errors(ann, x, steps, **options):
    snn = conversion.convert(ann, x, max(steps), method="max", **options)
    curve = conversion.simulate(snn, x)
    expected = ann.predict(x, verbose=0)[:, None]
    return [np.abs(curve - expected)[:, t - 1].mean() for t in steps]


def test_error_falls_like_one_over_the_number_of_steps():
    early, late = errors(small_network(), images(), (20, 200))
    assert late < early / 6
    assert late < 0.002


RELUS = {
    "layer": lambda x: layers.ReLU()(x),
    "activation": lambda x: layers.Activation("relu")(x),
    "op": lambda x: ops.relu(x),
    "op relu6": lambda x: ops.relu6(x),
    "relu6": lambda x: layers.ReLU(max_value=6)(x),
    "low maximum": lambda x: layers.ReLU(max_value=0.3)(x),
    "maximum with 0": lambda x: ops.maximum(x, 0.0),
    "maximum with zeros": lambda x: ops.maximum(x1=np.zeros(8, "float32"), x2=x),
    "activation function": lambda x: keras.activations.relu(x, max_value=0.3),
    "leaky function": lambda x: keras.activations.relu(x, negative_slope=0.1),
    "leaky": lambda x: layers.LeakyReLU(0.3)(x),
    "leaky activation": lambda x: layers.Activation("leaky_relu")(x),
    "leaky op": lambda x: ops.leaky_relu(x, 0.1),
    "prelu": lambda x: layers.PReLU(alpha_initializer="glorot_uniform")(x),
    "fused": lambda x: layers.Dense(4, activation="relu")(x),
    "fused layer": lambda x: layers.Dense(4, activation=layers.LeakyReLU(0.1))(x),
}


def test_relu_in_every_spelling():
    inputs = keras.Input((6,))
    branches = [relu(layers.Dense(8)(inputs)) for relu in RELUS.values()]
    outputs = {name: layers.Dense(3)(y) for name, y in zip(RELUS, branches)}
    ann, x = keras.Model(inputs, outputs), images(shape=(6,))
    snn = conversion.convert(ann, x, 300, method="max")
    found, expected = snn.predict(x, verbose=0), ann.predict(x, verbose=0)
    for name in RELUS:
        assert np.abs(found[name] - expected[name]).mean() < 0.01, name


LINEAR = {
    "dense": (lambda: [layers.Dense(5), layers.BatchNormalization()], (6,)),
    "conv1d": (lambda: [layers.Conv1D(3, 2), layers.BatchNormalization()], (6, 2)),
    "conv3d": (
        lambda: [layers.Conv3D(3, 2, use_bias=False), layers.BatchNormalization()],
        (4, 4, 4, 2),
    ),
    "depthwise": (
        lambda: [
            layers.DepthwiseConv2D(3, depth_multiplier=2),
            layers.BatchNormalization(),
        ],
        (6, 6, 2),
    ),
    "separable": (
        lambda: [layers.SeparableConv2D(5, 3), layers.BatchNormalization()],
        (6, 6, 2),
    ),
    "transposed": (
        lambda: [layers.Conv2DTranspose(3, 3, 2), layers.BatchNormalization()],
        (4, 4, 2),
    ),
    "norm before dense": (
        lambda: [layers.BatchNormalization(), layers.Dense(4)],
        (6,),
    ),
    "norm before conv": (
        lambda: [layers.BatchNormalization(), layers.Conv2D(4, 3)],
        (6, 6, 2),
    ),
    "norm before depthwise": (
        lambda: [layers.BatchNormalization(), layers.DepthwiseConv2D(3)],
        (6, 6, 2),
    ),
    "input normalization": (
        lambda: [
            layers.Normalization(mean=[0.1, 0.4], variance=[0.2, 0.5]),
            layers.Conv2D(4, 3),
        ],
        (6, 6, 2),
    ),
    "rescaling": (lambda: [layers.Rescaling(0.5, 0.1), layers.Dense(4)], (6,)),
}


@pytest.mark.parametrize("name", LINEAR)
def test_normalisation_is_folded_exactly(name):
    make, shape = LINEAR[name]
    ann = keras.Sequential([keras.Input(shape), *make(), layers.ReLU()])
    randomize_norms(ann)
    x = images(shape=shape)
    graph = analog_graph(ann)
    assert len(graph.calls) == 2
    y = graph.calls[1].operation(graph.calls[0].operation(x))
    np.testing.assert_allclose(to_numpy(y), to_numpy(ann(x)), atol=2e-5)


def test_normalisation_in_front_of_padding_is_kept():
    ann = randomize_norms(
        keras.Sequential(
            [
                keras.Input((6, 6, 2)),
                layers.BatchNormalization(),
                layers.Conv2D(4, 3, padding="same", activation="relu"),
            ]
        )
    )
    assert len(analog_graph(ann).calls) == 3
    assert errors(ann, images(shape=(6, 6, 2)), (200,))[0] < 0.01


def test_shape_layers_and_pooling():
    inputs = keras.Input((8, 8, 2))
    x = layers.ZeroPadding2D(1)(layers.Conv2D(4, 3, activation="relu")(inputs))
    x = layers.Cropping2D(1)(layers.UpSampling2D()(layers.AveragePooling2D(2)(x)))
    x = layers.SeparableConv2D(4, 2, activation="relu")(x)
    x = layers.MaxPooling2D(2)(layers.Conv2DTranspose(4, 2, activation="relu")(x))
    x = layers.Permute((2, 1, 3))(x)
    maximum = layers.GlobalMaxPooling2D()(x)
    mean = layers.GlobalAveragePooling2D()(x)
    x = layers.Reshape((4, 2))(layers.Concatenate()([maximum, mean]))
    x = layers.Average()([x, layers.Conv1D(2, 1, activation="relu")(x)])
    ann = keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x)))
    assert errors(ann, images(), (300,))[0] < 0.01


def test_integers_are_rescaled_before_anything_else():
    ann = keras.Sequential(
        [
            keras.Input((6, 6, 1), dtype="uint8"),
            layers.Rescaling(1 / 255),
            layers.RandomFlip(),
            layers.Conv2D(4, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )
    x = np.random.default_rng(0).integers(0, 256, (8, 6, 6, 1)).astype("uint8")
    assert errors(ann, x, (200,))[0] < 0.01


def test_functions_of_ops():
    block_input = keras.Input((6, 4))
    relu = ops.relu(layers.Dense(4)(block_input))
    block = keras.Model(block_input, 1.0 - 2.0 * relu / 3.0)
    inputs = keras.Input((6, 4))
    x = ops.relu(block(block(inputs)))
    x = ops.maximum(x, layers.Dense(4, activation="relu")(inputs))
    x = ops.concatenate([ops.max(x, axis=1), ops.mean(x[:, ::2], axis=1)], axis=-1)
    logits = layers.Dense(3)(x)
    outputs = [logits, ops.softmax(logits), logits, 1.0 - logits]
    ann, x = keras.Model(inputs, outputs), images(shape=(6, 4))
    snn = conversion.convert(ann, x, 300, method="max")
    curves = conversion.simulate(snn, x, 4)
    for expected, found, curve in zip(
        ann.predict(x, verbose=0), snn.predict(x, verbose=0), curves
    ):
        np.testing.assert_allclose(found, expected, atol=0.05)
        assert curve.shape == (8, 4, 3)


def test_inputs_of_any_size():
    inputs = keras.Input((None, None, 2))
    x = layers.Conv2D(4, 3, activation="relu")(inputs)
    x = layers.Conv2D(4, 3, activation="leaky_relu")(x)
    ann = keras.Model(inputs, layers.GlobalAveragePooling2D()(x))
    assert errors(ann, images(), (200,))[0] < 0.01
    snn = conversion.convert(ann, images(), 4)
    report = conversion.report(snn, ann, images())
    assert report.ann_macs == 6 * 6 * 9 * 2 * 4 + 4 * 4 * 9 * 4 * 4


def test_calibration_data_by_the_names_of_inputs():
    inputs = [keras.Input((4,), name="second"), keras.Input((4,), name="first")]
    x, y = (layers.Dense(4, activation="relu")(x) for x in inputs)
    ann = keras.Model(inputs, layers.Dense(3)(x - y))
    data = {"first": images(shape=(4,)), "second": 10.0 * images(shape=(4,))}
    by_name, by_order = (
        conversion.convert(ann, x, 8).predict(data, verbose=0)
        for x in (data, [data["second"], data["first"]])
    )
    np.testing.assert_array_equal(by_name, by_order)


def test_structures_of_models():
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4, activation="relu")])
    shared = layers.Dense(4, activation="relu")
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    x = inner(shared(a)) + inner(shared(b))
    first = layers.Dense(2, activation="softmax", name="first")(x)
    outputs = {"first": first, "second": layers.Dense(3, name="second")(x), "in": b}
    ann = keras.Model({"a": a, "b": b}, outputs)
    data = {"a": images(8, (4,)), "b": images(8, (4,)) ** 2}
    snn = conversion.convert(ann, data, 300, method="max")
    found, expected = snn.predict(data, verbose=0), ann.predict(data, verbose=0)
    assert snn.output_names == ["first", "b_output", "second"]
    assert set(found) == set(expected)
    for name, y in expected.items():
        np.testing.assert_allclose(found[name], y, atol=0.02)
    curve = conversion.simulate(snn, data, 5)
    assert curve["second"].shape == (8, 5, 3)


def test_the_ann_is_not_changed():
    ann = small_network()
    before = [w.copy() for w in ann.get_weights()], ann.get_config()
    snn = conversion.convert(ann, images(), 4)
    conversion.report(snn, ann, images())
    for w, v in zip(before[0], ann.get_weights()):
        np.testing.assert_array_equal(w, v)
    assert ann.get_config() == before[1]
    assert all(layer.output is not None for layer in ann.layers)


@pytest.mark.parametrize("neuron", [None, "signed"])
def test_saved_and_loaded(neuron, tmp_path):
    x = images()
    snn = conversion.convert(
        small_network(), x, 9, channel_wise=True, delay=2, neuron=neuron
    )
    snn.save(tmp_path / "snn.keras")
    loaded = keras.models.load_model(tmp_path / "snn.keras")
    assert isinstance(loaded, conversion.SpikingModel) and loaded.timesteps == 9
    np.testing.assert_allclose(
        loaded.predict(x, verbose=0), snn.predict(x, verbose=0), atol=1e-6
    )


def test_number_of_steps_can_be_changed():
    x = images()
    snn = conversion.convert(small_network(), x, 3)
    short = snn.predict(x, verbose=0)
    curve = conversion.simulate(snn, x, 12)
    snn.timesteps = 12
    np.testing.assert_allclose(curve[:, 2], short, atol=1e-5)
    np.testing.assert_allclose(curve[:, 11], snn.predict(x, verbose=0), atol=1e-5)
    with pytest.raises(ValueError, match="timesteps"):
        snn.timesteps = 0


def test_evaluates_like_the_ann():
    ann, x = small_network(), images(32)
    snn = conversion.convert(ann, x, 200)
    y = np.eye(5)[np.argmax(ann.predict(x, verbose=0), axis=-1)]
    snn.compile(loss="categorical_crossentropy", metrics=["accuracy"])
    assert snn.evaluate(x, y, verbose=0, return_dict=True)["accuracy"] > 0.9


def qcfs_network(levels):
    inputs = keras.Input((8, 8, 2))
    x = conversion.QCFS(levels, threshold=1.3)(layers.Conv2D(4, 3)(inputs))
    y = conversion.QCFS(levels, threshold=0.7)(layers.Conv2D(4, 3, padding="same")(x))
    x = layers.MaxPooling2D()(layers.Add()([x, y]))
    x = conversion.QCFS(levels, threshold=0.9)(layers.Dense(16)(layers.Flatten()(x)))
    return keras.Model(inputs, layers.Dense(5)(x))


@pytest.mark.parametrize("levels", [4, 8])
def test_qcfs_converts_without_loss(levels):
    ann, x = qcfs_network(levels), images()
    snn = conversion.convert(ann, x, timesteps=levels)
    np.testing.assert_allclose(
        snn.predict(x, verbose=0), ann.predict(x, verbose=0), atol=1e-5
    )


def test_bursts_quantise_every_layer_and_do_nothing_else():
    ann, x, timesteps = small_network(), images(), 8
    graph = analog_graph(ann)
    found = thresholds(graph, [x], timesteps, "max", 0, 0, False, 32)

    def quantised(call):
        if call.name not in found:
            return call.operation
        quantum = found[call.name] / timesteps
        return lambda y: quantum * ops.clip(ops.floor(y / quantum + 0.5), 0, timesteps)

    values = {id(graph.inputs): ops.convert_to_tensor(x)}
    expected = run(graph.calls, values, quantised)[id(graph.outputs)]
    snn = conversion.convert(ann, x, timesteps, method="max", neuron="burst")
    np.testing.assert_allclose(snn.predict(x, verbose=0), to_numpy(expected), atol=1e-4)


def test_poisson_input_converges():
    ann = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(16, activation="relu"),
            layers.Dense(3),
        ]
    )
    x = images(shape=(6,))
    early, late = errors(ann, x, (20, 2000), encoding="poisson", seed=1)
    assert late < 0.05 and late < early / 3


def test_delayed_readout_leaves_out_the_first_steps():
    x = images()
    ann = small_network()
    ann = keras.Model(ann.inputs, ann.layers[-2].output)
    sums = [
        conversion.simulate(conversion.convert(ann, x, 10, delay=delay), x)
        * np.r_[np.arange(1, delay + 1), np.arange(1, 11 - delay)][:, None]
        for delay in (0, 4)
    ]
    np.testing.assert_allclose(sums[1][:, 9], sums[0][:, 9] - sums[0][:, 3], atol=1e-4)


@pytest.mark.parametrize("correction", ["bias", "potential"])
def test_correction_makes_mean_rates_right(correction):
    inputs = keras.Input((8, 8, 2))
    x = layers.Conv2D(4, 3, activation="relu")(inputs)
    x = layers.Conv2D(4, 3, activation="relu")(x)
    ann, x = keras.Model(inputs, layers.GlobalAveragePooling2D()(x)), images(16)
    target = ann.predict(x, verbose=0).mean(axis=0)

    def bias(correction):
        snn = conversion.convert(ann, x, 8, percentile=90.0, correction=correction)
        return np.abs(snn.predict(x, verbose=0).mean(axis=0) - target).max()

    assert bias(correction) < 0.75 * bias(None)
