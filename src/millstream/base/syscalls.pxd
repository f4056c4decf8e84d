# The C form of syscalls.py: header only, inlined into whoever cimports it. A signal that interrupts is not an error.
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.exc cimport PyErr_CheckSignals
from libc.errno cimport EINTR, errno

cdef extern from "<unistd.h>" nogil:
    ssize_t write(int descriptor, const void* data, size_t size)
    ssize_t pwrite(int descriptor, const void* data, size_t size, long long offset)

cdef inline Py_ssize_t _write(int descriptor, const void* data, Py_ssize_t size,
                              long long offset) except? -1000000:
    # Below zero is no offset: the descriptor's own place.
    cdef ssize_t count
    cdef int error
    while True:
        with nogil:
            count = write(descriptor, data, size) if offset < 0 else pwrite(descriptor, data, size, offset)
            error = errno
        if count >= 0:
            return count
        if error != EINTR:
            return -error
        PyErr_CheckSignals()

cdef inline Py_ssize_t write_to(int descriptor, object data) except? -1000000:
    cdef Py_buffer view
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        return _write(descriptor, view.buf, view.len, -1)
    finally:
        PyBuffer_Release(&view)

cdef inline Py_ssize_t write_at(int descriptor, const unsigned char* data, Py_ssize_t start, Py_ssize_t size,
                                long long offset) except? -1000000:
    return _write(descriptor, data + start, size, offset)
