"""Writes to descriptors for the hot path: a failure is a number, so that nothing is made when there is none.

`syscalls.pxd` beside this file has the same functions as C inlines, which a compiled module cimports.
"""

import os

Bytes = bytes | bytearray | memoryview


def write_to(descriptor: int, data: Bytes) -> int:
    """Write what the descriptor takes of `data`: how many bytes that were, or the error's number below zero."""
    try:
        return os.write(descriptor, data)
    except OSError as error:
        return -(error.errno or 1)


def write_at(descriptor: int, data: Bytes, start: int, size: int, offset: int) -> int:
    """Write from `size` bytes of `data`, which begin at `start`, to a file at `offset`; returns as `write_to`."""
    try:
        return os.pwrite(descriptor, memoryview(data)[start : start + size], offset)
    except OSError as error:
        return -(error.errno or 1)
