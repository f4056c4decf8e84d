"""Starts the daemons of every bench, original and ours, and has the scenarios carried out on both sides at once.

The scenarios of a bench that is not serial share one pair of daemons and run side by side: waiting for timeouts costs
nothing that way. `outcomes` gives one transcript per side; the first side is the original.
"""

import asyncio
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from peer_auth import RULES, AuthServer
from peer_certificates import Certificates
from peer_daemons import BENCHES, Daemon
from peer_run import POLL_S, STEP_DEADLINE_S, Run, Side, Transcript
from peer_script import Ask, Scenario

AT_ONCE: Final = 24
# Programs take their time to start: many at once would keep each other from being in time.
PROGRAMS_AT_ONCE: Final = 8
_FIRST_CHANNEL: Final = "/channel/create?topic=first&channel=c"


async def outcomes(scenarios: Mapping[str, Scenario], original: Path) -> dict[str, dict[str, Transcript]]:
    """What each side said, by the topic of the scenario, which is its key, and by side. Starts and ends all daemons."""
    results: dict[str, dict[str, Transcript]] = {key: {} for key in scenarios}
    wanted = {scenario.bench for scenario in scenarios.values()}
    with tempfile.TemporaryDirectory() as scratch:
        fleet = Fleet(original, Path(scratch))
        try:
            starts = await asyncio.gather(*(fleet.start(bench) for bench in sorted(wanted)), return_exceptions=True)
            for failed in starts:
                if failed is not None:
                    raise failed
            limit = asyncio.Semaphore(AT_ONCE)
            await asyncio.gather(
                *(
                    fleet.carry_out(bench, {k: s for k, s in scenarios.items() if s.bench == bench}, results, limit)
                    for bench in sorted(wanted)
                )
            )
        finally:
            await fleet.end()
    assert not fleet.unexpected, fleet.unexpected
    return results


class Fleet:
    """All daemons of all benches, and what they share."""

    def __init__(self, original: Path, folder: Path) -> None:
        self.unexpected: list[bytes] = []
        self._original = original
        self._folder = folder
        self._certificates = Certificates(folder / "certificates")
        self._sides: dict[str, list[Side]] = {}
        self._daemons: list[Daemon] = []
        self._auth_servers: list[AuthServer] = []
        self._nsqauthd = ""
        self._is_starting_nsqauthd = asyncio.Lock()
        self._programs = asyncio.Semaphore(PROGRAMS_AT_ONCE)

    async def start(self, bench: str) -> None:
        """Start the daemons of a bench: a pair, or for clusters every mixture."""
        if bench == "cluster":
            mixtures = [(theirs, looks_theirs) for theirs in (True, False) for looks_theirs in (True, False)]
            sides = [self._start_cluster(nsqd, lookupd) for nsqd, lookupd in mixtures]
        else:
            sides = [self._start_side(bench, is_original=is_original) for is_original in (True, False)]
        self._sides[bench] = await asyncio.gather(*sides)

    def _side(self, name: str, main: str) -> Side:
        return Side(name, main, self._certificates, self._original, self._programs)

    async def _start_side(self, bench: str, *, is_original: bool) -> Side:
        program, flags = BENCHES[bench].program, list(BENCHES[bench].flags)
        side = self._side("original" if is_original else "ours", program)
        values = {"$certs": str(self._certificates.folder)}
        if any("auth" in flag for flag in flags):
            side.auth = await self._start_auth_server()
            values["$nsqauthd"] = await self._start_nsqauthd()
            values["$auth"] = f"127.0.0.1:{side.auth.port}"
            values["$tlsauth"] = f"127.0.0.1:{side.auth.tls_port}"
        for name, value in values.items():
            flags = [flag.replace(name, value) for flag in flags]
        side.daemons[program] = await self._daemon(program, flags, f"{bench}-{side.name}", is_original=is_original)
        return side

    async def _start_auth_server(self) -> AuthServer:
        server = AuthServer()
        await server.start(self._certificates.server_context())
        self._auth_servers.append(server)
        return server

    async def _start_nsqauthd(self) -> str:
        """The address of the one nsqauthd, which serves both sides."""
        async with self._is_starting_nsqauthd:
            if not self._nsqauthd:
                rules = self._folder / "rules.toml"
                rules.write_text(RULES)
                daemon = await self._daemon("nsqauthd", (f"--rules={rules}",), "nsqauthd", is_original=False)
                self._nsqauthd = daemon.address("http")
        return self._nsqauthd

    async def _start_cluster(self, nsqd_is_original: bool, lookupd_is_original: bool) -> Side:
        """An nsqd in an nsqlookupd, and the original nsqadmin, which reads both."""
        names = ["original" if each else "ours" for each in (nsqd_is_original, lookupd_is_original)]
        side = self._side(f"{names[0]} nsqd in {names[1]} nsqlookupd", "nsqd")
        lookupd = await self._daemon("nsqlookupd", (), side.name, is_original=lookupd_is_original)
        side.daemons["nsqlookupd"] = lookupd
        flags = (f"--lookupd-tcp-address={lookupd.address('tcp')}",)
        side.daemons["nsqd"] = await self._daemon("nsqd", flags, side.name, is_original=nsqd_is_original)
        flags = (f"--lookupd-http-address={lookupd.address('http')}",)
        side.daemons["nsqadmin"] = await self._daemon("nsqadmin", flags, side.name, is_original=True)
        await _until_registered(side)
        return side

    async def _daemon(self, program: str, flags: Sequence[str], name: str, *, is_original: bool) -> Daemon:
        original = self._original if is_original else None
        daemon = await Daemon.start(program, tuple(flags), original=original, folder=self._folder / name)
        self._daemons.append(daemon)
        return daemon

    async def end(self) -> None:
        """End all of them, and keep what they should not have logged."""
        await asyncio.gather(*(daemon.end() for daemon in self._daemons))
        for server in self._auth_servers:
            server.close()
        self.unexpected = [line for daemon in self._daemons for line in daemon.unexpected()]

    async def carry_out(
        self,
        bench: str,
        scenarios: Mapping[str, Scenario],
        results: dict[str, dict[str, Transcript]],
        limit: asyncio.Semaphore,
    ) -> None:
        """The scenarios of one bench, each on all its sides."""

        sides = self._sides[bench]

        async def on_all_sides(key: str) -> None:
            async with limit:
                runs = [Run(scenarios[key], side, key, self._folder / f"{key}-{side.name}") for side in sides]
                transcripts = await asyncio.gather(*(run.run() for run in runs))
            results[key] = {side.name: lines for side, lines in zip(sides, transcripts, strict=True)}

        if bench in BENCHES and BENCHES[bench].serial:
            for key in scenarios:
                await on_all_sides(key)
                await asyncio.gather(*(_forget(side) for side in sides))
        else:
            await asyncio.gather(*(on_all_sides(key) for key in scenarios))


