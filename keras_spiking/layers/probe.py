import keras


class Probe(keras.layers.Layer):
    """Room for variables that a callback adds to a layer which is built already.

    Keras lets no layer have further variables once it has been built. This one
    says from the start that it is built, but its `build` never runs: while any
    layer says that it is not, Keras traces the model at every `train_on_batch`.

    Its variables take part in training steps, as state does on all backends, but
    they are no weights of the model: weights are neither counted nor checkpointed
    with them. Those that a training has to be resumed with are saved by name, and
    loading does not ask for them.
    """

    def __init__(self, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.built = True
        self.named = {}
        self.saved = []
        self._loaded = {}

    def variable(self, name, shape, save=False):
        """The variable of this name, zeros at first; made if there is none."""
        if name in self.named and tuple(self.named[name].shape) != tuple(shape):
            raise ValueError(
                f"'{name}' was made for the shape {tuple(self.named[name].shape)}. "
                f"Received: shape={tuple(shape)}"
            )
        if name not in self.named:
            self.named[name] = self.add_weight(
                name=name,
                shape=shape,
                initializer="zeros",
                trainable=False,
                autocast=False,
            )
            if save:
                self.saved.append(name)
            if name in self._loaded:
                self.named[name].assign(self._loaded.pop(name))
        return self.named[name]

    def reset(self):
        """Sets what is saved, the traces of learning rules, back to zeros."""
        for name in self.saved:
            self.named[name].assign(keras.ops.zeros(self.named[name].shape))
        self._loaded.clear()

    def quantize(self, mode=None, type_check=True, config=None):
        """Nothing: `model.quantize` need not warn of a layer that has no weights."""

    @property
    def weights(self):
        return []

    def save_own_variables(self, store):
        for name in self.saved:
            store[name] = keras.ops.convert_to_numpy(self.named[name])

    def load_own_variables(self, store):
        # The callback that asks for a variable may come after the one that loads.
        for name in store.keys():
            if name in self.named:
                self.named[name].assign(store[name][...])
            else:
                self._loaded[name] = store[name][...]
