# What the compiler may assume about frames.py.
import cython

from millstream.protocol.message cimport Message

cdef int _MESSAGE
cdef int _KIND_MAX
cdef Py_ssize_t _HEAD_BYTES
cdef Py_ssize_t _SIZE_MIN
cdef Py_ssize_t _MESSAGE_SIZE_MIN
cdef Py_ssize_t _BODY_AT
cdef object _unpack_head
cdef object _unpack_message

cdef class FrameDecoder:
    cdef readonly Py_ssize_t size_bytes_max
    cdef bytearray _pending
    cdef Py_ssize_t _needed
    cdef object _error

    @cython.locals(frames=list, chunk=bytes, length=Py_ssize_t, at=Py_ssize_t, end=Py_ssize_t, size=Py_ssize_t, kind=int)
    cpdef list feed(self, object data)

    @cython.locals(messages=list, frames=list, chunk=bytes, length=Py_ssize_t, at=Py_ssize_t, end=Py_ssize_t,
                   size=Py_ssize_t, kind=int, message=Message)
    cpdef tuple feed_messages(self, object data, type message_type, object source=*)

    @cython.locals(chunk=bytes, end=Py_ssize_t, size=Py_ssize_t, kind=int)
    cpdef object feed_one(self, object data=*)

    cpdef bytes take_pending(self)
    cdef bytes _join(self, object data)
    @cython.locals(rest=Py_ssize_t)
    cdef object _keep(self, bytes chunk, Py_ssize_t at)
    cdef object _refuse(self, Py_ssize_t size, int kind)
