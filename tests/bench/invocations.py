"""Measure the CPU and wall time of warm invocations, and compare them with another commit's.

CPU time is that of the function's process: besides waiting, it is what Lambda bills. During a
measurement `instant_server` replaces DynamoDB and Infobip. It accepts every write and answers
immediately, so wall time is the function's own as well. Its data come from the emulator and the
simulator, which the commit's own functions fill beforehand, so items have that commit's format.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
import uuid
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from shutil import copytree, ignore_patterns
from typing import IO, TYPE_CHECKING, Any, Self

import requests

from tests.local_world.aws_emulator import (
    ACCESS_KEY_ID,
    REGION,
    ROOT,
    SECRET_ACCESS_KEY,
    AwsEmulator,
)
from tests.local_world.clients import options, session
from tests.local_world.infobip_simulator import process
from tests.local_world.simulator_control import SimulatorControl
from tests.local_world.template import messages_table

from .instant_server import Data, InstantServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from types import TracebackType

    from tests.progress import Progress

Json = dict[str, Any]

_BATCHES_PER_SAMPLE = 2
_RECORDS_PER_BATCH = 10
_REPORTS_PER_PAGE = 1000
_PAGES_OF_BACKLOG = 50
_API_KEY = "bench-key"
_SCENARIO = {
    "name": "Bench",
    "flow": [{"from": "app", "channel": "PUSH"}, {"from": "Acme", "channel": "SMS"}],
}
_SECONDS_UNTIL_REPORTED = 3600
#: Invocations of these rows log no warnings: with one, another case would be measured.
_PROBLEM = re.compile(r'^.*"level":"(?:WARNING|ERROR|CRITICAL)".*$|^Traceback.*', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Row:
    """A kind of invocation that is measured.

    Args:
        title: A description of one invocation.
        function: The name of the function's folder.
        samples: The number of samples of each process. Short samples expose both values of a pair
            to the same load of the machine; many samples make the median of the ratios more
            certain.
        events: Builds the events of a sample from the sample's unique number.
        warm_ups: The number of samples before these, which only warm the process up.
        pages: The number of pages of reports that an invocation finds.
        parts: The functions to time as parts of an invocation: see `worker.time_parts`.
    """

    title: str
    function: str
    samples: int
    events: Callable[[int], list[Json]]
    warm_ups: int = 1
    pages: int = 1
    parts: Mapping[str, str] = field(default_factory=dict)

    @property
    def reports(self) -> int:
        """How many reports an invocation finds."""
        return self.pages * _REPORTS_PER_PAGE


@dataclass(frozen=True, slots=True)
class Sample:
    """The time of one invocation in seconds: the mean of a few consecutive ones."""

    cpu: float
    wall: float
    #: Wall time of the parts of an invocation, by name.
    parts: Mapping[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Measured:
    """The samples of a row with one commit, in chronological order."""

    samples: list[Sample] = field(default_factory=list)
    #: How often an invocation called each operation of the servers.
    calls: dict[str, float] = field(default_factory=dict)


class BenchError(Exception):
    """A measurement is not possible; the text says why."""


def _batches_of_ten(number: int) -> list[Json]:
    first = number * _BATCHES_PER_SAMPLE
    return [
        _batch(
            {
                "messageId": f"bench-{first + batch}-{index}",
                "to": {"phoneNumber": f"38591{index:07d}"},
                "push": {"text": f"Your parcel {first + batch}-{index} is on its way."},
                "sms": {"text": f"Acme: your parcel {first + batch}-{index} is on its way."},
            }
            for index in range(_RECORDS_PER_BATCH)
        )
        for batch in range(_BATCHES_PER_SAMPLE)
    ]


ROWS = {
    "send": Row(
        "send: send_message, a batch of ten different messages",
        "send_message",
        30,
        _batches_of_ten,
    ),
    "pull": Row(
        "pull: pull_delivery_reports, a page of 1,000 delivery reports, and then an empty one",
        "pull_delivery_reports",
        6,
        lambda _: [{}],
    ),
    "backlog": Row(
        f"backlog: pull_delivery_reports, {_PAGES_OF_BACKLOG} pages of 1,000 delivery reports",
        "pull_delivery_reports",
        samples=1,
        events=lambda _: [{}],
        warm_ups=0,
        pages=_PAGES_OF_BACKLOG,
        parts={
            "taking pages": "infobip_omni.api.client:OmniClient.take_reports",
            "packing pages": "infobip_omni.delivery_reports:DeliveryReports.store_page",
            "parsing pages": "infobip_omni.delivery_reports:parse_page",
            "reading reports": "infobip_omni.delivery_reports:_read_entries",
            "reading messages": "infobip_omni.message_ledger:MessageLedger.find",
            "writing reports and pages": "infobip_omni.dynamodb:Table.put_all",
            "settling messages": "infobip_omni.message_ledger:MessageLedger.apply",
            "deleting pages": "infobip_omni.dynamodb:Table.delete",
        },
    ),
}


# --- Measure ---------------------------------------------------------------------------------


def measure(
    rows: Sequence[Row], base: str | None, rounds: int, progress: Progress
) -> Iterator[tuple[Row, Measured, Measured | None]]:
    """Measure rows with the code of this folder, alternating with that of a base commit.

    Both use the packages that are installed here.

    Args:
        rows: The rows to measure.
        base: The base commit, if any.
        rounds: How often new processes are started. The memory layout of a process makes all of
            its samples faster or slower.
        progress: Shows how many rounds of a row are done.

    Yields:
        The row, the measurement of this folder, and that of the base commit.

    Raises:
        BenchError: A function fails, or the repository has no such commit.
    """
    with ExitStack() as exits:
        (ROOT / ".local").mkdir(exist_ok=True)
        directory = Path(
            exits.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=ROOT / ".local"))
        )
        folders = {"now": _copy_of_this_folder(directory / "now")}
        if base is not None:
            folders["base"] = _copy_of_commit(base, directory / "base")
        emulator = exits.enter_context(AwsEmulator())
        server = exits.enter_context(InstantServer())
        with progress.count("prepare", "commits", len(folders)):
            codes = []
            for number, (name, folder) in enumerate(folders.items()):
                progress.update(number)
                codes.append(_prepare(name, folder, emulator, server))
        for row in rows:
            results = [Measured() for _ in codes]
            with progress.count(row.title.partition(":")[0], "rounds", rounds):
                for number in range(rounds):
                    progress.update(number)
                    _measure_round(row, number, list(zip(codes, results, strict=True)), server)
            yield row, results[0], None if base is None else results[1]


@dataclass(frozen=True, slots=True)
class _Code:
    """The functions and layer of a commit, with their environment and data."""

    folder: Path
    environment: Mapping[str, str]
    data: Data
    output: Path


def _measure_round(
    row: Row, round_number: int, codes: list[tuple[_Code, Measured]], server: InstantServer
) -> None:
    """Measure samples with a new process for each commit, in alternating order."""
    with ExitStack() as exits:
        workers = [
            (exits.enter_context(_Worker(code, row.function, row.parts)), code, measured)
            for code, measured in codes
        ]
        samples = row.warm_ups + row.samples
        first = round_number * samples
        for number in range(first, first + samples):
            events = row.events(number)
            for worker, code, measured in workers if number % 2 else reversed(workers):
                server.data = replace(code.data, pages=row.pages)
                server.calls.clear()
                sample = worker.measure(events)
                if number >= first + row.warm_ups:
                    measured.samples.append(sample)
                    measured.calls = {
                        name: count / len(events) for name, count in sorted(server.calls.items())
                    }


class _Worker:
    """A process that runs one function; leaving the context ends it."""

    def __init__(self, code: _Code, function: str, parts: Mapping[str, str] | None = None) -> None:
        self._code = code
        self._output: IO[str] = code.output.open("a+")
        self._process = subprocess.Popen(  # noqa: S603 (all of the command is ours)
            [
                sys.executable,
                "-P",  # the function must not import modules from this folder
                str(Path(__file__).with_name("worker.py")),
                str(code.folder / "functions" / function),
                str(code.folder / "shared"),
                json.dumps(dict(parts or {})),
            ],
            env=code.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._output,
            text=True,
        )

    def __enter__(self) -> Self:
        """Return the worker without waiting for its start: several start concurrently."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.communicate()
        self._output.close()

    def measure(self, events: Sequence[object]) -> Sample:
        """Invoke the function with events, one after the other.

        Raises:
            BenchError: The function logged a problem, or its process ended.
        """
        if self._process.stdin is None or self._process.stdout is None:
            raise BenchError("a worker has no pipes")
        self._output.seek(0, os.SEEK_END)
        printed_before = self._output.tell()
        self._process.stdin.write(json.dumps(events) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        self._output.seek(printed_before)
        problem = _PROBLEM.search(self._output.read())
        if not line or problem:
            folder, printed = self._code.folder, self._code.output.read_text()[-3000:]
            raise BenchError(f"a function of {folder} logged a problem or ended:\n{printed}")
        measured = json.loads(line)
        count = len(events)
        parts = {part: seconds / count for part, seconds in measured["parts"].items()}
        return Sample(measured["cpu"] / count, measured["wall"] / count, parts)


# --- Prepare ---------------------------------------------------------------------------------


def _copy_of_this_folder(target: Path) -> Path:
    """Copy the current code, so edits during a measurement do not change it."""
    for name in ("functions", "shared"):
        copytree(ROOT / name, target / name, ignore=ignore_patterns("__pycache__"))
    return target


def _copy_of_commit(commit: str, target: Path) -> Path:
    """Copy the code of a commit; a worktree would stay registered if this process were killed."""
    archive = subprocess.run(  # noqa: S603 (the commit comes after the end of the options)
        ["git", "archive", "--end-of-options", commit, "functions", "shared"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if archive.returncode:
        raise BenchError(
            f"cannot read the code of commit {commit}: {archive.stderr.decode().strip()}"
        )
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(target, filter="data")
    return target


def _prepare(name: str, folder: Path, emulator: AwsEmulator, server: InstantServer) -> _Code:
    """Create a scenario and send a thousand messages with a commit's functions.

    The resulting items and reports are the data of all measured invocations.
    """
    clients = _Clients(emulator)
    environment = _environment(name, emulator)
    clients.create_table(environment["MESSAGES_TABLE_NAME"])
    clients.put_secret(
        environment["INFOBIP_CREDENTIALS_PARAMETER"], json.dumps({"apiKey": _API_KEY})
    )
    output = folder.with_suffix(".log")
    with process.running("--api-key", _API_KEY) as simulator_url:
        code = _Code(
            folder, environment | {"INFOBIP_BASE_URL": simulator_url}, Data({}, b""), output
        )
        with _Worker(code, "create_scenario") as worker:
            worker.measure([_SCENARIO])
        with _Worker(code, "send_message") as worker:
            worker.measure([_thousand_messages()])
        SimulatorControl(simulator_url).advance_clock(_SECONDS_UNTIL_REPORTED)
        reports = _take_reports(simulator_url)
    items = clients.items(environment["MESSAGES_TABLE_NAME"])
    served = {"INFOBIP_BASE_URL": server.url, "AWS_ENDPOINT_URL_DYNAMODB": server.url}
    return _Code(folder, environment | served, Data(items, reports), output)


def _environment(name: str, emulator: AwsEmulator) -> dict[str, str]:
    """Return the environment variables of template.yaml, without those of the caller."""
    prefix = f"/omni/{name}/"
    queue = f"{emulator.url}/000000000000/"
    return {
        "PATH": os.defpath,
        "HOME": str(emulator.directory),
        "PYTHONHASHSEED": "0",
        "AWS_ENDPOINT_URL": emulator.url,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        "AWS_DEFAULT_REGION": REGION,
        "POWERTOOLS_SERVICE_NAME": f"omni-{name}",
        "POWERTOOLS_METRICS_NAMESPACE": "InfobipOmni",
        "POWERTOOLS_LOG_LEVEL": "INFO",
        "INFOBIP_CREDENTIALS_PARAMETER": f"{prefix}infobip/credentials",
        "SCENARIO_PARAMETER_PREFIX": f"{prefix}scenarios/",
        "WEBHOOK_KEY_PARAMETER": f"{prefix}webhook/key",
        "MESSAGES_TABLE_NAME": f"messages-{name}",
        "RETENTION_DAYS": "90",
        "CLAIM_SECONDS": "120",
        "RECONCILE_AFTER_SECONDS": "600",
        "ON_UNKNOWN": "never-duplicate",
        "DELIVERY_REPORT_URL": "",
        "SEND_QUEUE_URL": f"{queue}send",
        "SEND_DEAD_LETTER_QUEUE_URL": f"{queue}dead",
        "PARKED_REPORTS_QUEUE_URL": f"{queue}parked",
    }


class _Clients:
    """Clients of the AWS emulator."""

    def __init__(self, emulator: AwsEmulator) -> None:
        self._dynamodb = session().client("dynamodb", **options(emulator.url))
        self._ssm = session().client("ssm", **options(emulator.url))

    def create_table(self, name: str) -> None:
        """Create a table as template.yaml defines it."""
        self._dynamodb.create_table(TableName=name, **messages_table())

    def put_secret(self, parameter: str, value: str) -> None:
        self._ssm.put_parameter(Name=parameter, Value=value, Type="SecureString")

    def items(self, table: str) -> dict[tuple[str, str], bytes]:
        """Return the items of a table in DynamoDB's JSON, by message id and entry."""
        pages = self._dynamodb.get_paginator("scan").paginate(TableName=table)
        return {
            (item["messageId"]["S"], item["entry"]["S"]): json.dumps(
                item, default=lambda value: base64.b64encode(value).decode()
            ).encode()
            for page in pages
            for item in page["Items"]
        }


def _take_reports(simulator_url: str) -> bytes:
    with requests.Session() as session:
        session.trust_env = False  # a proxy would not reach this machine
        response = session.get(
            f"{simulator_url}/omni/1/reports",
            params={"limit": _REPORTS_PER_PAGE},
            headers={"Authorization": f"App {_API_KEY}"},
            timeout=10,
        )
    response.raise_for_status()
    found = len(response.json()["results"])
    if found != _REPORTS_PER_PAGE:
        raise BenchError(f"the simulator has {found} reports, not {_REPORTS_PER_PAGE}")
    return response.content


def _thousand_messages() -> Json:
    """Return an event of ten records with a hundred recipients each."""
    each = _REPORTS_PER_PAGE // _RECORDS_PER_BATCH
    return _batch(
        {
            "destinations": [
                {
                    "messageId": f"reported-{record}-{index}",
                    # The simulator delivers to numbers that end like this.
                    "to": {"phoneNumber": f"38591{record:03d}1{index:03d}"},
                }
                for index in range(each)
            ],
            "push": {"text": f"Your parcel {record} is on its way."},
            "sms": {"text": f"Acme: your parcel {record} is on its way."},
        }
        for record in range(_RECORDS_PER_BATCH)
    )


def _batch(bodies: Iterable[Json]) -> Json:
    """Return the event with which Lambda delivers records of the send queue."""
    texts = [json.dumps({"scenario": _SCENARIO["name"]} | body) for body in bodies]
    sent_at = str(int(time.time() * 1000))
    return {
        "Records": [
            {
                "messageId": str(uuid.uuid4()),
                "receiptHandle": f"receipt-{number}",
                "body": text,
                "attributes": {
                    "ApproximateReceiveCount": "1",
                    "SentTimestamp": sent_at,
                    "SenderId": "AIDACKCEVSQ6C2EXAMPLE",
                    "ApproximateFirstReceiveTimestamp": sent_at,
                },
                "messageAttributes": {},
                "md5OfBody": hashlib.md5(text.encode(), usedforsecurity=False).hexdigest(),
                "eventSource": "aws:sqs",
                "eventSourceARN": f"arn:aws:sqs:{REGION}:000000000000:send",
                "awsRegion": REGION,
            }
            for number, text in enumerate(texts)
        ]
    }
