import cython

from millstream.engine.topic cimport Topic
from millstream.protocol.chunks cimport ChunkQueue, outcome_of

cdef bytes _OK_FRAME

cdef class Run:
    cdef public ChunkQueue log
    cdef public int kind
    cdef public long long count
    cdef public long long until
    cdef public long long epoch

cdef class Replies:
    cdef public bint is_empty
    cdef public long long waiting
    cdef dict _message_counts
    cdef Topic _topic
    cdef int _kind
    cdef long long _count
    cdef long long _until
    cdef long long _epoch
    cdef long long _messages
    cdef list _queue

    cpdef published(self, Topic topic, int kind, long long messages)
    cpdef then(self, bytes frame)
    @cython.locals(topic=Topic, run=Run)
    cdef _end_run(self)
    cdef _count_messages(self)
    @cython.locals(topic=Topic, count="long long")
    cpdef bytes take_oks(self)
    cpdef tuple take(self)
