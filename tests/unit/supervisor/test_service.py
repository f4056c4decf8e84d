import asyncio
import io
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from millstream.supervisor.console import Console
from millstream.supervisor.errors import StartFailed
from millstream.supervisor.plan import Plan, ProcessPlan, Stage
from millstream.supervisor.ports import auto_ports
from millstream.supervisor.service import System, run, say_where, until_stopped

SERVER = """
import http.server, signal, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b'{"tcp_port":7,}')
    def do_POST(self):
        print("made", self.path); self.send_response(200); self.end_headers()
    def log_message(self, *_): pass
print("up", NAME)
def stop(*_):
    print("down", NAME); sys.exit(0)
signal.signal(signal.SIGTERM, stop)
http.server.HTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
"""


def _process(name: str, stage: Stage, port: int, *, ready: bool = True) -> ProcessPlan:
    code = SERVER.replace("PORT", str(port)).replace("NAME", repr(name))
    prepared = stage is Stage.BROKERS
    return ProcessPlan(
        name=name,
        stage=stage,
        argv=(sys.executable, "-u", "-c", code if ready else "import time; time.sleep(60)"),
        cwd=Path.cwd(),
        environment=dict(os.environ),
        ping_url=f"http://127.0.0.1:{port}/ping",
        prepare_urls=(f"http://127.0.0.1:{port}/topic/create?topic=t",) if prepared else (),
        announce_urls=(f"http://127.0.0.1:{port}/lookup",) if prepared else (),
        announced_as='"tcp_port":7,' if prepared else "",
    )


def _plan(folder: Path, *, ready: bool = True) -> Plan:
    ports = auto_ports(["daemon", "web", "statsd"])
    return Plan(
        root=folder,
        data_dir=folder,
        processes=(
            _process("daemon", Stage.BROKERS, ports["daemon"]),
            _process("web", Stage.WEB, ports["web"], ready=ready),
        ),
        directories=(),
        statsd_port=ports["statsd"],
        lookupd_http_address="127.0.0.1:1",
        nsqd_http_addresses={"daemon": f"127.0.0.1:{ports['daemon']}"},
        web_addresses={"web": f"127.0.0.1:{ports['web']}"},
        archive_dir=folder,
        topics={},
    )


def _order(stream: io.StringIO) -> list[str]:
    words = [line.split("| ")[-1] for line in stream.getvalue().splitlines()]
    return [word for word in words if word.startswith(("up ", "down ", "made "))]


async def test_a_system_starts_in_stages_and_stops_in_reverse(tmp_path: Path) -> None:
    stream, seen = io.StringIO(), dict[str, int]()

    async def body(system: System) -> int:
        seen.update(json.loads((tmp_path / "processes.json").read_text()))
        system.stopping.set()
        return await until_stopped(system)

    plan = _plan(tmp_path)
    status = await run(plan, Console(stream), start_timeout_ms=10_000, body=say_where(plan, body))

    assert status == 0
    assert set(seen) == {"daemon", "web"}
    assert _order(stream) == ["up daemon", "made /topic/create?topic=t", "up web", "down web", "down daemon"]
    assert plan.web_addresses["web"] in stream.getvalue()


async def test_a_system_that_is_not_ready_in_time_is_stopped_again(tmp_path: Path) -> None:
    stream = io.StringIO()

    with pytest.raises(StartFailed, match="web: not ready within 1000 ms"):
        await run(_plan(tmp_path, ready=False), Console(stream), start_timeout_ms=1_000, body=until_stopped)

    assert _order(stream)[-1] == "down daemon"


async def test_ctrl_c_ends_the_body(tmp_path: Path) -> None:
    async def body(system: System) -> int:
        os.kill(os.getpid(), signal.SIGINT)
        async with asyncio.timeout(20):
            return await until_stopped(system)

    assert await run(_plan(tmp_path), Console(io.StringIO()), start_timeout_ms=10_000, body=body) == 0


async def test_a_killed_daemon_comes_back_and_is_prepared_again(tmp_path: Path) -> None:
    stream, made_again = io.StringIO(), asyncio.Event()
    console = Console(stream)

    def watch(line: str) -> None:
        stream.write(line + "\n")
        if _order(stream).count("made /topic/create?topic=t") == 2:
            made_again.set()

    console.redirect(watch)

    async def body(system: System) -> int:
        os.kill(json.loads((tmp_path / "processes.json").read_text())["daemon"], signal.SIGKILL)
        async with asyncio.timeout(20):
            await made_again.wait()
        assert system.restarts == {"daemon": 1}
        return 0

    assert await run(_plan(tmp_path), console, start_timeout_ms=10_000, body=body) == 0
