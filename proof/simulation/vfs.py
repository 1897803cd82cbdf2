"""SQLite's own code on a simulated disk: a virtual file system (VFS) registered in the library the driver uses.

`sqlite3` of Python loads libsqlite3; so does ctypes, by the driver's shared object, and what one registers the other
finds. The VFS is only used by connections that name it. See https://www.sqlite.org/c3ref/vfs.html and
https://www.sqlite.org/c3ref/io_methods.html, whose names the callbacks have, in lower case; they never raise.
"""

import _sqlite3
import ctypes
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from proof.simulation.disk import Disk, File, Outcome
from proof.simulation.scheduler import Life, Scheduler

VFS_NAME = "keystead-simulation"

# Result codes (https://www.sqlite.org/rescode.html).
_OK, _BUSY, _IOERR, _NOTFOUND, _FULL, _CANTOPEN = 0, 5, 10, 12, 13, 14
_IOERR_SHORT_READ, _IOERR_WRITE, _IOERR_FSYNC, _IOERR_TRUNCATE = 522, 778, 1034, 1546
_IOERR_DELETE, _IOERR_LOCK, _IOERR_SHMLOCK, _IOERR_DELETE_NOENT = 2570, 3850, 5130, 5898

# Flags of xOpen.
_OPEN_CREATE, _OPEN_DELETEONCLOSE = 0x4, 0x8
_OPEN_SYNCS_FOLDER = 0x800 | 0x4000 | 0x80000  # main journal, super journal, write-ahead log, as on Unix
# Locks on the database file.
_NONE, _SHARED, _RESERVED, _PENDING, _EXCLUSIVE = 0, 1, 2, 3, 4
# Flags of xShmLock.
_SHM_UNLOCK, _SHM_LOCK, _SHM_SHARED, _SHM_EXCLUSIVE = 1, 2, 4, 8
_SHM_LOCKS = 8
_POWERSAFE_OVERWRITE = 0x1000
_SECTOR_BYTES = 4096
_UNIX_EPOCH_JULIAN_MS = 210_866_760_000_000

_int, _int64, _ptr = ctypes.c_int, ctypes.c_int64, ctypes.c_void_p
_fn = ctypes.CFUNCTYPE

_IO_METHODS = (
    ("xClose", _fn(_int, _ptr)),
    ("xRead", _fn(_int, _ptr, _ptr, _int, _int64)),
    ("xWrite", _fn(_int, _ptr, _ptr, _int, _int64)),
    ("xTruncate", _fn(_int, _ptr, _int64)),
    ("xSync", _fn(_int, _ptr, _int)),
    ("xFileSize", _fn(_int, _ptr, ctypes.POINTER(_int64))),
    ("xLock", _fn(_int, _ptr, _int)),
    ("xUnlock", _fn(_int, _ptr, _int)),
    ("xCheckReservedLock", _fn(_int, _ptr, ctypes.POINTER(_int))),
    ("xFileControl", _fn(_int, _ptr, _int, _ptr)),
    ("xSectorSize", _fn(_int, _ptr)),
    ("xDeviceCharacteristics", _fn(_int, _ptr)),
    ("xShmMap", _fn(_int, _ptr, _int, _int, _int, ctypes.POINTER(_ptr))),
    ("xShmLock", _fn(_int, _ptr, _int, _int, _int)),
    ("xShmBarrier", _fn(None, _ptr)),
    ("xShmUnmap", _fn(_int, _ptr, _int)),
)

