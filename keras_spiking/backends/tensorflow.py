"""TensorFlow: a loop over time that compiles under XLA."""

import keras
import tensorflow as tf


def while_loop(step, inputs, states, timesteps):
    """`ops.time_loop` as one `tf.while_loop`.

    The gradient of `keras.ops.scan` does not compile under XLA, which wants to
    know how many elements a list of saved tensors can have.
    """
    sequences = keras.tree.flatten(inputs)
    if timesteps is None:
        timesteps = tf.shape(sequences[0])[1]

    def array(x):
        x = tf.transpose(x, [1, 0, *range(2, len(x.shape))])
        array = tf.TensorArray(x.dtype, timesteps, element_shape=x.shape[1:])
        return array.unstack(x)

    arrays = [array(x) for x in sequences]

    def read(t):
        return keras.tree.pack_sequence_as(inputs, [a.read(t) for a in arrays])

    # What a step returns is known only once it has been traced; this trace is
    # pruned from the graph, since nothing uses its values.
    first = keras.tree.map_structure(lambda x: x[:, 0], inputs)
    example, _ = step(first, states)
    outputs = [
        tf.TensorArray(y.dtype, timesteps, element_shape=y.shape)
        for y in keras.tree.flatten(example)
    ]

    def body(t, outputs, states):
        y, states = step(read(t), states)
        ys = keras.tree.flatten(y)
        outputs = [a.write(t, y) for a, y in zip(outputs, ys)]
        return t + 1, outputs, states

    _, outputs, states = tf.while_loop(
        lambda t, *_: t < timesteps,
        body,
        (tf.constant(0), outputs, states),
        maximum_iterations=timesteps,
    )

    def stack(array, y):
        stacked = array.stack()
        stacked = tf.transpose(stacked, [1, 0, *range(2, len(y.shape) + 1)])
        stacked.set_shape([y.shape[0], None, *y.shape[1:]])
        return stacked

    examples = keras.tree.flatten(example)
    stacked = [stack(a, y) for a, y in zip(outputs, examples)]
    return keras.tree.pack_sequence_as(example, stacked), states
