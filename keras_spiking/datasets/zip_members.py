"""Recordings inside of a zip file, read one by one without unpacking the others."""

import contextlib
import fnmatch
import os
import pathlib
import struct
import tempfile
import zipfile
import zlib
from typing import NamedTuple

from keras_spiking.datasets.limits import UnpackedBytes
from keras_spiking.datasets.limits import check_zip
from keras_spiking.datasets.limits import default_limit
from keras_spiking.datasets.readers.binary import damage
from keras_spiking.datasets.readers.binary import read_at_most

_HEADER = struct.Struct("<4s22xHH")  # of a member; names follow, then its bytes
_MARK = b"PK\3\4"


class Member(NamedTuple):
    """A file in a zip file, and where it stands there.

    No open file belongs to it, which threads or copies of the process would share.
    """

    archive: str
    name: str
    offset: int
    packed: int
    size: int
    crc: int
    deflated: bool

    def content(self):
        """The bytes of the file."""
        limit = default_limit(self.packed)
        UnpackedBytes(f"{self.archive}/{self.name}", limit).add(self.size)
        with open(self.archive, "rb") as file:
            file.seek(self.offset)
            header = file.read(_HEADER.size)
            if len(header) < _HEADER.size or not header.startswith(_MARK):
                raise self.damaged("it has changed since it was indexed")
            _, name, extra = _HEADER.unpack(header)
            file.seek(name + extra, os.SEEK_CUR)
            data = read_at_most(file, self.packed)
        if self.deflated:
            try:
                data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, self.size)
            except zlib.error as error:
                raise self.damaged(error) from error
        if len(data) != self.size or zlib.crc32(data) != self.crc:
            raise self.damaged("its checksum does not match")
        return data

    def damaged(self, reason):
        return ValueError(
            f"{self.name!r} in {self.archive!r} is damaged ({reason}). Download the "
            "file again, or make the recordings anew."
        )

    def fingerprint(self):
        """What changes when the file does."""
        return [os.path.realpath(self.archive), self.name, self.size, self.crc]


def members(path, folder, pattern):
    """The members `folder/class/file` of a zip file, and the names of their classes.

    Only the directory at the end of the zip file is read.

    Args:
        path: Path of the zip file.
        folder: String, the folder in it whose subfolders are the classes.
        pattern: Which names of files are meant.
    """
    path = os.path.abspath(os.path.expanduser(os.fsdecode(path)))
    prefix = f"{folder.strip('/')}/" if folder.strip("/") else ""
    with damage(path, "a zip file"), zipfile.ZipFile(path) as file:
        found = file.infolist()
        check_zip(found, UnpackedBytes(path))
    of_class = {}
    for info in found:
        if not info.filename.startswith(prefix) or info.is_dir():
            continue
        name, _, rest = info.filename[len(prefix) :].partition("/")
        if rest and "/" not in rest and fnmatch.fnmatchcase(rest, pattern):
            if info.flag_bits & 1:
                raise ValueError(f"The zip file {path!r} is encrypted: unpack it.")
            member = Member(
                path,
                info.filename,
                info.header_offset,
                info.compress_size,
                info.file_size,
                info.CRC,
                info.compress_type == zipfile.ZIP_DEFLATED,
            )
            of_class.setdefault(name, []).append(member)
    if not of_class:
        raise ValueError(
            f"No recordings in {path!r}: expected a folder for each class "
            f"below {folder!r}, with files {pattern!r}."
        )
    classes = sorted(of_class)
    return [sorted(of_class[name], key=lambda m: m.name) for name in classes], classes


@contextlib.contextmanager
def as_path(source):
    """The path of a file that holds a recording, for the time of the block."""
    if not isinstance(source, Member):
        yield source
        return
    suffix = pathlib.PurePosixPath(source.name).suffix
    handle, path = tempfile.mkstemp(suffix=suffix)
    try:
        with open(handle, "wb") as file:
            file.write(source.content())
        yield path
    except ValueError as error:
        if path not in str(error):
            raise
        named = f"{source.archive}/{source.name}"
        raise ValueError(str(error).replace(path, named)) from error
    finally:
        os.unlink(path)