_VFS_METHODS = (
    ("xOpen", _fn(_int, _ptr, ctypes.c_char_p, _ptr, _int, ctypes.POINTER(_int))),
    ("xDelete", _fn(_int, _ptr, ctypes.c_char_p, _int)),
    ("xAccess", _fn(_int, _ptr, ctypes.c_char_p, _int, ctypes.POINTER(_int))),
    ("xFullPathname", _fn(_int, _ptr, ctypes.c_char_p, _int, _ptr)),
    ("xDlOpen", _ptr),
    ("xDlError", _ptr),
    ("xDlSym", _ptr),
    ("xDlClose", _ptr),
    ("xRandomness", _fn(_int, _ptr, _int, _ptr)),
    ("xSleep", _fn(_int, _ptr, _int)),
    ("xCurrentTime", _fn(_int, _ptr, ctypes.POINTER(ctypes.c_double))),
    ("xGetLastError", _fn(_int, _ptr, _int, _ptr)),
    ("xCurrentTimeInt64", _fn(_int, _ptr, ctypes.POINTER(_int64))),
)


class _IoMethods(ctypes.Structure):
    _fields_ = (("iVersion", _int), *_IO_METHODS)


class _Vfs(ctypes.Structure):
    _fields_ = (
        ("iVersion", _int),
        ("szOsFile", _int),
        ("mxPathname", _int),
        ("pNext", _ptr),
        ("zName", ctypes.c_char_p),
        ("pAppData", _ptr),
        *_VFS_METHODS,
    )


class Unsupported(Exception):
    """Python's SQLite is out of reach in this build of it."""


class _Shm:
    """The memory that the connections to a database in WAL mode share, and its locks."""

    def __init__(self) -> None:
        self.regions: list[Any] = []
        self.shared = [0] * _SHM_LOCKS
        self.exclusive = [0] * _SHM_LOCKS
        self.users = 0


class _Locks:
    """Who holds what of a database file."""

    def __init__(self) -> None:
        self.shared: set[int] = set()
        self.writer = 0
        """The handle that holds RESERVED, PENDING or EXCLUSIVE."""
        self.is_pending = False


class _Handle:
    """An open file. `life` is the process's that opened it, None for one outside all servers."""

    __slots__ = ("deletes", "file", "life", "locks", "number", "shm", "shm_held", "state")

    def __init__(self, number: int, file: File, life: Life | None, locks: _Locks, *, deletes: bool) -> None:
        self.number = number
        self.file = file
        self.life = life
        self.locks = locks
        self.deletes = deletes
        self.state = _NONE
        self.shm: _Shm | None = None
        self.shm_held = [0] * _SHM_LOCKS


