import cython

from millstream.protocol cimport raw

cdef unsigned char _FINISHED
cdef unsigned char _IN_FLIGHT
cdef unsigned char _QUEUED
cdef unsigned char _FRESH
cdef Py_ssize_t _FIN_BYTES
cdef Py_ssize_t _SLOTS_MIN
cdef long long _NEVER
cdef int _ATTEMPTS_MAX

cdef class Window:
    cdef public long long floor
    cdef public long long cursor
    cdef public Py_ssize_t in_flight
    cdef public Py_ssize_t unfinished
    cdef public Py_ssize_t late
    cdef public Py_ssize_t slots_max
    cdef public long long next_deadline
    cdef public Py_ssize_t counted
    cdef public long long mask
    cdef unsigned char[::1] _state
    cdef unsigned int[::1] _owner
    cdef unsigned short[::1] _attempts
    cdef long long[::1] _deadline
    cdef long long[::1] _since

    @cython.locals(sequence="long long", at="long long", to="long long", mask="long long", old_mask="long long",
                   state="unsigned char[::1]", owner="unsigned int[::1]", attempts="unsigned short[::1]",
                   deadline="long long[::1]", since="long long[::1]")
    cpdef _resize(self, Py_ssize_t slots)
    @cython.locals(needed="long long", slots="long long", free="long long")
    cpdef Py_ssize_t room(self, Py_ssize_t count) except -1
    cpdef shrink(self)
    cpdef jump(self, long long sequence)
    @cython.locals(first="long long", end="long long", slots="long long")
    cpdef hold(self, Py_ssize_t count, unsigned int owner, long long now_ns, long long deadline_ns)
    @cython.locals(state="unsigned char[::1]", owners="unsigned int[::1]", attempts="unsigned short[::1]",
                   deadlines="long long[::1]", instants="long long[::1]", at="long long", in_flight="unsigned char")
    cdef _fill(self, long long start, long long stop, unsigned int owner, long long now_ns, long long deadline_ns)
    @cython.locals(mask="long long", sequence="long long", end="long long")
    cpdef pass_over(self, Py_ssize_t count)
    @cython.locals(mask="long long", sequence="long long", end="long long", at="long long")
    cpdef set_aside(self, Py_ssize_t count)
    @cython.locals(at="long long", attempts=int)
    cpdef int hold_again(self, long long sequence, unsigned int owner, long long now_ns,
                         long long deadline_ns) except -1
    cdef inline long long _slot(self, long long sequence) noexcept
    @cython.locals(at="long long")
    cpdef bint finish(self, long long sequence, unsigned int owner) except -1
    cpdef Py_ssize_t finish_run(self, object data, Py_ssize_t start, Py_ssize_t stop, unsigned int owner) except -1
    @cython.locals(done=Py_ssize_t, mask="long long", floor="long long", cursor="long long", sequence="long long",
                   at="long long", state="unsigned char[::1]", owners="unsigned int[::1]", in_flight="unsigned char",
                   fresh="unsigned char")
    cdef Py_ssize_t _finish_run(self, const unsigned char* data, Py_ssize_t start, Py_ssize_t stop,
                                unsigned int owner) except -1
    @cython.locals(floor="long long", cursor="long long", mask="long long", at="long long")
    cpdef advance(self)
    @cython.locals(at="long long")
    cpdef bint queue(self, long long sequence, unsigned int owner) except -1
    @cython.locals(at="long long")
    cpdef restore(self, long long sequence, int attempts)
    cpdef restore_finished(self, long long sequence)
    @cython.locals(at="long long", latest="long long")
    cpdef bint touch(self, long long sequence, unsigned int owner, long long deadline_ns,
                     long long held_max_ns) except -1
    @cython.locals(at="long long")
    cpdef drop(self, long long sequence)
    cpdef clear(self)
    @cython.locals(at="long long")
    cpdef int state_of(self, long long sequence) except -1
    cpdef unsigned int owner_of(self, long long sequence) except? 0
    cpdef int attempts_of(self, long long sequence) except -1
    cpdef long long deadline_of(self, long long sequence) except? 0
    cpdef long long since_of(self, long long sequence) except? 0
    @cython.locals(lowest="long long", mask="long long", sequence="long long", at="long long")
    cpdef list expire(self, long long now_ns)
    @cython.locals(mask="long long", sequence="long long", at="long long")
    cpdef list abandon(self, unsigned int owner)
    @cython.locals(mask="long long", sequence="long long", stop="long long", at="long long")
    cpdef list unfinished_between(self, long long start, long long end, Py_ssize_t limit)
    @cython.locals(mask="long long", start="long long", sequence="long long", at="long long")
    cpdef list take_finished(self, bint everything)
