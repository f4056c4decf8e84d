import cython

from millstream.protocol.chunk cimport Chunk
from millstream.protocol.chunks cimport ChunkQueue
from millstream.storage.os_file cimport OsFile

cdef class Log(ChunkQueue):
    cdef public object files
    cdef public str directory
    cdef public object settings
    cdef public list segments
    cdef public object recovered
    cdef public object on_damage
    cdef list _dirty
    cdef list _cold
    cdef list _unsynced
    cdef list _syncing
    cdef list _refused
    cdef bint _directory_unsynced
    cdef bint _has_directory
    cdef Py_ssize_t _segment_limit
    cdef Py_ssize_t _segment_bytes_max
    cdef bint _force_segment
    cdef long long _written_seq

    @cython.locals(previous=Chunk, chunk=Chunk, position=Py_ssize_t, segment=object)
    cpdef Chunk open_chunk(self, Py_ssize_t size_bytes)
    cpdef commit(self)
    @cython.locals(chunk=Chunk, used=Py_ssize_t, at=Py_ssize_t)
    cdef _write(self, list chunks)
    @cython.locals(file=OsFile, used=Py_ssize_t)
    cdef bint _write_behind(self, Chunk chunk) except -1
    @cython.locals(low=Py_ssize_t, high=Py_ssize_t, middle=Py_ssize_t)
    cdef object _segment_of(self, long long sequence)
    cdef _note_unsynced(self, object segment)
    @cython.locals(chunk=Chunk, dropped=Py_ssize_t, kept_bytes=Py_ssize_t)
    cdef _cool(self)
    @cython.locals(cold=Chunk)
    cpdef Chunk find(self, long long sequence)
    cpdef release(self, long long floor)
    cpdef bint is_far(self, long long floor, long long cursor) except -1
    cpdef resume_at(self, long long sequence)
    cpdef bint rest(self) except -1
    cpdef close(self)
    cpdef delete(self)
