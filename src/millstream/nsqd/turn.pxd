import cython

from millstream.engine.channel cimport Channel
from millstream.engine.consumer cimport Deliver
from millstream.engine.topic cimport Topic
from millstream.protocol.chunks cimport BufferPool

cdef class Turn:
    cdef object _loop
    cdef object _broker
    cdef BufferPool _pool
    cdef object _clock
    cdef object _carry_out
    cdef object _disk
    cdef list _topics
    cdef list _publishers
    cdef dict _channels
    cdef dict _changed
    cdef bint _is_scheduled
    cdef long long _monotonic_ns
    cdef long long _wall_ns
    cdef object _save_timer
    cdef object _commit
    cdef object _open
    cdef Topic _newest
    cdef object _run
    cdef public long long admission
    cdef public object troubles
    cdef dict _errors
    cdef list _effects

    cpdef published(self, Topic topic, object publisher)
    cpdef mark(self, Topic topic, Channel channel)
    cpdef long long monotonic_ns(self) except -1
    cpdef long long wall_ns(self) except -1
    cpdef wake(self)
    cpdef run(self)
    @cython.locals(topic=Topic, channel=Channel)
    cdef _commit_topics(self)
    @cython.locals(publishers=list, left=list)
    cdef _settle(self)
    @cython.locals(channels=dict, channel=Channel, topic=Topic, effects=list, effect=Deliver)
    cdef _deal(self)
    @cython.locals(topic=Topic)
    cpdef _save(self)
    @cython.locals(topic=Topic, channel=Channel)
    cpdef _synced(self, object outcome)
    cpdef stop(self)
