"""Spiking layers for hls4ml, which writes networks for FPGAs."""

import functools

__all__ = ["register_hls4ml"]


@functools.cache
def register_hls4ml() -> None:
    """Teaches hls4ml the spiking layers of this package, for FPGAs.

    Afterwards hls4ml's own functions take Keras models with `IFLayer`, `LIFLayer`,
    `ParametricLIFLayer` (hard and soft reset) and `SeqToBatch`. They become layers of
    hls4ml's Vivado and Vitis backends, with `io_parallel` and `io_stream`; the
    configuration of each can be set as that of hls4ml's own layers:

    - `Precision: potential`, the type of membrane potentials, thresholds and resets.
      Defaults to `fixed<32,12,RND,SAT>`.
    - `Precision: decay`, the type of `1 / tau`. Defaults to `ufixed<18,1,RND,SAT>`.
    - `ReuseFactor`, the clock cycles between two time steps.

    Spikes are one bit. They are those of `model.predict` if the types hold weights,
    sums and membrane potentials exactly, and else where the membrane potential is not
    within rounding of the threshold.

    The number of time steps must be fixed, `keras.Input((timesteps, ...))`. The state
    starts fresh for each sample. Calling the function again does nothing.

    Raises:
        ImportError: if hls4ml is not installed, or is older than 1.3.

    Example:

    ```python
    keras_spiking.export.register_hls4ml()
    config = hls4ml.utils.config_from_keras_model(model, granularity="name")
    config["LayerName"]["lif"]["Precision"]["potential"] = "fixed<24,8>"
    project = hls4ml.converters.convert_from_keras_model(
        model, hls_config=config, backend="Vitis", output_dir="network"
    )
    project.compile()  # C++ on this computer
    spikes = project.predict(x)
    ```

    References:
        - [Duarte et al., 2018](https://arxiv.org/abs/1804.06913)
    """
    try:
        import hls4ml.converters.keras_v3  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "Networks for FPGAs need the package `hls4ml`, 1.3 or newer: "
            "`pip install hls4ml`."
        ) from error
    from keras_spiking.export import hls4ml_layers

    hls4ml_layers.register()
