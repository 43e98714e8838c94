"""Wrote `tests/data/dv.aedat4` and `dv.npy`, its events, with dv-processing 2.0.4.

Usage: python write_aedat4.py folder
"""

import pathlib
import sys

import dv_processing as dv
import numpy as np


def main(folder):
    random = np.random.default_rng(0)
    events = np.empty(300, [(name, "<i8") for name in "txyp"])
    events["t"] = np.sort(random.integers(1_000_000, 2_000_000, len(events)))
    for name, size in (("x", 346), ("y", 260), ("p", 2)):
        events[name] = random.integers(0, size, len(events))
    config = dv.io.MonoCameraWriter.Config("sample")
    config.addImuStream()
    config.addEventStream((346, 260))
    writer = dv.io.MonoCameraWriter(str(pathlib.Path(folder) / "dv.aedat4"), config)
    writer.writeImu(dv.IMU(1_000_000, *[0.0] * 10))
    for part in np.split(events, [7, 100]):
        store = dv.EventStore()
        for t, x, y, p in part.tolist():
            store.push_back(t, x, y, bool(p))
        writer.writeEvents(store)
    del writer  # closes the file
    np.save(pathlib.Path(folder) / "dv.npy", events)


if __name__ == "__main__":
    main(sys.argv[1])
