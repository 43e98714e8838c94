"""AEDAT 2: recordings of jAER, CIFAR10-DVS (`.aedat`)."""

from keras_spiking.datasets.events import make_events
from keras_spiking.datasets.readers.binary import Unwrap
from keras_spiking.datasets.readers.binary import header_lines
from keras_spiking.datasets.readers.binary import not_a
from keras_spiking.datasets.readers.binary import records
from keras_spiking.validation import check_choice

# Where an address holds what: (shift, mask) of x, y and the bit of the polarity,
# whether that bit says "off", and the bit of addresses that are no such events.
_SENSORS = {
    "dvs128": ((1, 0x7F), (8, 0x7F), 0, 1, 15),
    "davis": ((12, 0x3FF), (22, 0x1FF), 11, 0, 31),
}


def stream(path, chunk_size, sensor="dvs128"):
    """Pairs of an address and a time in microseconds, 32 bits each, big endian.

    Coordinates are as the address holds them, which for many cameras means that
    the image is mirrored or turned.
    """
    layout = _SENSORS[check_choice("sensor", sensor, tuple(_SENSORS))]
    return _events(path, chunk_size, layout)


def _events(path, chunk_size, layout):
    (x_shift, x_mask), (y_shift, y_mask), polarity, off, special = layout
    unwrap = Unwrap(32)
    with open(path, "rb") as file:
        lines = header_lines(file, b"#")
        if not lines or not lines[0].startswith("!AER-DAT2"):
            raise not_a("AEDAT 2", path, "it does not begin with '#!AER-DAT2'")
        for record in records(file, [("a", ">u4"), ("t", ">u4")], chunk_size, path):
            address = record["a"].astype("uint32")
            events = make_events(
                unwrap(record["t"]),
                (address >> x_shift) & x_mask,
                (address >> y_shift) & y_mask,
                ((address >> polarity) & 1) ^ off,
            )
            yield events[(address >> special) & 1 == 0]
