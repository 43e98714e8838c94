"""The metrics of NeuroBench, for models on any backend."""

from keras_spiking.neurobench.metrics import run
from keras_spiking.neurobench.metrics import to_neurobench_model

__all__ = ["run", "to_neurobench_model"]
