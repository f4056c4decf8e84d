"""A file system in memory that fails when told: full disks, torn writes, kills, power cuts.

Hand a `FaultyFiles` to whatever takes a `storage.files.FileSystem`. Faults are planned with `fail`, `kill_at` and
`capacity_bytes`; `crash` gives the files that the next process finds. Which part of a torn write is kept, and what a
power cut takes, follows from the seed, so a failing run can be repeated.
"""

import random
from dataclasses import dataclass, field

from millstream.base.errors import DiskFull, StorageError
from millstream.storage.files import replace_by_rename

NO_SPACE = "No space left on device"
IO_ERROR = "Input/output error"
_CHANCE = 0.5
_ROOTS = frozenset({"", ".", "/"})


class Killed(BaseException):
    """The process was killed here. No `Exception`: code under test must not survive its own death by catching it."""


@dataclass(slots=True, eq=False)
class _Node:
    """The content of a file, whatever its name, and what of it is on the disk for good.

    `dirty` are the spans written since the last sync, also since one that failed: a kernel holds what it could not
    bring to the disk for clean, and a second sync that succeeds says nothing of it.
    """

    data: bytearray = field(default_factory=bytearray)
    synced: bytearray = field(default_factory=bytearray)
    dirty: list[tuple[int, int]] = field(default_factory=list)

    def bring_to_disk(self) -> None:
        """A sync succeeds."""
        size = len(self.data)
        del self.synced[size:]
        self.synced.extend(bytes(size - len(self.synced)))
        for start, end in self.dirty:
            self.synced[start:end] = self.data[start : min(end, size)]
        self.dirty.clear()


@dataclass(slots=True)
class _Tree:
    """All names of a machine: of files with their content, and of directories."""

    nodes: dict[str, _Node]
    directories: set[str]

    def copy(self) -> "_Tree":
        """The same names, for somebody to change."""
        return _Tree(dict(self.nodes), set(self.directories))

    def move(self, path: str, target: str) -> None:
        """A directory goes by another name, with the files in it; what had that name is gone."""
        for name in [name for name in self.nodes if _parent(name) == target]:
            del self.nodes[name]
        self.directories.discard(target)
        if path in self.directories:
            self.directories.remove(path)
            self.directories.add(target)
        for name in [name for name in self.nodes if _parent(name) == path]:
            self.nodes[target + name[len(path) :]] = self.nodes.pop(name)


@dataclass(slots=True)
class _Fault:
    """Fails the calls number `after` and the `times - 1` that follow it, counted from 0."""

    operation: str
    after: int
    times: int
    reason: str
    keep_part: bool


class FaultyFile:
    """An open file of a `FaultyFiles`. After `close` every call raises `StorageError`."""

    def __init__(self, files: "FaultyFiles", path: str, node: _Node) -> None:
        self._files = files
        self._path = path
        self._node = node
        self._is_open = True
        files.open_count += 1

    def _check(self, operation: str) -> None:
        if not self._is_open:
            raise StorageError(f"{operation} {self._path} - Bad file descriptor")

    def write(self, data: memoryview | bytes | bytearray, offset: int) -> None:
        """Write all of `data` at `offset`; a fault may let a part of it through."""
        self._check("write")
        kept, reason = self._files.admit_write(bytes(data), len(self._node.data), offset)
        if kept:
            if offset > len(self._node.data):
                self._node.data.extend(bytes(offset - len(self._node.data)))
            self._node.data[offset : offset + len(kept)] = kept
            self._node.dirty.append((offset, offset + len(kept)))
        if reason is not None:
            self._files.refuse("write", self._path, reason)

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill `buffer` from `offset`; how many bytes there were."""
        self._check("read")
        self._files.admit("read", self._path)
        found = self._node.data[offset : offset + len(buffer)]
        buffer[: len(found)] = found
        return len(found)

    def truncate(self, size: int) -> None:
        """Cut or extend the file to `size`."""
        self._check("truncate")
        self._files.admit("truncate", self._path)
        data = self._node.data
        if size < len(data):
            del data[size:]
        else:
            data.extend(bytes(size - len(data)))

    def size(self) -> int:
        """The file's size."""
        self._check("stat")
        return len(self._node.data)

    def sync(self) -> None:
        """From now on a power loss does not take what is in the file."""
        self._check("sync")
        try:
            self._files.admit("sync", self._path)
        except StorageError:
            self._node.dirty.clear()
            raise
        self._node.bring_to_disk()

    def close(self) -> None:
        """Let the descriptor go; closing twice is nothing."""
        if self._is_open:
            self._is_open = False
            self._files.open_count -= 1


