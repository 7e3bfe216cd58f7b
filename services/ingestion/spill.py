"""A bounded file of batches that wait for the bus: appended frames, read in order, safe from a killed process.

Layout: frames of 4 bytes length, 4 bytes CRC-32 (both big-endian), then the event's JSON. A write that returned is in
the kernel, so a killed process loses nothing; a power cut may lose the tail, which the checksum finds.
"""

import fcntl
import os
import struct
import zlib
from pathlib import Path
from typing import Final

from shared.domain.errors import PermanentError

_HEAD: Final = struct.Struct(">II")
_READ_BYTES: Final = 1 << 20
_FILES_MAX: Final = 16


class Spill:
    """First in, first out. Bytes already read and committed are given back when the file runs empty."""

    def __init__(self, path: Path, descriptor: int, *, bytes_max: int) -> None:
        self._path = path
        self._file = descriptor
        self._bytes_max = bytes_max
        self._read_at = 0
        self._written_to = self._valid_length()
        os.ftruncate(self._file, self._written_to)

    @classmethod
    def open(cls, folder: Path, name: str, *, bytes_max: int) -> "Spill":
        """The first file of this name that no running process holds; raises PermanentError where none can be made.

        A restart finds what its predecessor left; a twin on the same folder gets a file of its own.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(1, _FILES_MAX + 1):
                path = folder / (f"{name}.spill" if number == 1 else f"{name}-{number}.spill")
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(descriptor)
                    continue
                return cls(path, descriptor, bytes_max=bytes_max)
        except OSError as error:
            raise PermanentError(f"the spill folder must be writable: {error} (folder {folder})") from error
        raise PermanentError(f"at most {_FILES_MAX} processes may spill to one folder (folder {folder})")

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    @property
    def size_bytes(self) -> int:
        """What waits to be read."""
        return self._written_to - self._read_at

    def append(self, data: bytes) -> bool:
        """Write one frame; False when it does not fit, or the disk refuses it (then nothing of it stays)."""
        frame = _HEAD.pack(len(data), zlib.crc32(data)) + data
        if self._written_to + len(frame) > self._bytes_max:
            return False
        try:
            complete = os.write(self._file, frame) == len(frame)
        except OSError:
            complete = False
        if not complete:
            os.ftruncate(self._file, self._written_to)
            return False
        self._written_to += len(frame)
        return True

    def peek(self, count: int) -> tuple[list[bytes], int]:
        """Up to `count` frames from the front, and the bytes they take: what `commit` wants once they are published."""
        frames: list[bytes] = []
        position = self._read_at
        budget = _READ_BYTES
        while len(frames) < count and position < self._written_to and budget > 0:
            length, _ = _HEAD.unpack(os.pread(self._file, _HEAD.size, position))
            frames.append(os.pread(self._file, length, position + _HEAD.size))
            position += _HEAD.size + length
            budget -= length
        return frames, position - self._read_at

    def commit(self, size_bytes: int) -> None:
        """Forget so many bytes from the front."""
        self._read_at += size_bytes
        if self._read_at >= self._written_to:
            os.ftruncate(self._file, 0)
            self._read_at = self._written_to = 0

    def close(self) -> None:
        """Release the file and its lock; what was committed is cut off first, so that it is not sent twice."""
        if self._read_at:
            rest = os.pread(self._file, self._written_to - self._read_at, self._read_at)
            replacement = self._path.with_suffix(".part")
            replacement.write_bytes(rest)
            replacement.replace(self._path)
        os.close(self._file)

    def _valid_length(self) -> int:
        """Where the last whole frame of a predecessor ends: a kill while writing leaves half a frame behind it."""
        size, position = os.fstat(self._file).st_size, 0
        while position + _HEAD.size <= size:
            length, checksum = _HEAD.unpack(os.pread(self._file, _HEAD.size, position))
            data = os.pread(self._file, length, position + _HEAD.size)
            if len(data) < length or zlib.crc32(data) != checksum:
                break
            position += _HEAD.size + length
        return position
