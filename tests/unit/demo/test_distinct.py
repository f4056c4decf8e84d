import socket

from millstream.demo.distinct import DistinctCounter


def test_a_value_is_sent_as_a_member_of_the_set() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(20)
        counter = DistinctCounter("clicks.events", receiver.getsockname)
        counter.add(None)
        counter.add("a:b|c\n")
        counter.add("x" * 500)
        counter.close()
        counter.add("y")

        assert receiver.recv(1000) == b"clicks.events:a_b_c_|s"
        assert len(receiver.recv(1000)) == len("clicks.events:|s") + 80


def test_without_a_host_nothing_is_sent() -> None:
    DistinctCounter("key", lambda: ("", 8125)).add("a")
