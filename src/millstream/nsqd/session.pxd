import cython

from millstream.base cimport syscalls
from millstream.engine.channel cimport Channel
from millstream.engine.consumer cimport Consumer
from millstream.engine.topic cimport Topic
from millstream.nsqd.replies cimport Replies
from millstream.nsqd.turn cimport Turn
from millstream.protocol.parser cimport CommandParser

cdef int _FINISH
cdef int _PUBLISH
cdef int _PUBLISH_BATCH
cdef int _PUBLISH_DEFERRED
cdef Py_ssize_t _UNSENT_BYTES_MAX
cdef Py_ssize_t _PENDING_MAX
cdef Py_ssize_t _KEEP_BYTES
cdef Py_ssize_t _SLACK_BYTES
cdef Py_ssize_t _MAGIC_BYTES
cdef long long _NS_PER_MS
cdef tuple _NAMES
cdef object _WOULD_BLOCK

cdef class Session:
    cdef object __weakref__
    cdef public object host
    cdef public long long number
    cdef public object transport
    cdef public Consumer consumer
    cdef public Topic topic
    cdef public Channel channel
    cdef public object conversation
    cdef public Replies replies
    cdef public bint is_closed
    cdef public bint is_closing
    cdef public bint is_waiting
    cdef public bint is_upgrading
    cdef public bint is_suspended
    cdef Turn _turn
    cdef object _view
    cdef bint _needs_auth
    cdef public long long last_command_ns
    cdef CommandParser _parser
    cdef Topic _publishing
    cdef str _publishing_name
    cdef long long _admission
    cdef int _descriptor
    cdef bint _is_greeted
    cdef bint _is_blocked
    cdef bint _is_reading_paused
    cdef bytearray _own
    cdef Py_ssize_t _have
    cdef Py_ssize_t _needed

    @cython.locals(data=bytearray, own=bytearray, end=Py_ssize_t, used=Py_ssize_t)
    cpdef buffer_updated(self, Py_ssize_t count)
    @cython.locals(used=Py_ssize_t)
    cdef _process(self, bytearray data, Py_ssize_t end)
    @cython.locals(rest=Py_ssize_t, needed=Py_ssize_t, declared=Py_ssize_t, capacity=Py_ssize_t, own=bytearray)
    cdef _keep(self, bytearray data, Py_ssize_t used, Py_ssize_t end)
    @cython.locals(parser=CommandParser, at=Py_ssize_t, kind=int, finished=bint)
    cdef Py_ssize_t _feed(self, bytearray data, Py_ssize_t end) except -1
    @cython.locals(parser=CommandParser, topic=Topic, is_known=bint, now_ns="unsigned long long")
    cdef _publish(self, int kind, bytearray data)
    @cython.locals(sent=Py_ssize_t)
    cpdef send(self, object data)
    cdef _bound_unsent(self)
    cdef _bound_pending(self)
    cdef _upgrade(self)
    cdef _end(self)
