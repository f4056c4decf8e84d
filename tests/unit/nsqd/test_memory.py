from typing import Any

from millstream.nsqd.memory import memory_figures
from millstream.protocol.chunks import CHUNK_BYTES_MAX, BufferPool


async def test_buffers_and_what_fills_them_are_counted(start: Any) -> None:
    async with start() as one:
        pool = BufferPool()
        before = dict(memory_figures(one.host, pool))
        await one.ask("POST", "/pub?topic=t", b"x" * 1000)
        await one.ask("POST", "/channel/create?topic=t&channel=c")
        await one.connect()
        await one.until(lambda: len(one.host.sessions) == 1)
        pool.give(bytearray(CHUNK_BYTES_MAX))
        after = dict(memory_figures(one.host, pool))

    assert before.keys() == after.keys()
    assert [before[f"nsqd_{name}"] for name in ("clients", "topics", "channels", "chunks")] == [0, 0, 0, 0]
    assert [after[f"nsqd_{name}"] for name in ("clients", "topics", "channels", "chunks")] == [1, 1, 1, 1]
    assert after["nsqd_chunk_bytes"] >= 1000
    assert after["nsqd_buffer_pool_bytes"] == CHUNK_BYTES_MAX
    assert after["nsqd_receive_buffer_bytes"] == len(one.host.buffer)
