"""What only nsqd knows about its memory: buffers, and what there is many of.

`nsqd.service` hands it to `net.http_debug`, which shows it in `/debug/pprof/heap`.
"""

from collections.abc import Iterator

from millstream.nsqd.host import Host
from millstream.protocol.chunks import BufferPool


def memory_figures(host: Host, pool: BufferPool) -> Iterator[tuple[str, int]]:
    """Names and numbers, as of now."""
    topics = host.broker.topics.values()
    chunks = [chunk for topic in topics for chunk in topic.log.chunks if chunk.buffer is not None]
    yield "nsqd_clients", len(host.sessions)
    yield "nsqd_topics", len(topics)
    yield "nsqd_channels", sum(len(topic.channels) for topic in topics)
    yield "nsqd_chunks", len(chunks)
    yield "nsqd_chunk_bytes", sum(chunk.capacity for chunk in chunks)
    yield "nsqd_buffer_pool_bytes", pool.kept_bytes
    yield "nsqd_receive_buffer_bytes", len(host.buffer)
