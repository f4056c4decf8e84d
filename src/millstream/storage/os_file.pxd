import cython

from millstream.base cimport syscalls

cdef class OsFile:
    cdef public str path
    cdef int _descriptor

    cpdef put(self, object data, Py_ssize_t start, Py_ssize_t size, long long offset)
    @cython.locals(count=Py_ssize_t)
    cdef int _put(self, const unsigned char* data, Py_ssize_t start, Py_ssize_t size, long long offset) except -1
