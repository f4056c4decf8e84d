import cython

from millstream.protocol cimport raw

cdef Py_ssize_t _LINE_BYTES_MAX
cdef int _INCOMPLETE
cdef int _FINISH
cdef int _PUBLISH
cdef int _PUBLISH_BATCH
cdef int _PUBLISH_DEFERRED
cdef int _COMMAND
cdef Py_ssize_t _FIN_BYTES
cdef long long _INT32_SIGN
cdef int _SPACE
cdef int _NEWLINE
cdef int _ZERO
cdef Py_ssize_t _PLAIN_DIGITS_MAX
cdef int _D
cdef int _F
cdef int _I
cdef int _M
cdef int _N
cdef int _P

cpdef tuple batch_of_lines(bytes data, Py_ssize_t first, Py_ssize_t size_bytes_max)
@cython.locals(count=Py_ssize_t, size_bytes=Py_ssize_t, start=Py_ssize_t, stop=Py_ssize_t, size=Py_ssize_t,
               at=Py_ssize_t, batch=bytearray)
cdef tuple _batch_of_lines(bytes body, Py_ssize_t first, Py_ssize_t end, Py_ssize_t size_bytes_max)
@cython.locals(newline=Py_ssize_t)
cdef Py_ssize_t _end_of_line(const unsigned char* body, Py_ssize_t start, Py_ssize_t end) except -1

cdef class CommandParser:
    cdef object _guard
    cdef public long long message_bytes_max
    cdef public long long body_bytes_max
    cdef public long long req_timeout_ms_max
    cdef public Py_ssize_t position
    cdef public Py_ssize_t needed
    cdef public Py_ssize_t declared
    cdef public str topic
    cdef public Py_ssize_t body
    cdef public Py_ssize_t size
    cdef public Py_ssize_t count
    cdef public long long delay_ms
    cdef public object command
    cdef public bint is_guarded
    cdef public object may_publish_batch
    cdef bytes _topic_bytes
    cdef Py_ssize_t _seen_count
    cdef Py_ssize_t _seen_bytes

    cpdef int scan(self, bytearray data, Py_ssize_t start, Py_ssize_t end) except -1
    @cython.locals(first=int, stop=Py_ssize_t, newline=Py_ssize_t)
    cdef int _scan(self, bytearray data, Py_ssize_t start, Py_ssize_t end) except -1
    @cython.locals(at=Py_ssize_t)
    cdef Py_ssize_t _fin_run(self, const unsigned char* data, Py_ssize_t start, Py_ssize_t end) except -1
    @cython.locals(newline=Py_ssize_t, stop=Py_ssize_t)
    cpdef int line(self, bytearray data, Py_ssize_t start, Py_ssize_t end) except -1
    @cython.locals(at=Py_ssize_t)
    cdef bint _is_publish(self, const unsigned char* data, Py_ssize_t start, Py_ssize_t stop,
                          Py_ssize_t prefix) except -1
    cdef _take_topic(self, bytearray data, Py_ssize_t start, Py_ssize_t stop, str name, str code)
    cdef _set_topic(self, bytes raw_name, str name, str code)
    cdef int _publish(self, bytearray data, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t body,
                      Py_ssize_t end) except -1
    @cython.locals(topic=Py_ssize_t, at=Py_ssize_t, behind_topic=Py_ssize_t, delay_ms="long long", is_plain=bint,
                   digit=int)
    cdef int _publish_deferred(self, bytearray data, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t body,
                               Py_ssize_t end) except -1
    @cython.locals(size="long long")
    cdef int _message(self, bytearray data, Py_ssize_t body, Py_ssize_t end, str name, int kind) except -1
    cdef int _publish_batch(self, bytearray data, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t body,
                            Py_ssize_t end) except -1
    @cython.locals(size="long long", count="long long")
    cdef int _batch(self, bytearray data, Py_ssize_t body, Py_ssize_t end) except -1
    @cython.locals(size="long long", index=Py_ssize_t, at=Py_ssize_t)
    cdef int _walk_batch(self, const unsigned char* data, Py_ssize_t first, Py_ssize_t end,
                         Py_ssize_t count) except -1
    cdef int _more_of_batch(self, Py_ssize_t index, Py_ssize_t seen_bytes, Py_ssize_t needed) except -1
    cdef int _command(self, bytes line, bytearray data, Py_ssize_t body, Py_ssize_t end) except -1
    cdef int _slow_publish(self, str name, list parameters, bytearray data, Py_ssize_t body,
                           Py_ssize_t end) except -1
    cdef int _body_command(self, str name, list parameters, bytearray data, Py_ssize_t body,
                           Py_ssize_t end) except -1
