"""Turns services, `system.toml` and ports into the processes to run: pure, decided before anything starts.

`supervisor.service` carries the plan out stage by stage; what a service must know about the others reaches it as
`MILLSTREAM_<KEY>` environment variables, which its settings read.
"""

import enum
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from millstream.supervisor.errors import LayoutError
from millstream.supervisor.layout import Service
from millstream.supervisor.ports import UDP_NAME
from millstream.supervisor.system_file import NsqdEntry, SystemFile

HOST: Final = "127.0.0.1"

# Which environment variable puts another program in the place of a daemon of ours.
OVERRIDES: Final = {
    "nsqd": "MILLSTREAM_NSQD",
    "nsqlookupd": "MILLSTREAM_NSQLOOKUPD",
    "nsq_to_file": "MILLSTREAM_NSQ_TO_FILE",
}


class Stage(enum.IntEnum):
    """Start order; stop order is its reverse."""

    DISCOVERY = 0
    BROKERS = 1
    WORKERS = 2
    WEB = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessPlan:
    """One process: how to start it, and how to know that it is ready."""

    name: str
    stage: Stage
    argv: tuple[str, ...]
    cwd: Path
    environment: Mapping[str, str]
    ping_url: str | None = None
    prepare_urls: tuple[str, ...] = ()
    """POSTed once the process is ready: makes topics and channels before anybody publishes."""
    announce_urls: tuple[str, ...] = ()
    announced_as: str = ""
    """What the answer of each of `announce_urls` holds once nsqlookupd knows the process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A whole system, ready to be started."""

    root: Path
    data_dir: Path
    processes: tuple[ProcessPlan, ...]
    directories: tuple[Path, ...]
    statsd_port: int
    lookupd_http_address: str
    nsqd_http_addresses: Mapping[str, str]
    web_addresses: Mapping[str, str]
    archive_dir: Path
    topics: Mapping[str, tuple[str, ...]]
    """nsqd's name to the topics made on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemons:
    """How to start each kind of daemon: ours, or whatever the environment names."""

    nsqd: tuple[str, ...] = field(default=(sys.executable, "-m", "millstream.cli.nsqd"))
    nsqlookupd: tuple[str, ...] = field(default=(sys.executable, "-m", "millstream.cli.nsqlookupd"))
    nsq_to_file: tuple[str, ...] = field(default=(sys.executable, "-m", "millstream.cli.nsq_to_file"))


def daemons_from(environment: Mapping[str, str]) -> Daemons:
    """Reads MILLSTREAM_NSQD, MILLSTREAM_NSQLOOKUPD and MILLSTREAM_NSQ_TO_FILE: each the path of one program."""
    named = {kind: (environment[key],) for kind, key in OVERRIDES.items() if environment.get(key)}
    return Daemons(**named)


def wanted_ports(services: Sequence[Service], system: SystemFile) -> dict[str, int]:
    """Every listener by name, with its fixed port. Web apps that `system.toml` leaves out count up from 8080."""
    ports = {"nsqlookupd.tcp": system.nsqlookupd.tcp_port, "nsqlookupd.http": system.nsqlookupd.http_port}
    for name, entry in system.nsqd.items():
        ports[f"nsqd.{name}.tcp"] = entry.tcp_port
        ports[f"nsqd.{name}.http"] = entry.http_port
    web_apps = [service.name for service in services if service.web_app is not None]
    unknown = sorted(set(system.web) - set(web_apps))
    if unknown:
        raise LayoutError(f"system.toml: [web.{unknown[0]}] has no web app {unknown[0]}/{unknown[0]}_api.py")
    taken = {entry.http_port for entry in system.web.values()}
    candidates = iter(port for port in range(8080, 9080) if port not in taken)
    for name in web_apps:
        ports[f"web.{name}.http"] = system.web[name].http_port if name in system.web else next(candidates)
    ports[UDP_NAME] = system.statsd_port
    return ports


@dataclass(frozen=True, slots=True, kw_only=True)
class Planner:
    """Builds the plan of one system from everything that was found and chosen."""

    root: Path
    data_dir: Path
    services: tuple[Service, ...]
    system: SystemFile
    ports: Mapping[str, int]
    daemons: Daemons
    environment: Mapping[str, str]
    """What every process inherits."""

    def plan(self) -> Plan:
        """The whole plan, processes in start order."""
        processes = [self._nsqlookupd()]
        processes += [self._nsqd(number, name) for number, name in enumerate(self.system.nsqd, start=1)]
        processes += [self._archive(topic) for topic in self.system.archive.topics]
        for service in self.services:
            processes += [self._reader(service, reader) for reader in service.readers]
        processes += [self._web_app(service) for service in self.services if service.web_app is not None]
        return Plan(
            root=self.root,
            data_dir=self.data_dir,
            processes=tuple(processes),
            directories=self._directories(),
            statsd_port=self.ports[UDP_NAME],
            lookupd_http_address=self._address("nsqlookupd.http"),
            nsqd_http_addresses={name: self._address(f"nsqd.{name}.http") for name in self.system.nsqd},
            web_addresses={
                service.name: self._address(f"web.{service.name}.http") for service in self.services if service.web_app
            },
            archive_dir=self._archive_dir,
            topics={name: tuple(entry.topics) for name, entry in self.system.nsqd.items()},
        )

    @property
    def _archive_dir(self) -> Path:
        return self.data_dir / "archive"

    def _address(self, listener: str) -> str:
        return f"{HOST}:{self.ports[listener]}"

    def _directories(self) -> tuple[Path, ...]:
        brokers = tuple(self.data_dir / "nsqd" / name for name in self.system.nsqd)
        return (*brokers, *(self._service_dir(service) for service in self.services), self._archive_dir)

    def _service_dir(self, service: Service) -> Path:
        return self.data_dir / "services" / service.name

    def _nsqlookupd(self) -> ProcessPlan:
        http = self._address("nsqlookupd.http")
        return ProcessPlan(
            name="nsqlookupd",
            stage=Stage.DISCOVERY,
            argv=(
                *self.daemons.nsqlookupd,
                f"--tcp-address={self._address('nsqlookupd.tcp')}",
                f"--http-address={http}",
                f"--broadcast-address={HOST}",
                *self.system.nsqlookupd.flags,
            ),
            cwd=self.data_dir,
            environment=self.environment,
            ping_url=f"http://{http}/ping",
        )

    def _nsqd(self, number: int, name: str) -> ProcessPlan:
        entry, http = self.system.nsqd[name], self._address(f"nsqd.{name}.http")
        return ProcessPlan(
            name=f"nsqd.{name}",
            stage=Stage.BROKERS,
            argv=(
                *self.daemons.nsqd,
                f"--tcp-address={self._address(f'nsqd.{name}.tcp')}",
                f"--http-address={http}",
                f"--broadcast-address={HOST}",
                f"--lookupd-tcp-address={self._address('nsqlookupd.tcp')}",
                f"--data-path={self.data_dir / 'nsqd' / name}",
                # The default node id is made from the host's name, which all daemons of this machine share.
                f"--node-id={number}",
                *entry.flags,
            ),
            cwd=self.data_dir,
            environment=self.environment,
            ping_url=f"http://{http}/ping",
            prepare_urls=_prepare_urls(http, entry),
            announce_urls=tuple(
                f"http://{self._address('nsqlookupd.http')}/lookup?{urlencode({'topic': topic})}"
                for topic in entry.topics
            ),
            announced_as=f'"tcp_port":{self.ports[f"nsqd.{name}.tcp"]}',
        )

    def _archive(self, topic: str) -> ProcessPlan:
        archive = self.system.archive
        gzip = ("--gzip=true",) if archive.gzip else ()
        return ProcessPlan(
            name=f"archive.{topic}",
            stage=Stage.WORKERS,
            argv=(
                *self.daemons.nsq_to_file,
                f"--topic={topic}",
                f"--channel={archive.channel}",
                f"--lookupd-http-address={self._address('nsqlookupd.http')}",
                f"--output-dir={self._archive_dir}",
                *gzip,
                *archive.flags,
            ),
            cwd=self.data_dir,
            environment=self.environment,
        )

    def _reader(self, service: Service, reader: Path) -> ProcessPlan:
        return ProcessPlan(
            name=f"{service.name}.{reader.stem}",
            stage=Stage.WORKERS,
            argv=(sys.executable, str(reader)),
            cwd=service.folder,
            environment=self._service_environment(service),
        )

    def _web_app(self, service: Service) -> ProcessPlan:
        address = self._address(f"web.{service.name}.http")
        environment = {**self._service_environment(service), "MILLSTREAM_HTTP_ADDRESS": address}
        return ProcessPlan(
            name=f"{service.name}.web",
            stage=Stage.WEB,
            argv=(sys.executable, str(service.web_app)),
            cwd=service.folder,
            environment=environment,
            ping_url=f"http://{address}/ping",
        )

    def _service_environment(self, service: Service) -> Mapping[str, str]:
        # A service without an nsqd of its own writes to the first one.
        broker = service.name if service.name in self.system.nsqd else next(iter(self.system.nsqd))
        return {
            **self.environment,
            "MILLSTREAM_NSQ_LOOKUPD": self._address("nsqlookupd.http"),
            "MILLSTREAM_NSQD_TCP_ADDRESS": self._address(f"nsqd.{broker}.tcp"),
            "MILLSTREAM_STATSD_HOST": HOST,
            "MILLSTREAM_STATSD_PORT": str(self.ports[UDP_NAME]),
            "MILLSTREAM_DATA_DIR": str(self._service_dir(service)),
        }


def _prepare_urls(http_address: str, entry: NsqdEntry) -> tuple[str, ...]:
    urls = []
    for topic, channels in entry.topics.items():
        urls.append(f"http://{http_address}/topic/create?{urlencode({'topic': topic})}")
        urls += [
            f"http://{http_address}/channel/create?{urlencode({'topic': topic, 'channel': channel})}"
            for channel in channels
        ]
    return tuple(urls)