class Vfs:
    """The one VFS of the process; it serves the disk that is mounted.

    Raises Unsupported when Python's SQLite cannot be reached.
    """

    def __init__(self) -> None:
        self._library = _library()
        self._disk: Disk
        self._scheduler: Scheduler
        self._now_ms: Callable[[], int]
        self._randbytes: Callable[[int], bytes]
        self._broken: list[str] = []
        self._handles: dict[int, _Handle] = {}
        self._opened = 0
        self._locks: dict[str, _Locks] = {}
        self._shms: dict[str, _Shm] = {}
        methods: dict[str, Any] = {}
        for name, kind in (*_IO_METHODS, *_VFS_METHODS):
            if kind is not _ptr:
                methods[name] = kind(self._harmless(getattr(self, _method_of(name)), name))
        # Kept, as long as SQLite may call them: for ever.
        self._io = _IoMethods(2, **{name: methods[name] for name, _ in _IO_METHODS})
        self._io_address = ctypes.addressof(self._io)
        self._vfs = _Vfs(
            2,
            8,
            512,
            None,
            VFS_NAME.encode(),
            None,
            **{name: methods[name] for name, _ in _VFS_METHODS if name in methods},
        )
        if self._library.sqlite3_vfs_register(ctypes.byref(self._vfs), 0) != _OK:
            raise Unsupported("SQLite refuses another file system")

    def mount(
        self,
        disk: Disk,
        scheduler: Scheduler,
        now_ms: Callable[[], int],
        randbytes: Callable[[int], bytes],
        failures: list[str],
    ) -> None:
        """Serve this disk from now on. `failures` is where it tells what goes wrong in the file system itself."""
        self._disk, self._scheduler, self._now_ms, self._randbytes = disk, scheduler, now_ms, randbytes
        self._broken = failures
        self._locks.clear()
        self._shms.clear()
        self._seed_sqlite()

    def connect(self, path: Path) -> sqlite3.Connection:
        """A connection to the file of that name on the mounted disk: as `keystead.connect.connect_file`."""
        uri = f"file:{path.name}?vfs={VFS_NAME}"
        return sqlite3.connect(uri, uri=True, timeout=10.0, check_same_thread=False)

    def bury(self, life: Life) -> None:
        """Let go of what an ended life held; its connections must be closed."""
        for address, handle in list(self._handles.items()):
            if handle.life is life:
                del self._handles[address]
        self._locks.clear()
        self._shms.clear()

    @property
    def open_files(self) -> int:
        """How many files are open."""
        return len(self._handles)

    def _seed_sqlite(self) -> None:
        # SQLite draws its randomness from the default file system, once a process: salts of the log depend on it.
        default = self._library.sqlite3_vfs_find(None)
        self._library.sqlite3_vfs_register(ctypes.byref(self._vfs), 1)
        self._library.sqlite3_randomness(0, None)
        self._library.sqlite3_randomness(1, ctypes.create_string_buffer(1))
        self._library.sqlite3_vfs_register(default, 1)

    def _harmless(self, method: Callable[..., Any], name: str) -> Callable[..., Any]:
        """What raises tells SQLite of a failed disk, and us of the reason."""

        def call(*arguments: Any) -> Any:
            try:
                return method(*arguments)
            except BaseException as error:
                self._broken.append(f"{name}: {error!r}")
                return _IOERR

        return call

    # ---- files

    def _x_open(self, _vfs: int, name: bytes | None, address: int, flags: int, out_flags: Any) -> int:
        ctypes.c_void_p.from_address(address).value = None
        life = self._scheduler.current.life
        if (life is not None and life.is_dead) or not self._disk.step():
            return _CANTOPEN
        text = name.decode() if name is not None else ""
        if name is None:
            file: File | None = File("", syncs_folder=False)
        else:
            syncs_folder = bool(flags & _OPEN_SYNCS_FOLDER)
            file = self._disk.open(text, create=bool(flags & _OPEN_CREATE), syncs_folder=syncs_folder)
        if file is None:
            return _CANTOPEN
        self._opened += 1
        locks = self._locks.setdefault(text, _Locks()) if text else _Locks()
        deletes = bool(flags & _OPEN_DELETEONCLOSE) and name is not None
        self._handles[address] = _Handle(self._opened, file, life, locks, deletes=deletes)
        ctypes.c_void_p.from_address(address).value = self._io_address
        if out_flags:
            out_flags[0] = flags
        return _OK

    def _x_delete(self, _vfs: int, name: bytes, sync_folder: int) -> int:
        life = self._scheduler.current.life
        if life is not None and life.is_dead:
            return _IOERR_DELETE
        if not self._disk.exists(name.decode()):
            return _IOERR_DELETE_NOENT
        outcome = self._disk.delete(name.decode(), life, durably=bool(sync_folder))
        return _OK if outcome is Outcome.DONE else _IOERR_DELETE

    def _x_access(self, _vfs: int, name: bytes, _flags: int, result: Any) -> int:
        result[0] = int(self._disk.exists(name.decode()))
        return _OK

    def _x_full_pathname(self, _vfs: int, name: bytes, size: int, out: int) -> int:
        if len(name) >= size:
            return _CANTOPEN
        ctypes.memmove(out, name + b"\0", len(name) + 1)
        return _OK

    def _x_randomness(self, _vfs: int, size: int, out: int) -> int:
        ctypes.memmove(out, self._randbytes(size), size)
        return size

    def _x_sleep(self, _vfs: int, us: int) -> int:
        self._scheduler.pause(us)
        return us

    def _x_current_time(self, _vfs: int, out: Any) -> int:
        out[0] = (self._now_ms() + _UNIX_EPOCH_JULIAN_MS) / 86_400_000
        return _OK

    def _x_current_time_int64(self, _vfs: int, out: Any) -> int:
        out[0] = self._now_ms() + _UNIX_EPOCH_JULIAN_MS
        return _OK

    def _x_get_last_error(self, _vfs: int, _size: int, _out: int) -> int:
        return 0

    # ---- an open file

    def _x_close(self, address: int) -> int:
        handle = self._handles.pop(address, None)
        if handle is not None:
            self._unlock(handle, _NONE)
            if handle.deletes and not (handle.life is not None and handle.life.is_dead):
                self._disk.delete(handle.file.name, handle.life, durably=False)
        return _OK

    def _x_read(self, address: int, out: int, size: int, offset: int) -> int:
        handle = self._handles.get(address)
        data = None if handle is None else self._disk.read(handle.file, offset, size, handle.life)
        if data is None:
            return _IOERR
        ctypes.memmove(out, data, len(data))
        if len(data) < size:
            ctypes.memset(out + len(data), 0, size - len(data))
            return _IOERR_SHORT_READ
        return _OK

    def _x_write(self, address: int, data: int, size: int, offset: int) -> int:
        handle = self._handles.get(address)
        if handle is None:
            return _IOERR_WRITE
        outcome = self._disk.write(handle.file, offset, ctypes.string_at(data, size), handle.life)
        return _OK if outcome is Outcome.DONE else _FULL if outcome is Outcome.FULL else _IOERR_WRITE

    def _x_truncate(self, address: int, size: int) -> int:
        handle = self._handles.get(address)
        if handle is None or self._disk.truncate(handle.file, size, handle.life) is not Outcome.DONE:
            return _IOERR_TRUNCATE
        return _OK

    def _x_sync(self, address: int, _flags: int) -> int:
        handle = self._handles.get(address)
        if handle is None or self._disk.sync(handle.file, handle.life) is not Outcome.DONE:
            return _IOERR_FSYNC
        return _OK

    def _x_file_size(self, address: int, out: Any) -> int:
        handle = self._handles.get(address)
        if handle is None:
            return _IOERR
        out[0] = len(handle.file.data)
        return _OK

    def _x_file_control(self, _address: int, _operation: int, _argument: int) -> int:
        return _NOTFOUND

    def _x_sector_size(self, _address: int) -> int:
        return _SECTOR_BYTES

    def _x_device_characteristics(self, _address: int) -> int:
        return _POWERSAFE_OVERWRITE

    # ---- locks on it (https://www.sqlite.org/lockingv3.html)

    def _x_lock(self, address: int, wanted: int) -> int:
        handle = self._handles.get(address)
        if handle is None or _is_dead(handle):
            return _IOERR_LOCK
        locks, me = handle.locks, handle.number
        if handle.state >= wanted:
            return _OK
        others_write = locks.writer not in (0, me)
        if wanted == _SHARED:
            if others_write and locks.is_pending:
                return _BUSY
            locks.shared.add(me)
            handle.state = _SHARED
            return _OK
        if others_write:
            return _BUSY
        locks.writer = me
        if wanted == _RESERVED:
            handle.state = _RESERVED
            return _OK
        locks.is_pending = True
        if locks.shared - {me}:
            handle.state = _PENDING
            return _BUSY
        handle.state = wanted
        return _OK

    def _x_unlock(self, address: int, wanted: int) -> int:
        handle = self._handles.get(address)
        if handle is not None:
            self._unlock(handle, wanted)
        return _OK

    def _unlock(self, handle: _Handle, wanted: int) -> None:
        locks, me = handle.locks, handle.number
        if locks.writer == me:
            locks.writer = 0
            locks.is_pending = False
        if wanted == _NONE:
            locks.shared.discard(me)
        handle.state = min(handle.state, wanted)

    def _x_check_reserved_lock(self, address: int, out: Any) -> int:
        handle = self._handles.get(address)
        out[0] = int(handle is not None and handle.locks.writer != 0)
        return _OK

    # ---- shared memory (https://www.sqlite.org/walformat.html, 2.3)

    def _x_shm_map(self, address: int, region: int, size: int, extend: int, out: Any) -> int:
        handle = self._handles.get(address)
        if handle is None or (_is_dead(handle) and handle.shm is None):
            return _IOERR
        if handle.shm is None:
            handle.shm = self._shms.setdefault(handle.file.name, _Shm())
            handle.shm.users += 1
        regions = handle.shm.regions
        while extend and len(regions) <= region:
            regions.append(ctypes.create_string_buffer(size))
        out[0] = ctypes.addressof(regions[region]) if region < len(regions) else None
        return _OK

    def _x_shm_lock(self, address: int, first: int, count: int, flags: int) -> int:
        handle = self._handles.get(address)
        if handle is None or handle.shm is None:
            return _IOERR_SHMLOCK
        slots = range(first, first + count)
        if flags & _SHM_UNLOCK:
            self._shm_unlock(handle, handle.shm, slots)
            # The end of a transaction: what the others see from now on, before the caller knows.
            self._disk.step()
            return _OK
        if _is_dead(handle) or not self._disk.step():
            return _IOERR_SHMLOCK
        return self._shm_lock(handle, handle.shm, slots, flags)

    def _shm_lock(self, handle: _Handle, shm: _Shm, slots: range, flags: int) -> int:
        me = handle.number
        if any(shm.exclusive[slot] not in (0, me) for slot in slots):
            return _BUSY
        if flags & _SHM_SHARED:
            for slot in slots:
                if handle.shm_held[slot] == 0:
                    shm.shared[slot] += 1
                    handle.shm_held[slot] = _SHM_SHARED
            return _OK
        if any(shm.shared[slot] > (handle.shm_held[slot] == _SHM_SHARED) for slot in slots):
            return _BUSY
        for slot in slots:
            shm.exclusive[slot] = me
            handle.shm_held[slot] = _SHM_EXCLUSIVE
        return _OK

    def _shm_unlock(self, handle: _Handle, shm: _Shm, slots: range) -> None:
        for slot in slots:
            if handle.shm_held[slot] == _SHM_SHARED:
                shm.shared[slot] -= 1
            elif handle.shm_held[slot] == _SHM_EXCLUSIVE:
                shm.exclusive[slot] = 0
            handle.shm_held[slot] = 0

    def _x_shm_barrier(self, _address: int) -> None:
        # One fiber runs at a time, and between fibers there is a lock of the system.
        return None

    def _x_shm_unmap(self, address: int, _delete: int) -> int:
        handle = self._handles.get(address)
        if handle is not None and handle.shm is not None:
            shm, handle.shm = handle.shm, None
            self._shm_unlock(handle, shm, range(_SHM_LOCKS))
            shm.users -= 1
            if not shm.users and self._shms.get(handle.file.name) is shm:
                del self._shms[handle.file.name]
        return _OK


def _method_of(name: str) -> str:
    """`xShmLock` is done by `_x_shm_lock`."""
    return "_" + re.sub("([A-Z])", lambda match: "_" + match[1].lower(), name)


def _is_dead(handle: _Handle) -> bool:
    return handle.life is not None and handle.life.is_dead


def _library() -> Any:
    try:
        library = ctypes.CDLL(_sqlite3.__file__)
        library.sqlite3_vfs_find.restype = _ptr
        library.sqlite3_vfs_find.argtypes = (ctypes.c_char_p,)
        library.sqlite3_vfs_register.argtypes = (_ptr, _int)
        library.sqlite3_randomness.argtypes = (_int, _ptr)
    except (AttributeError, OSError) as error:
        raise Unsupported(
            "The simulation puts its own file system under SQLite, and this Python does not let it: "
            f"{error}. A Python that loads libsqlite3 as a shared library does, such as Debian's."
        ) from error
    return library
