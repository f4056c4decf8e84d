import cython

from millstream.engine.topic cimport Topic
from millstream.net.http_repeat cimport Repeat
from millstream.nsqd.turn cimport Turn
from millstream.protocol.chunks cimport ChunkQueue, outcome_of
from millstream.protocol.parser cimport batch_of_lines

cdef class Pending:
    cdef object _answer
    cdef object _host
    cdef Topic _topic
    cdef ChunkQueue _log
    cdef long long _until
    cdef long long _epoch

    @cython.locals(outcome=int)
    cpdef bint settle(self) except -1

cdef class PublishAgain(Repeat):
    cdef object _host
    cdef Turn _turn
    cdef str _name
    cdef bint _is_simple
    cdef Topic _topic
    cdef long long _admission

    @cython.locals(topic=Topic)
    cpdef bint take(self, bytes data, Py_ssize_t start, object answer) except -1
    cdef _append(self, Topic topic, bytes data, Py_ssize_t start)
    @cython.locals(topic=Topic)
    cdef Topic _open_topic(self)
    cdef Topic _ask(self)

cdef class BatchAgain(PublishAgain):
    cdef _append(self, Topic topic, bytes data, Py_ssize_t start)
