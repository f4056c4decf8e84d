import cython

from millstream.protocol.chunk cimport Chunk

cdef Py_ssize_t _MIN
cdef Py_ssize_t _MAX
cdef Py_ssize_t _HEADER
cdef Py_ssize_t _OVERHEAD
cdef Py_ssize_t _FAR_CHUNKS

cdef class BufferPool:
    cdef Py_ssize_t _buffers_max
    cdef list _free
    cdef list _resting
    cpdef object take(self, Py_ssize_t size_bytes)
    cpdef give(self, object buffer)
    cpdef turn(self)

cdef class Cursor:
    cdef public long long sequence
    cdef public Chunk chunk
    cdef public Py_ssize_t at
    cdef public Py_ssize_t taken
    cpdef move(self, long long sequence)

cdef class ChunkQueue:
    cdef public BufferPool pool
    cdef public list chunks
    cdef public Chunk tail
    cdef public long long next_seq
    cdef public long long ready_seq
    cdef public long long durable_seq
    cdef public object deferred
    cdef public list gaps
    cdef public long long epoch
    cdef public long long cut_seq
    cdef public Py_ssize_t _chunk_bytes

    @cython.locals(tail=Chunk)
    cpdef append(self, object source, Py_ssize_t start, Py_ssize_t size, unsigned long long timestamp_ns)
    @cython.locals(tail=Chunk, taken=Py_ssize_t)
    cpdef append_batch(self, object source, Py_ssize_t start, Py_ssize_t count, unsigned long long timestamp_ns)
    @cython.locals(tail=Chunk)
    cpdef append_deferred(self, object source, Py_ssize_t start, Py_ssize_t size, unsigned long long timestamp_ns,
                          unsigned long long due_ns)
    @cython.locals(chunk=Chunk)
    cdef Chunk _grow(self, Py_ssize_t size_bytes)
    cpdef Chunk open_chunk(self, Py_ssize_t size_bytes)
    cpdef commit(self)
    @cython.locals(chunk=Chunk, start=Py_ssize_t, taken=Py_ssize_t)
    cpdef object slice(self, Cursor cursor, Py_ssize_t count, Py_ssize_t size_bytes_max)
    @cython.locals(chunk=Chunk)
    cpdef long long skip(self, long long sequence) except -1
    @cython.locals(chunk=Chunk)
    cpdef object record(self, long long sequence)
    @cython.locals(chunks=list, low=Py_ssize_t, high=Py_ssize_t, middle=Py_ssize_t, chunk=Chunk)
    cpdef Chunk find(self, long long sequence)
    cpdef release(self, long long floor)
    cpdef _forget_deferred(self)
    @cython.locals(dropped=Py_ssize_t, chunk=Chunk)
    cpdef _release_chunks(self, long long floor)
    @cython.locals(kept=Py_ssize_t, chunk=Chunk)
    cpdef bint is_far(self, long long floor, long long cursor) except -1
    cpdef resume_at(self, long long sequence)
    cpdef bint rest(self) except -1
    cpdef close(self)
    cpdef delete(self)

cpdef int outcome_of(ChunkQueue log, long long until, long long epoch) except -2
