"""A port for a daemon that tests start again where it was, for the tests beside this file."""

from millstream.supervisor.ports import auto_ports


def free_port() -> int:
    """A port that stays free while a daemon restarts: the system gives no such number to a connection."""
    return auto_ports(["port"])["port"]
