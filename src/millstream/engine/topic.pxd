import cython

from millstream.engine.channel cimport Channel
from millstream.protocol.chunks cimport ChunkQueue

cdef class Topic:
    cdef object __weakref__
    cdef public str name
    cdef public ChunkQueue log
    cdef public object position
    cdef public bint is_ephemeral
    cdef public dict channels
    cdef public object limits
    cdef public str refusal
    cdef public bint is_barred
    cdef public bint paused
    cdef public bint is_held
    cdef public bint is_deleted
    cdef public bint is_dirty
    cdef public long long message_bytes
    cdef public long long rejected_count
    cdef public long long dropped_count
    cdef public long long dead_letter_count
    cdef public long long moved_seq
    cdef long long _first_seen
    cdef long long _pending_bytes
    cdef bint _is_noted

    cpdef publish(self, object data, Py_ssize_t start, Py_ssize_t size, unsigned long long timestamp_ns)
    cpdef publish_batch(self, object data, Py_ssize_t start, Py_ssize_t count, long long size_bytes,
                        unsigned long long timestamp_ns)
    @cython.locals(pending="long long")
    cpdef commit(self)
    @cython.locals(channel=Channel, ready_seq="long long")
    cpdef show(self)