class FaultyFiles:
    """The files of one machine. `open_count` is how many are open; `capacity_bytes` is the disk's size, None for any.

    Operations that can be made to fail are `open` (one that creates), `write`, `read`, `truncate`, `sync`, `rename`
    and `remove`; `change_count` counts those that change something, which is what `kill_at` goes by.
    """

    def __init__(self, *, seed: int = 0, capacity_bytes: int | None = None) -> None:
        self.capacity_bytes = capacity_bytes
        self.open_count = 0
        self.change_count = 0
        self._random = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self._now = _Tree({}, set(_ROOTS))
        self._synced = _Tree({}, set(_ROOTS))
        self._renamed: list[tuple[str, str]] = []  # directories, from and to, until their parent is synced
        self._faults: list[_Fault] = []
        self._kill_at: int | None = None
        self._is_dead = False

    # ------------------------------------------------------------------------------------------- what goes wrong

    def fail(
        self, operation: str, *, after: int = 0, times: int = 1, reason: str = IO_ERROR, keep_part: bool = False
    ) -> None:
        """Fail `times` calls of `operation` once `after` more have succeeded; `keep_part` tears a failing write."""
        self._faults.append(_Fault(operation, after, times, reason, keep_part))

    def heal(self) -> None:
        """Nothing fails any more, and the disk has room."""
        self._faults.clear()
        self._kill_at = None
        self.capacity_bytes = None

    def kill_at(self, change: int) -> None:
        """Raise `Killed` in place of the change number `change` from now (0 is the next); a write is torn by it."""
        self._kill_at = self.change_count + change

    def crash(self, *, power_loss: bool = False) -> "FaultyFiles":
        """The files as the next process finds them, free of faults.

        After a kill everything is there that was handed to the kernel. After a power loss it is what was synced, and
        of the rest whatever chance brought to the disk: of a file all, nothing, a part, or the right size with zeros in
        it; of each name that was made, replaced or removed the state before or after, in no order.
        """
        found = FaultyFiles(seed=self._random.randrange(1 << 32))
        copies: dict[int, _Node] = {}
        for node in [*self._now.nodes.values(), *self._synced.nodes.values()]:
            if id(node) not in copies:
                copies[id(node)] = self._after_power_loss(node) if power_loss else _copy(node)
        now, synced = self._now, self._synced
        if power_loss:
            now = synced = self._names_after_power_loss()
        else:
            found._renamed = list(self._renamed)
        found._now, found._synced = (
            _Tree({path: copies[id(node)] for path, node in tree.nodes.items()}, set(tree.directories))
            for tree in (now, synced)
        )
        return found

    def _names_after_power_loss(self) -> _Tree:
        now, synced = self._now.copy(), self._synced.copy()
        for path, target in self._renamed:
            if self._random.random() < _CHANCE:
                synced.move(path, target)
            else:
                now.move(target, path)
        found = _Tree({}, set(_ROOTS))
        for path in sorted((now.directories | synced.directories) - _ROOTS):
            is_certain = path in now.directories and path in synced.directories
            if _parent(path) in found.directories and (is_certain or self._random.random() < _CHANCE):
                found.directories.add(path)
        for path in [*synced.nodes, *(path for path in now.nodes if path not in synced.nodes)]:
            before, after = synced.nodes.get(path), now.nodes.get(path)
            node = before if before is after or self._random.random() < _CHANCE else after
            if node is not None and _parent(path) in found.directories:
                found.nodes[path] = node
        # A rename is one change: a file is never found under both of its names.
        renamed = {id(node): path for path, node in now.nodes.items() if found.nodes.get(path) is node}
        found.nodes = {path: node for path, node in found.nodes.items() if renamed.get(id(node), path) == path}
        return found

    def _after_power_loss(self, node: _Node) -> _Node:
        data, synced = bytes(node.data), bytes(node.synced)
        if data != synced:
            kept = len(synced)
            part = kept + self._random.randrange(max(0, len(data) - kept) + 1)
            data = self._random.choice([synced, data, data[:part], data[:kept] + bytes(max(0, len(data) - kept))])
        return _Node(bytearray(data), bytearray(data))

    def read(self, path: str) -> bytes:
        """The whole content of a file, for a test to look at or to spoil."""
        return bytes(self._node(path, "read").data)

    def overwrite(self, path: str, data: bytes) -> None:
        """Put a content in place, behind the back of whoever uses the file."""
        node = self._now.nodes.setdefault(path, _Node())
        node.data[:] = data
        node.dirty.append((0, len(data)))

    @property
    def used_bytes(self) -> int:
        """What all files hold in sum."""
        return sum(len(node.data) for node in self._now.nodes.values())

    # ------------------------------------------------------------------------------------- called by every operation

    def admit(self, operation: str, path: str) -> None:
        """Let an operation through, or raise what is planned for it."""
        self._count(operation)
        fault = self._fault_of(operation)
        if fault is not None:
            self.refuse(operation, path, fault.reason)

    def admit_write(self, data: bytes, size: int, offset: int) -> tuple[bytes, str | None]:
        """What of a write gets to the file, and the reason why not all of it does."""
        if self._is_dead:
            raise Killed
        try:
            self._count("write")
        except Killed:
            return self._part(data), "killed"
        fault = self._fault_of("write")
        if fault is not None:
            return self._part(data) if fault.keep_part else b"", fault.reason
        growth = max(0, offset + len(data) - size)
        if self.capacity_bytes is not None and growth > 0:
            room = max(0, self.capacity_bytes - self.used_bytes)
            if growth > room:
                # As a kernel does it: what fits is written, and the call after that fails.
                return data[: len(data) - growth + room], NO_SPACE
        return data, None

    def refuse(self, operation: str, path: str, reason: str) -> None:
        """Raise the failure of an operation."""
        if self._is_dead:
            raise Killed
        kind = DiskFull if reason == NO_SPACE else StorageError
        raise kind(f"{operation} {path} - {reason}")

    def _part(self, data: bytes) -> bytes:
        return data[: self._random.randrange(len(data) + 1)]

    def _count(self, operation: str) -> None:
        if self._is_dead:
            raise Killed
        if operation == "read":
            return
        if self._kill_at is not None and self.change_count >= self._kill_at:
            self._is_dead = True
            raise Killed
        self.change_count += 1

    def _fault_of(self, operation: str) -> _Fault | None:
        found: _Fault | None = None
        for fault in self._faults:
            if fault.operation != operation:
                continue
            if fault.after > 0:
                fault.after -= 1
            elif found is None:
                fault.times -= 1
                found = fault
        self._faults = [fault for fault in self._faults if fault.times > 0]
        return found

    def _node(self, path: str, operation: str) -> _Node:
        node = self._now.nodes.get(path)
        if node is None:
            raise StorageError(f"{operation} {path} - No such file or directory")
        return node

    # ------------------------------------------------------------------------------------------------------- the port

    def open(self, path: str, *, create: bool = False) -> FaultyFile:
        """Open for reading and writing; with `create` the file may be new."""
        if self._is_dead:
            raise Killed
        if create and path not in self._now.nodes:
            self.admit("open", path)
            if _parent(path) not in self._now.directories:
                raise StorageError(f"open {path} - No such file or directory")
            self._now.nodes[path] = _Node()
        return FaultyFile(self, path, self._node(path, "open"))

    def replace(self, path: str, data: bytes, *, sync: bool) -> None:
        """Give `path` this content, wholly or not at all."""
        replace_by_rename(self, path, lambda file: file.write(data, 0), sync=sync)
        if sync:
            self.sync_directory(_parent(path))

    def rename(self, path: str, target: str) -> None:
        """Rename a file over `target`, or a directory to one that is not there."""
        self.admit("rename", path)
        if path in self._now.directories:
            if target in self._now.directories or target in self._now.nodes:
                raise StorageError(f"rename {path} - Directory not empty")
            self._now.move(path, target)
            self._renamed.append((path, target))
            return
        self._now.nodes[target] = self._node(path, "rename")
        del self._now.nodes[path]

    def remove(self, path: str) -> None:
        """Remove a file; one that is not there is nothing."""
        self.admit("remove", path)
        self._now.nodes.pop(path, None)

    def names(self, directory: str) -> list[str]:
        """The sorted names in a directory; empty when there is none."""
        prefix = directory + "/"
        below = [name for name in [*self._now.nodes, *self._now.directories] if name.startswith(prefix)]
        return sorted({name[len(prefix) :].partition("/")[0] for name in below})

    def make_directory(self, path: str) -> None:
        """Create a directory and its parents; an existing one is nothing."""
        if path not in self._now.directories:
            self.admit("open", path)
            # Two of the same name cannot both be on the disk: the one before is found under its new name from now on.
            self._bring_renames_to_disk([names for names in self._renamed if names[0] == path])
            parts = path.split("/")
            self._now.directories.update("/".join(parts[:count]) for count in range(1, len(parts) + 1))

    def remove_directory(self, path: str) -> None:
        """Remove a directory and the files in it."""
        for name in self.names(path):
            self.remove(f"{path}/{name}")
        self._now.directories.discard(path)

    def sync_directory(self, path: str) -> None:
        """From now on a power loss does not take the names in a directory, nor bring back those that were removed."""
        self.admit("sync", path)
        if path not in self._now.directories:
            raise StorageError(f"sync {path} - No such file or directory")
        self._bring_renames_to_disk([names for names in self._renamed if _parent(names[1]) == path])
        here = {found for found in self._now.directories if _parent(found) == path}
        gone = {found for found in self._synced.directories if _parent(found) == path} - here - _ROOTS
        # What was in a directory that is gone for good is gone with it.
        kept = {name: node for name, node in self._synced.nodes.items() if _parent(name) not in gone | {path}}
        self._synced.nodes = kept | {name: node for name, node in self._now.nodes.items() if _parent(name) == path}
        self._synced.directories = (self._synced.directories - gone) | here

    def _bring_renames_to_disk(self, renamed: list[tuple[str, str]]) -> None:
        for names in renamed:
            self._synced.move(*names)
            self._renamed.remove(names)

    def room(self, path: str) -> tuple[int, int]:
        """How many bytes are free, and how many there are; zeros for a disk of any size."""
        del path
        if self.capacity_bytes is None:
            return 0, 0
        return max(0, self.capacity_bytes - self.used_bytes), self.capacity_bytes


def _copy(node: _Node) -> _Node:
    return _Node(bytearray(node.data), bytearray(node.synced), list(node.dirty))


def _parent(path: str) -> str:
    return path.rpartition("/")[0]
