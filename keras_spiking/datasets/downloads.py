"""Downloads of archives by pooch: with progress, resumed, and verified."""

import os
import pathlib
from typing import NamedTuple

from keras_spiking.progress import progress_bar

_BLOCK = 1 << 20
_SECONDS = 30  # without a byte, after which a connection counts as broken


class Archive(NamedTuple):
    """A published file: its MD5 checksum, and a stable address, if there are any."""

    md5: str | None
    address: str | None = None


def fetch(folder, name, archive):
    """Downloads an archive into a folder, unless it is there.

    Args:
        folder: Path, made if it does not exist.
        name: Name that the file gets when it is whole and verified.
        archive: `Archive` with checksum and address.

    Raises:
        ImportError: if pooch is not installed.
        ConnectionError: if the address cannot be reached, or the connection breaks.
        OSError: if the folder cannot be written to.
        ValueError: if the file is not the one that was published.
    """
    try:
        import pooch
        import requests
    except ImportError:
        raise ImportError(
            "Downloading data needs the package pooch: `pip install pooch`."
        ) from None
    folder = pathlib.Path(folder).expanduser()
    part = folder / f".part-{name}"
    download = _Resuming(part)
    try:
        pooch.retrieve(
            archive.address, f"md5:{archive.md5}", name, folder, downloader=download
        )
    except requests.RequestException as error:
        raise ConnectionError(
            f"{archive.address} could not be downloaded ({error}). What arrived is "
            "kept, and the next try goes on from there. If this machine has no "
            f"connection, put the file {name!r} into the folder {str(folder)!r} in "
            "another way."
        ) from error
    except OSError as error:
        raise OSError(
            error.errno,
            f"`folder` cannot be written to ({error.strerror or error}). Free space, "
            "or choose another `folder`",
            str(folder),
        ) from error


class _Resuming:
    """A downloader for pooch that goes on where an earlier one was interrupted.

    Args:
        part: Path of the file that holds what has arrived.
    """

    def __init__(self, part):
        self.part = part

    def __call__(self, url, output_file, pooch):
        import requests

        arrived = self.part.stat().st_size if self.part.exists() else 0
        headers = {"Accept-Encoding": "identity"}  # the bytes of the checksum
        if arrived:
            headers["Range"] = f"bytes={arrived}-"
        with requests.get(
            url, headers=headers, stream=True, timeout=_SECONDS
        ) as response:
            # 416: there is nothing after what has arrived.
            if not (arrived and response.status_code == 416):
                response.raise_for_status()
                begin = response.headers.get("Content-Range", "")
                if not begin.startswith(f"bytes {arrived}-"):
                    arrived = 0  # the server sends everything
                self._receive(response, arrived)
        os.replace(self.part, output_file)

    def _receive(self, response, arrived):
        length = response.headers.get("Content-Length")
        total = None if length is None else arrived + int(length)
        progress = progress_bar(total, 1, "byte")
        with open(self.part, "ab" if arrived else "wb") as file:
            progress.add(arrived)
            for block in response.iter_content(_BLOCK):
                file.write(block)
                progress.add(len(block))
