"""Writes recordings in the formats that the package reads, from their published
descriptions and event by event: slow, and independent of the readers."""

import struct

import numpy as np

from keras_spiking.datasets import make_events


def random_events(count, width=128, height=128, seed=0, duration=100_000):
    rng = np.random.default_rng(seed)
    return make_events(
        np.sort(rng.integers(0, duration, count)),
        rng.integers(0, width, count),
        rng.integers(0, height, count),
        rng.integers(0, 2, count),
    )


def rows(events):
    return [tuple(int(v) for v in event) for event in events.tolist()]


def write_atis(path, events):
    with open(path, "wb") as file:
        for t, x, y, p in rows(events):
            file.write(bytes([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255]))


def write_aedat2(path, events):
    with open(path, "wb") as file:
        file.write(b"#!AER-DAT2.0\r\n# This is a raw AE data file\r\n")
        for t, x, y, p in rows(events):
            file.write(struct.pack(">II", y << 8 | x << 1 | (1 - p), t))


def write_aedat3(path, events, packet=50, spare=0):
    with open(path, "wb") as file:
        file.write(b"#!AER-DAT3.1\r\n#Format: RAW\r\n#!END-HEADER\r\n")
        file.write(struct.pack("<hhiiiiii", 2, 1, 36, 4, 0, 1, 1, 1) + bytes(36))
        events = rows(events)
        for start in range(0, len(events), packet):
            part = events[start : start + packet]
            n = len(part)
            file.write(struct.pack("<hhiiiiii", 1, 1, 8, 4, 0, n + spare, n, n))
            for t, x, y, p in part:
                file.write(struct.pack("<II", x << 17 | y << 2 | p << 1 | 1, t))
            file.write(bytes(8 * spare))


def write_dat(path, events, version=2):
    x_bits, y_bits = {1: (9, 8), 2: (14, 14)}[version]
    with open(path, "wb") as file:
        file.write(f"% Data file\n% Version {version}\n% Height 128\n".encode())
        file.write(bytes([12, 8]))
        for t, x, y, p in rows(events):
            address = p << (x_bits + y_bits) | y << x_bits | x
            file.write(struct.pack("<II", t & 0xFFFFFFFF, address))


def write_evt2(path, events):
    high = None
    with open(path, "wb") as file:
        file.write(b"% date 2024-01-01 00:00:00\n% evt 2.0\n% end\n")
        for t, x, y, p in rows(events):
            if t >> 6 != high:
                high = t >> 6
                file.write(struct.pack("<I", 0x8 << 28 | high & 0xFFFFFFF))
            file.write(struct.pack("<I", p << 28 | (t & 63) << 22 | x << 11 | y))


def write_evt3(path, events, vectors=True):
    """Neighbours of one row, time and polarity as a vector, 12 or 8 at a time."""
    words = []
    high = low = row = None
    events = rows(events)
    while events:
        t, x, y, p = events[0]
        together = [events[0]]
        while vectors and len(together) < len(events):
            t2, x2, y2, p2 = events[len(together)]
            if (t2, y2, p2) != (t, y, p) or not together[-1][1] < x2 < x + 20:
                break
            together.append(events[len(together)])
        events = events[len(together) :]
        if t >> 12 != high:
            high, low = t >> 12, None
            words.append(0x8 << 12 | high & 0xFFF)
        if t & 0xFFF != low:
            low = t & 0xFFF
            words.append(0x6 << 12 | low)
        if y != row:
            row = y
            words.append(y)
        if len(together) == 1:
            words.append(0x2 << 12 | p << 11 | x)
            continue
        bits = sum(1 << (column - x) for _, column, _, _ in together)
        words.append(0x3 << 12 | p << 11 | x)
        words.append(0x4 << 12 | bits & 0xFFF)
        words.append(0x5 << 12 | bits >> 12)
    with open(path, "wb") as file:
        file.write(b"% format EVT3;height=720;width=1280\n% evt 3.0\n% end\n")
        file.write(struct.pack(f"<{len(words)}H", *words))


def vector_events(seed=0):
    """Events many of which EVT3 can write as vectors."""
    rng = np.random.default_rng(seed)
    t, x, y, p = [], [], [], []
    time = 0
    for _ in range(200):
        time += int(rng.integers(1, 200_000))
        columns = np.unique(rng.integers(0, 20, rng.integers(1, 12)))
        t += [time] * len(columns)
        x += list(columns + rng.integers(0, 1200))
        y += [rng.integers(0, 720)] * len(columns)
        p += [rng.integers(0, 2)] * len(columns)
    return make_events(t, x, y, p)
