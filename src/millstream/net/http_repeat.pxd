import cython

from millstream.base cimport syscalls
from millstream.protocol cimport raw

cdef class Repeat:
    cpdef bint take(self, bytes data, Py_ssize_t start, object answer) except -1

cdef class ShortWay:
    cdef public bint is_open
    cdef public bint is_owed
    cdef public double deadline
    cdef public int descriptor
    cdef object _owner
    cdef object _encoder
    cdef double _idle_s
    cdef object _now
    cdef object _buffered_bytes
    cdef bytes _head
    cdef Py_ssize_t _size
    cdef Repeat _repeat
    cdef bint _nsq_header
    cdef object _slot
    cdef object _response
    cdef bytes _date_line
    cdef bytes _encoded

    @cython.locals(size=Py_ssize_t)
    cpdef bint take(self, bytes data) except -1
    cpdef give(self, object response)
    @cython.locals(sent=Py_ssize_t)
    cpdef send(self, bytes data)
