"""Bars of progress, Keras's own."""

import keras

from keras_spiking.validation import check_choice


def check_verbose(verbose):
    """Returns `verbose` if it is 0, 1 or 2, as in `fit`."""
    return int(check_choice("verbose", verbose, (0, 1, 2)))


def progress_bar(total, verbose, unit_name):
    """A bar to which one adds what is done; with `verbose=0` it shows nothing."""
    return keras.utils.Progbar(total, verbose=verbose, unit_name=unit_name)
