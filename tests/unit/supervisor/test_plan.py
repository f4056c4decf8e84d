import sys
from pathlib import Path

import pytest

from millstream.supervisor.errors import LayoutError
from millstream.supervisor.layout import Service
from millstream.supervisor.plan import Plan, Planner, ProcessPlan, Stage, daemons_from, wanted_ports
from millstream.supervisor.system_file import SystemFile, parse_system_file

ROOT, DATA = Path("/system"), Path("/data")
SHOP = Service(name="shop", folder=ROOT / "shop", web_app=ROOT / "shop/shop_api.py", readers=())
STOCK = Service(name="stock", folder=ROOT / "stock", web_app=None, readers=(ROOT / "stock/queuereader_stock.py",))
SYSTEM = parse_system_file(
    b"""
    [nsqd.shop]
    topics = {sales = ["stock", "archive"]}
    flags = ["--msg-timeout=1s"]
    [nsqd.stock]
    tcp_port = 5150
    http_port = 5151
    [archive]
    topics = ["sales"]
    flags = ["--sync-interval=1s"]
    """
)


def _plan(system: SystemFile = SYSTEM, environment: dict[str, str] | None = None) -> Plan:
    environment = environment or {}
    return Planner(
        root=ROOT,
        data_dir=DATA,
        services=(SHOP, STOCK),
        system=system,
        ports=wanted_ports((SHOP, STOCK), system),
        daemons=daemons_from(environment),
        environment=environment,
    ).plan()


def _process(plan: Plan, name: str) -> ProcessPlan:
    return next(process for process in plan.processes if process.name == name)


def test_processes_are_planned_in_start_order() -> None:
    plan = _plan()

    assert [process.name for process in plan.processes] == [
        "nsqlookupd",
        "nsqd.shop",
        "nsqd.stock",
        "archive.sales",
        "stock.queuereader_stock",
        "shop.web",
    ]
    assert [process.stage for process in plan.processes] == sorted(process.stage for process in plan.processes)
    assert plan.processes[-1].stage is Stage.WEB


def test_an_nsqd_knows_its_addresses_and_keeps_its_data_apart() -> None:
    argv = _process(_plan(), "nsqd.stock").argv

    assert "--tcp-address=127.0.0.1:5150" in argv
    assert "--http-address=127.0.0.1:5151" in argv
    assert "--lookupd-tcp-address=127.0.0.1:4160" in argv
    assert "--data-path=/data/nsqd/stock" in argv
    assert "--node-id=2" in argv


def test_topics_and_channels_are_made_before_anybody_publishes() -> None:
    process = _process(_plan(), "nsqd.shop")

    assert process.prepare_urls == (
        "http://127.0.0.1:4151/topic/create?topic=sales",
        "http://127.0.0.1:4151/channel/create?topic=sales&channel=stock",
        "http://127.0.0.1:4151/channel/create?topic=sales&channel=archive",
    )
    assert process.announce_urls == ("http://127.0.0.1:4161/lookup?topic=sales",)
    assert process.argv[-1] == "--msg-timeout=1s"


def test_a_service_gets_the_addresses_by_environment() -> None:
    environment = _process(_plan(environment={"HOME": "/home"}), "stock.queuereader_stock").environment

    assert environment["HOME"] == "/home"
    assert environment["MILLSTREAM_NSQD_TCP_ADDRESS"] == "127.0.0.1:5150"
    assert environment["MILLSTREAM_NSQ_LOOKUPD"] == "127.0.0.1:4161"
    assert environment["MILLSTREAM_STATSD_PORT"] == "8125"
    assert environment["MILLSTREAM_DATA_DIR"] == "/data/services/stock"


def test_a_service_without_an_nsqd_of_its_own_writes_to_the_first() -> None:
    plan = _plan(SystemFile())

    assert _process(plan, "stock.queuereader_stock").environment["MILLSTREAM_NSQD_TCP_ADDRESS"] == "127.0.0.1:4150"


def test_scripts_run_in_their_own_folder() -> None:
    process = _process(_plan(), "shop.web")

    assert process.argv == (sys.executable, "/system/shop/shop_api.py")
    assert process.cwd == ROOT / "shop"
    assert process.ping_url == "http://127.0.0.1:8080/ping"


def test_the_environment_names_other_daemons() -> None:
    plan = _plan(environment={"MILLSTREAM_NSQD": "/opt/nsqd", "MILLSTREAM_NSQ_TO_FILE": "/opt/to file"})

    assert _process(plan, "nsqd.shop").argv[0] == "/opt/nsqd"
    assert _process(plan, "archive.sales").argv[0] == "/opt/to file"
    assert _process(plan, "nsqlookupd").argv[:3] == (sys.executable, "-m", "millstream.cli.nsqlookupd")


def test_web_apps_that_are_not_named_count_up() -> None:
    other = Service(name="other", folder=ROOT / "other", web_app=ROOT / "other/other_api.py", readers=())
    system = parse_system_file(b"[web.shop]\nhttp_port = 8080")

    assert wanted_ports((other, SHOP), system)["web.other.http"] == 8081


def test_a_port_for_a_web_app_that_is_not_there_is_a_mistake() -> None:
    with pytest.raises(LayoutError, match=r"web\.shpo"):
        wanted_ports((SHOP,), parse_system_file(b"[web.shpo]\nhttp_port = 1"))
