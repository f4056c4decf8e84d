from pathlib import Path

import pytest

from millstream.supervisor.errors import LayoutError
from millstream.supervisor.system_file import parse_system_file, read_system_file


def test_without_a_file_there_is_one_nsqd_and_no_archive(tmp_path: Path) -> None:
    system = read_system_file(tmp_path)

    assert list(system.nsqd) == ["local"]
    assert system.archive.topics == ()


def test_every_table_is_read() -> None:
    system = parse_system_file(
        b"""
        statsd_port = 9000
        [nsqlookupd]
        tcp_port = 1
        [nsqd.shop]
        flags = ["--msg-timeout=1s"]
        topics = {sales = ["archive", "metrics"]}
        [web.shop]
        http_port = 81
        [archive]
        topics = ["sales"]
        """
    )

    assert system.statsd_port == 9000
    assert system.nsqlookupd.tcp_port == 1
    assert system.nsqd["shop"].topics == {"sales": ("archive", "metrics")}
    assert system.web["shop"].http_port == 81
    assert system.archive.topics == ("sales",)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"statsd_prot = 1", "statsd_prot"),
        (b"statsd_port = 70000", "65535"),
        (b"[nsqd.a-b]", "key"),
        (b"[nsqd]", "names no daemon"),
        (b"[nsqd.a.topics]\n'no such' = []", "no such"),
        (b"[archive]\nchannel = ''", "no topic or channel name"),
        (b"not toml", "system.toml"),
        (b"\xff", "system.toml"),
    ],
)
def test_a_mistake_is_named(text: bytes, complaint: str) -> None:
    with pytest.raises(LayoutError, match=complaint):
        parse_system_file(text)
