import cython

from millstream.protocol cimport raw

cdef Py_ssize_t _HEADER
cdef Py_ssize_t _DUE
cdef Py_ssize_t _TIMESTAMP_AT

cdef class Chunk:
    cdef public object buffer
    cdef unsigned char* _data
    cdef public object view
    cdef public Py_ssize_t capacity
    cdef public long long base
    cdef public long long end
    cdef public Py_ssize_t used
    cdef public Py_ssize_t position
    cdef public Py_ssize_t written
    cdef public Py_ssize_t walked
    cdef long long _hint
    cdef Py_ssize_t _hint_at

    cpdef append(self, object source, Py_ssize_t start, Py_ssize_t size, unsigned long long timestamp_ns)
    cpdef Py_ssize_t append_batch(self, object source, Py_ssize_t start, Py_ssize_t count,
                                  unsigned long long timestamp_ns) except -1
    @cython.locals(at=Py_ssize_t)
    cpdef append_deferred(self, object source, Py_ssize_t start, Py_ssize_t size, unsigned long long timestamp_ns,
                          unsigned long long due_ns)
    @cython.locals(at=Py_ssize_t)
    cdef int _put(self, const unsigned char* source, Py_ssize_t start, Py_ssize_t size,
                  unsigned long long timestamp_ns) except -1
    @cython.locals(data="unsigned char*", at=Py_ssize_t, sequence="unsigned long long", taken=Py_ssize_t,
                   size=Py_ssize_t)
    cdef Py_ssize_t _put_batch(self, const unsigned char* source, Py_ssize_t start, Py_ssize_t count,
                               unsigned long long timestamp_ns) except -1
    @cython.locals(data="unsigned char*", stop=Py_ssize_t, passed=Py_ssize_t)
    cpdef Py_ssize_t walk(self, Py_ssize_t at, Py_ssize_t limit, Py_ssize_t count, Py_ssize_t size_bytes_max) except -1
    cpdef bint is_deferred(self, Py_ssize_t at)
    cpdef Py_ssize_t after(self, Py_ssize_t at) except -1
    @cython.locals(data="unsigned char*", seq="long long", at=Py_ssize_t)
    cpdef Py_ssize_t locate(self, long long sequence) except -1
    @cython.locals(data="unsigned char*", at=Py_ssize_t, sequence="long long")
    cpdef long long first_since(self, unsigned long long timestamp_ns) except -1
    @cython.locals(data="unsigned char*", at=Py_ssize_t, sequence="long long")
    cpdef long long first_from(self, Py_ssize_t offset) except -1
    @cython.locals(data="unsigned char*", at=Py_ssize_t, sequence="long long")
    cpdef adopt(self, Py_ssize_t size, long long end_max, Py_ssize_t end_at)
    cpdef forget_hint(self)
    @cython.locals(at=Py_ssize_t)
    cpdef bytes record(self, long long sequence)
    cpdef object let_go(self)

@cython.locals(at=Py_ssize_t, following=Py_ssize_t)
cpdef tuple scan(bytearray data, Py_ssize_t start, Py_ssize_t end, long long sequence)
