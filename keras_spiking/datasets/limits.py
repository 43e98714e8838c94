"""How much a compressed file may unpack to."""

import os
import zipfile

from keras_spiking.validation import check_integer

# Recordings and their archives compress to a third or a tenth. Whoever claims a
# hundredth, beyond a size that does no harm, wants to fill the memory or the disk.
_HARMLESS = 1 << 26
_RATIO = 100

MOST = 1100
"""Times the size of a file: no more comes out of what deflate has packed."""


def default_limit(packed):
    """How many bytes a file of `packed` bytes may unpack to."""
    return max(_HARMLESS, _RATIO * packed)


class UnpackedBytes:
    """Counts what comes out of a compressed file, and stops it at a limit.

    Args:
        path: Path of the file.
        limit: Integer, the largest number of bytes. Defaults to 64 MiB or 100 times
            the size of the file, whichever is more.
    """

    def __init__(self, path, limit=None):
        self.path = path
        if limit is None:
            limit = default_limit(os.stat(path).st_size)
        self.limit = check_integer("max_unpacked_bytes", limit, minimum=0)
        self.count = 0

    def add(self, size):
        """Counts `size` bytes more; to be called before they are unpacked."""
        self.count += int(size)
        if self.count > self.limit:
            raise ValueError(
                f"The file {str(self.path)!r} unpacks to {self.count:,} bytes or more, "
                f"beyond the limit of {self.limit:,}: it may be made to exhaust the "
                "memory or the disk. If you trust it, raise the limit by "
                "`max_unpacked_bytes`, or unpack it yourself."
            )
        return self


class Counted:
    """A file for reading whose bytes are counted before they are handed out."""

    def __init__(self, file, budget):
        self.file = file
        self.budget = budget

    def read(self, size):
        data = self.file.read(min(size, self.budget.limit - self.budget.count + 1))
        self.budget.add(len(data))
        return data


def check_zip(members, budget):
    """Counts members of a zip file, which give no more bytes than they declare.

    Args:
        members: Iterable of `zipfile.ZipInfo`.
        budget: `UnpackedBytes`.
    """
    for member in members:
        # Python bounds the memory that these two methods take, and no others.
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(
                f"The file {str(budget.path)!r} is compressed by a method other than "
                "deflate. Pack it again by a usual program."
            )
        budget.add(member.file_size)
