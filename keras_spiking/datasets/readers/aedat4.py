"""AEDAT 4: recordings of DV (`.aedat4`), by the package `aedat`."""

from keras_spiking.datasets.events import make_events
from keras_spiking.datasets.readers.binary import not_a


def stream(path, chunk_size):
    """The events of the first stream of events, packet by packet."""
    try:
        import aedat
    except ImportError:
        raise ImportError(
            "Reading AEDAT 4 needs the package aedat: "
            'pip install "keras3-spiking[events]"'
        ) from None
    # aedat raises plain `Exception`s, whose message alone says what is wrong.
    try:
        decoder = aedat.Decoder(path)
    except Exception as error:
        raise not_a("AEDAT 4", path, error) from error
    streams = decoder.id_to_stream().items()
    chosen = min((i for i, s in streams if s["type"] == "events"), default=None)
    if chosen is None:
        raise not_a("AEDAT 4", path, "it has no stream of events")
    while True:
        try:
            packet = next(decoder)
        except StopIteration:
            return
        except Exception as error:
            raise ValueError(
                f"The recording {str(path)!r} is damaged or truncated: {error}"
            ) from error
        if packet["stream_id"] == chosen:
            events = packet["events"]
            polarity = "on" if "on" in events.dtype.names else "p"
            yield make_events(*(events[name] for name in ("t", "x", "y", polarity)))
