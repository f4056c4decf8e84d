import cython

cdef class Consumer:
    cdef object __weakref__
    cdef public long long number
    cdef public long long timeout_ns
    cdef public int sample_rate
    cdef public int distance
    cdef public object client
    cdef public object sink
    cdef public Py_ssize_t ready_count
    cdef public Py_ssize_t in_flight
    cdef public bint is_blocked
    cdef public long long message_count
    cdef public long long finish_count
    cdef public long long requeue_count
    @cython.locals(room=Py_ssize_t)
    cpdef Py_ssize_t room(self) except -1

cdef class Deliver:
    cdef public Consumer consumer
    cdef public object frames
