"""Objects in the configurations of others."""

import keras


def with_objects(config, *names):
    """A configuration that has objects where their configurations stand.

    What is missing, or of a wrong kind, is left to the constructor, which says so.

    Args:
        config: Dictionary.
        *names: Names of entries, each a configuration, or a list or dictionary of them.
    """
    found = {name: _object(config[name]) for name in names if name in config}
    return {**config, **found}


def _object(config):
    if isinstance(config, (list, tuple)):
        return [_object(item) for item in config]
    if isinstance(config, dict) and "class_name" not in config:
        return {name: _object(item) for name, item in config.items()}
    if isinstance(config, keras.layers.Layer):
        return config
    return keras.saving.deserialize_keras_object(config)
