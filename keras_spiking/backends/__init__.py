"""What a backend does better than `keras.ops` does: one module a backend."""

from keras_spiking.backends.explain import explain
