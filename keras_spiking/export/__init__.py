"""Networks for other systems: Lava (Loihi), NIR, microcontrollers (C), FPGAs."""

from keras_spiking.export.from_nir import from_nir
from keras_spiking.export.hls4ml import register_hls4ml
from keras_spiking.export.lava import from_lava
from keras_spiking.export.lava import to_lava
from keras_spiking.export.lava_simulation import simulate_lava
from keras_spiking.export.nir_data import from_nir_data
from keras_spiking.export.nir_data import to_nir_data
from keras_spiking.export.to_c import to_c
from keras_spiking.export.to_nir import to_nir

__all__ = [
    "from_lava",
    "from_nir",
    "from_nir_data",
    "register_hls4ml",
    "simulate_lava",
    "to_c",
    "to_lava",
    "to_nir",
    "to_nir_data",
]
