from dataclasses import replace

from millstream.nsqlookupd.records import UNKNOWN_VERSION, Lookup, Producer, lookup_version
from millstream.protocol.lookup import Identity

ONE = Producer(
    connection_id=1,
    remote_address="10.0.0.1:5000",
    identity=Identity(broadcast_address="h", tcp_port=4150, http_port=4151, version="1.3.0"),
)
TWO = replace(ONE, connection_id=2, identity=replace(ONE.identity, tcp_port=4160))


def test_a_producer_is_named_by_its_ports() -> None:
    assert (ONE.node, ONE.endpoint) == ("h:4151", ("h", 4150))


def test_the_version_is_that_of_the_producers_alone() -> None:
    version = lookup_version(Lookup(["c"], [ONE, TWO]))

    assert version == lookup_version(Lookup([], [TWO, replace(ONE, connection_id=9, remote_address="10.0.0.1:6000")]))
    others = [
        None,
        Lookup([], []),
        Lookup([], [ONE]),
        Lookup([], [TWO]),
        Lookup([], [TWO, replace(ONE, identity=replace(ONE.identity, topology_zone="z"))]),
    ]
    assert len({version, *map(lookup_version, others)}) == 1 + len(others)
    assert lookup_version(None) == UNKNOWN_VERSION


def test_names_that_no_encoding_takes_have_a_version_too() -> None:
    odd = replace(ONE, identity=replace(ONE.identity, hostname="\ud800"))

    assert lookup_version(Lookup([], [odd])).isalnum()