def _runner(side: Side) -> Run:
    """For requests that belong to no scenario."""
    return Run(Scenario(name="", steps=()), side, "", Path("/nowhere"))


async def _until_registered(side: Side) -> None:
    """Wait until nsqd and nsqlookupd have spoken, before which a new topic gets no channels.

    The original asks for channels once it has come back to waiting for news: a channel that it announces says so.
    """
    runner = _runner(side)
    end = time.monotonic() + STEP_DEADLINE_S
    for made, known in (("/topic/create?topic=first", b"remote_address"), (_FIRST_CHANNEL, b'"c"')):
        await runner.request(Ask("POST", made))
        while known not in await runner.request(Ask("GET", "/lookup?topic=first", of="nsqlookupd")):
            assert time.monotonic() < end, f"{side.name} do not speak"
            await asyncio.sleep(POLL_S)


async def _forget(side: Side) -> None:
    """Wait until all clients are gone, and delete every topic."""
    runner = _runner(side)
    is_nsqd = side.main == "nsqd"
    clients = Ask("GET", "/stats?format=json&include_mem=false" if is_nsqd else "/nodes")
    nobody = b'"producers":null' if is_nsqd else b'"producers":[]'
    end = time.monotonic() + STEP_DEADLINE_S
    while nobody not in await runner.request(clients) and time.monotonic() < end:  # noqa: ASYNC110 (another process)
        await asyncio.sleep(POLL_S)
    for topic in await _topics(runner, clients if is_nsqd else Ask("GET", "/topics")):
        await runner.request(Ask("POST", f"/topic/delete?topic={topic}"))


async def _topics(runner: Run, ask: Ask) -> list[str]:
    """The names of all topics, as they stand in a query."""
    topics = json.loads((await runner.request(ask)).partition(b"\r\n\r\n")[2]).get("topics") or []
    names = [topic if isinstance(topic, str) else topic["topic_name"] for topic in topics]
    return [name.replace("#", "%23") for name in names]
