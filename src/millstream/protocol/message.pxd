# What the compiler may assume about message.py.

cdef class Message:
    cdef public bytes id
    cdef public bytes body
    cdef public long long timestamp_ns
    cdef public int attempts
    cdef public object source
    cdef public bint responded
