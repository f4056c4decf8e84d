# The C form of raw.py: header only, inlined into whoever cimports it. The only place with pointers.
from libc.string cimport memchr, memcmp, memcpy

cdef extern from *:
    """
    #include <string.h>
    /* Eight nibbles in the low half become eight characters: the nibbles move apart into bytes, the highest first in
       memory, and those above 9 get 39 more, which is what lies between '9' and 'a'. */
    static inline unsigned long long millstream_spread(unsigned long long half) {
        unsigned long long x = half & 0xFFFFFFFFULL;
        x = ((x << 16) | x) & 0x0000FFFF0000FFFFULL;
        x = ((x << 8) | x) & 0x00FF00FF00FF00FFULL;
        x = ((x << 4) | x) & 0x0F0F0F0F0F0F0F0FULL;
        return x + 0x3030303030303030ULL + (((x + 0x0606060606060606ULL) >> 4) & 0x0101010101010101ULL) * 39;
    }
    static inline unsigned long long millstream_big_endian(unsigned long long x) {
    #if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        return __builtin_bswap64(x);
    #else
        return x;
    #endif
    }
    static inline unsigned long long millstream_load(const unsigned char* d) {
        unsigned long long x;
        memcpy(&x, d, 8);
        return millstream_big_endian(x);
    }
    static inline void millstream_store(unsigned char* d, unsigned long long x) {
        x = millstream_big_endian(x);
        memcpy(d, &x, 8);
    }
    /* The other way round. Characters that are no digits give some number: the caller spreads it and compares. */
    static inline unsigned long long millstream_gather(unsigned long long text) {
        unsigned long long x = (text & 0x0F0F0F0F0F0F0F0FULL) + ((text >> 6) & 0x0101010101010101ULL) * 9;
        x = (x | (x >> 4)) & 0x00FF00FF00FF00FFULL;
        x = (x | (x >> 8)) & 0x0000FFFF0000FFFFULL;
        return (x | (x >> 16)) & 0x00000000FFFFFFFFULL;
    }
    """
    unsigned long long millstream_spread(unsigned long long half) noexcept nogil
    unsigned long long millstream_gather(unsigned long long text) noexcept nogil
    unsigned long long millstream_load(const unsigned char* d) noexcept nogil
    void millstream_store(unsigned char* d, unsigned long long x) noexcept nogil

cdef inline unsigned int get32(const unsigned char* data, Py_ssize_t at) noexcept nogil:
    return ((<unsigned int>data[at] << 24) | (<unsigned int>data[at + 1] << 16)
            | (<unsigned int>data[at + 2] << 8) | <unsigned int>data[at + 3])

cdef inline unsigned long long get64(const unsigned char* data, Py_ssize_t at) noexcept nogil:
    return millstream_load(data + at)

cdef inline void put32(unsigned char* data, Py_ssize_t at, unsigned int value) noexcept nogil:
    data[at] = value >> 24
    data[at + 1] = (value >> 16) & 255
    data[at + 2] = (value >> 8) & 255
    data[at + 3] = value & 255

cdef inline void put64(unsigned char* data, Py_ssize_t at, unsigned long long value) noexcept nogil:
    millstream_store(data + at, value)

cdef inline void copy(unsigned char* target, Py_ssize_t at, const unsigned char* source, Py_ssize_t start,
                      Py_ssize_t size) noexcept nogil:
    memcpy(target + at, source + start, size)

cdef inline void put_header(unsigned char* data, Py_ssize_t at, unsigned int body_bytes,
                            unsigned long long timestamp_ns, unsigned long long sequence) noexcept nogil:
    cdef unsigned char* d = data + at
    put32(d, 0, body_bytes + 30)
    put32(d, 4, 2)
    put64(d, 8, timestamp_ns)
    d[16] = 0
    d[17] = 1
    millstream_store(d + 18, millstream_spread(sequence >> 32))
    millstream_store(d + 26, millstream_spread(sequence))

cdef inline long long get_id(const unsigned char* data, Py_ssize_t at) noexcept nogil:
    cdef unsigned long long high_text = millstream_load(data + at)
    cdef unsigned long long low_text = millstream_load(data + at + 8)
    cdef unsigned long long high = millstream_gather(high_text)
    cdef unsigned long long low = millstream_gather(low_text)
    if millstream_spread(high) != high_text or millstream_spread(low) != low_text or high >> 31:
        return -1
    return <long long>((high << 32) | low)

cdef inline bint is_id(const unsigned char* data, Py_ssize_t at, long long sequence) noexcept nogil:
    cdef unsigned long long value = <unsigned long long>sequence
    return (millstream_load(data + at + 8) == millstream_spread(value)
            and millstream_load(data + at) == millstream_spread(value >> 32))

cdef inline bint is_stored(const unsigned char* data, Py_ssize_t at, long long sequence) noexcept nogil:
    cdef const unsigned char* d = data + at
    return (is_id(d, 18, sequence) and d[16] == 0 and d[17] == 1 and d[6] <= 1
            and get32(d, 4) == 2 + 256 * <unsigned int>d[6] and get32(d, 0) >= 31 + 8 * <unsigned int>d[6])

cdef inline Py_ssize_t find_newline(const unsigned char* data, Py_ssize_t at, Py_ssize_t end) noexcept nogil:
    cdef const unsigned char* found
    if at >= end:
        return -1
    found = <const unsigned char*>memchr(data + at, 10, end - at)
    return -1 if found == NULL else found - data

cdef inline bint same(const unsigned char* data, Py_ssize_t at, Py_ssize_t size, bytes text) noexcept:
    return size == len(text) and memcmp(data + at, <const unsigned char*>text, size) == 0
