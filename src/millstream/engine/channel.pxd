import cython

from millstream.engine.consumer cimport Consumer, Deliver
from millstream.engine.window cimport Window
from millstream.protocol.chunks cimport ChunkQueue, Cursor

cdef Py_ssize_t _RUN_BYTES
cdef int _PERCENT

cdef class Channel:
    cdef object __weakref__
    cdef public str name
    cdef public ChunkQueue log
    cdef public object progress
    cdef public object clock
    cdef public object chance
    cdef public object settings
    cdef public object latency
    cdef public list consumers
    cdef public object stragglers
    cdef public object redelivery
    cdef public Window window
    cdef public Cursor cursor
    cdef public long long visible_seq
    cdef public long long first_seen
    cdef public long long scanned
    cdef public list holes
    cdef public list replays
    cdef public bint paused
    cdef public bint has_more
    cdef public bint is_ranked
    cdef public list served_before
    cdef public bint is_changed
    cdef public long long requeue_count
    cdef public long long timeout_count
    cdef public long long dropped_count
    cdef public long long dead_letter_count
    cdef public object policy
    cdef public long long max_attempts
    cdef public dict doomed
    cdef public dict redriven
    cdef Py_ssize_t _turn
    cdef bint _takes_fresh

    @cython.locals(waiting="long long")
    cdef long long _waiting(self) except? -1
    cpdef see(self, long long visible_seq)
    @cython.locals(ready=list, waiting=list, each=Consumer, consumer=Consumer, count=Py_ssize_t, start=Py_ssize_t,
                   served=Py_ssize_t, available="long long", left=Py_ssize_t, budget="long long",
                   share="long long")
    cpdef list deal(self, long long now_ns)
    @cython.locals(cursor=Cursor, window=Window, left_bytes=Py_ssize_t, deadline_ns="long long",
                   available="long long", room=Py_ssize_t, taken=Py_ssize_t)
    cdef _deliver(self, Consumer consumer, long long budget, long long now_ns, list effects)
    @cython.locals(fresh="long long", old="long long")
    cdef long long _part_for_old(self, long long budget) except -1
    cdef Py_ssize_t _before_hole(self, Py_ssize_t room) except -1
    cdef _step_over(self)
    @cython.locals(count="long long")
    cpdef skip_to(self, long long sequence)
    @cython.locals(in_window=bint, attempts="long long")
    cdef Py_ssize_t _redeliver(self, Consumer consumer, long long budget, long long now_ns, list effects) except -1
    cdef _lose(self, long long sequence)
    @cython.locals(at=Py_ssize_t, done=Py_ssize_t)
    cpdef Py_ssize_t finish_run(self, Consumer consumer, object data, Py_ssize_t start, Py_ssize_t stop) except -1
    cpdef bint finish(self, Consumer consumer, long long sequence) except -1
    cpdef bint requeue(self, Consumer consumer, long long sequence, long long delay_ns) except -1
    cpdef bint touch(self, Consumer consumer, long long sequence, long long now_ns) except -1
    cpdef bint tick(self, long long now_ns) except -1
