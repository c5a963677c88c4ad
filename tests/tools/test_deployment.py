"""The documented ways to deploy and run the application work."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.e2e.upstream import PUSH_FAILS, Upstream
from tests.local_world.__main__ import LOCAL_PORTS
from tests.local_world.aws_emulator import ROOT, environment_path, free_port
from tests.local_world.running import running_world
from tests.local_world.world import World, wait_until
from tests.readme import ENVIRONMENT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("alone")
WORLD = [sys.executable, "-m", "tests.local_world"]
#: As `make local` sets it: the page checks events by the sender's own code.
WITH_LAYER = ENVIRONMENT | {"PYTHONPATH": "shared"}
#: The functions that accept an example which is not named after its function.
FUNCTIONS = {
    "check_scenarios": ["create_scenario"],
    "create_scenarios": ["create_scenario"],
    "schedule": ["pull_delivery_reports", "reconcile_messages"],
    "send_message_sqs": ["send_message"],
    "send_message": [],  # for `make send`
    # Functions that are not deployed by default.
    "delivery_reports_webhook": [],
    "publish_outcomes": [],
}
EXAMPLES = [
    (function, path)
    for path in sorted((ROOT / "events").glob("*.json"))
    for function in FUNCTIONS.get(path.stem, [path.stem])
]


class Local(NamedTuple):
    """A running `make local`, and what it has printed."""

    process: subprocess.Popen[str]
    said: str

    @property
    def port(self) -> int:
        """The port of the emulator, which identifies the world."""
        return int(self._said_after(r"AWS_ENDPOINT_URL=http://127\.0\.0\.1:"))

    @property
    def page_url(self) -> str:
        """The address of its page."""
        return self._said_after("The page with the phones: ")

    def _said_after(self, words: str) -> str:
        found = re.search(rf"{words}(\S+)$", self.said, re.MULTILINE)
        assert found is not None, self.said
        return found[1]


@contextmanager
def local(
    *options: str,
    clone: Path = ROOT,
    end: signal.Signals = signal.SIGINT,
    errors: int | None = None,
) -> Iterator[Local]:
    """Run `make local` until it has printed how to reach it; at the end, stop it as Ctrl-C does."""
    with subprocess.Popen(  # noqa: S603 (no untrusted input)
        [*WORLD, "up", *options],
        cwd=clone,
        env=WITH_LAYER,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = ""
        try:
            while "Outputs of the stack:\n" not in said:
                line = process.stdout.readline()
                assert line, said
                said += line
            yield Local(process, said)
        finally:  # also stops it when the tests are interrupted
            process.send_signal(end)
    assert process.returncode == (0 if end == signal.SIGINT else -end)


@pytest.fixture(scope="module")
def running() -> Iterator[Local]:
    """Keep one world running for this module."""
    with local() as world:
        yield world


def command(*arguments: str, clone: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a command of the local world."""
    return subprocess.run(  # noqa: S603 (no untrusted input)
        [*WORLD, *arguments], cwd=clone, capture_output=True, text=True, check=False
    )


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make without the variables of an outer make."""
    return subprocess.run(  # noqa: S603 (no untrusted input)
        ["make", *arguments],  # noqa: S607 (found on the path, as a user's is)
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """Return the error text of a failed command, which prints nothing else and no traceback."""
    assert done.returncode == 1, done.stdout
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr.rstrip("\n")


def test_deployment_by_sam_sends() -> None:
    """After `sam build` and `sam deploy`, as operators run them, a push fails over to SMS."""
    with World(deploy="sam") as world:
        upstream = Upstream(world)

        item = upstream.settle(upstream.send(PUSH_FAILS))

    assert (item["state"], item["channel"]) == ("DELIVERED", "SMS")


@pytest.mark.usefixtures("running")
def test_functions_in_containers_get_the_environment_of_the_local_world() -> None:
    """`make local` writes the deployed variables for SAM, with the host's name in containers."""
    world, _ = running_world()
    functions = world.functions
    written = json.loads(environment_path(world.port).read_text())

    for name, variables in written.items():
        configuration = functions.get_function_configuration(FunctionName=world.resources[name])
        deployed = json.dumps(configuration["Environment"]["Variables"])
        expected = json.loads(deployed.replace("127.0.0.1", "host.docker.internal"))
        assert variables.items() >= expected.items()
    assert written.keys() == {
        name for name in world.resources if re.fullmatch("[A-Z][A-Za-z]+Function", name)
    }


@pytest.mark.parametrize(("function", "path"), EXAMPLES)
@pytest.mark.usefixtures("running")
def test_example_can_be_invoked(function: str, path: Path) -> None:
    done = command("invoke", "--function", function, "--event", str(path))

    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert isinstance(json.loads(done.stdout), dict)


@pytest.mark.usefixtures("running")
def test_function_error_is_shown_and_fails_the_command() -> None:
    """The command prints the error as Lambda returns it."""
    done = command("invoke", "--function", "find_messages", "--event", '{"limit": 0}')

    assert done.returncode == 1
    assert "errorMessage" in json.loads(done.stdout)


@pytest.mark.usefixtures("running")
def test_event_is_sent_byte_for_byte(tmp_path: Path) -> None:
    """This includes an event that the sender dead-letters."""
    file = tmp_path / "an event.json"
    text = '{ "messageId":"byte-by-byte",\r\n\t"sms": {"text": "é\\u00e9 $(x) \'"}}\n'
    file.write_bytes(text.encode())

    sent = command("send", "--event", str(file))
    listed = command("dead-letter-queue", "--message", "")
    list_command = '{"action": "list", "limit": 1000, "showContent": true}'
    wait_until(
        lambda: (
            text
            in [
                record["body"]
                for record in json.loads(
                    command(
                        "invoke", "--function", "redrive_messages", "--event", list_command
                    ).stdout
                )["records"]
            ]
        ),
        30,
        "the record is dead-lettered as it was sent",
    )

    assert (sent.returncode, listed.returncode) == (0, 0), sent.stderr
    assert "make find MESSAGE=byte-by-byte" in sent.stdout


@pytest.mark.usefixtures("running")
def test_records_of_an_event_are_sent_with_their_attributes() -> None:
    """A message id derives from the record's `originalMessageId` attribute, if it has one."""
    sent = command("send", "--event", str(ROOT / "events/send_message_sqs.json"))
    records = json.loads((ROOT / "events/send_message_sqs.json").read_text())["Records"]
    attributes = records[2]["messageAttributes"]["originalMessageId"]

    assert sent.stdout.count("On the send queue") == 3, sent.stderr
    assert f"make find MESSAGE={attributes['stringValue']}-0" in sent.stdout


@pytest.mark.usefixtures("running")
@pytest.mark.parametrize(
    "message_id",
    ["it's", '"', "$HOME $$ $(x)", "`x`; $(shell x)", "two  words", "\\ # %s", "ünï-☃"],
)
def test_id_may_contain_the_syntax_of_shell_and_make(message_id: str) -> None:
    """It reaches the function as it was typed."""
    event = json.dumps({"messageId": message_id, "scenario": "nosuch", "sms": {"text": "x"}})
    event = event[:-1] + ', "to": {"phoneNumber": "385915550101"}}'

    sent = make("send", f"EVENT={event}")
    dead_lettered = make("dead-letter-queue", f"MESSAGE={message_id}")

    assert (sent.returncode, sent.stderr) == (0, "")
    assert (dead_lettered.returncode, dead_lettered.stderr) == (0, "")
    assert json.loads(dead_lettered.stdout)["records"][0]["messageIds"] == [message_id]


@pytest.mark.usefixtures("running")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["invoke", "--function", "nosuch"], "FUNCTION must be one of create_scenario,"),
        (
            ["invoke", "--function", "receive_delivery_report"],
            (
                "receive_delivery_report is not deployed: start"
                " `make local PARAMETERS=DeliveryReportWebhook=enabled`"
            ),
        ),
        (
            ["invoke", "--function", "publish_outcomes"],
            (
                "publish_outcomes is not deployed: start"
                " `make local PARAMETERS=OutcomeEventBusName=outcomes`"
            ),
        ),
        (
            ["invoke", "--function", "find_messages", "--event", "no such file"],
            "no such file cannot be read: No such file or directory",
        ),
        (["send", "--event", '{"a":\n }'], "EVENT is not JSON, from line 2, column 2 on: a"),
        (["find", "--until", "DELIVERED"], "UNTIL needs a MESSAGE to wait for"),
        (["find", "--message", "x", "--until", "DONE"], "UNTIL must be one of CLAIMED, WAITING,"),
        (["outcome-events"], "no outcome events are published: start `make local PARAMETERS="),
        (["redrive", "--reason", "WEATHER"], "redrive_messages failed: "),
        (["simulator", "--call", "faults"], "CALL must be like GET messages or POST faults"),
        (["simulator", "--call", "GET nosuch"], "the simulator has nothing at nosuch: "),
        (["find", "--world", "1"], f"no world is running on port 1 in {ROOT}: choose one\n"),
        (
            ["send", "--event", json.dumps({"a": "x" * 300_000})],
            "the AWS emulator refused SendMessage with InvalidParameterValue: ",
        ),
    ],
)
def test_invalid_command_is_refused_in_one_sentence(arguments: list[str], said: str) -> None:
    """The sentence is on standard error, and the exit code is 1."""
    if len(arguments[-1]) > 100_000:  # Linux limits the length of one argument
        with NamedTemporaryFile("w", suffix=".json") as file:
            file.write(arguments[-1])
            file.flush()
            text = refusal(command(*arguments[:-1], file.name))
    else:
        text = refusal(command(*arguments))

    assert text.startswith(said)


def test_requested_port_in_use_is_refused_before_anything_starts(running: Local) -> None:
    """Without a requested port, a free one is used."""
    said = refusal(command("up", "--port", str(running.port)))

    assert said == f"port {running.port} is taken: give another PORT, or none"


@pytest.mark.parametrize("target", ["local PORT=0", "find WORLD=0"])
def test_make_passes_an_invalid_port_on(target: str) -> None:
    """The command refuses it in one sentence; tests/unit has the other values."""
    done = make("--silent", *target.split())

    assert done.stderr.startswith("a port must be 1 to 65535, not '0'\n")


def test_command_must_select_one_of_two_worlds(running: Local) -> None:
    """The refusal lists their ports, start times and parameters."""
    with local("--parameters", "ReconcileAfterSeconds=5") as other:
        asked = refusal(command("find"))
        meant = command("find", "--world", str(other.port))

    assert (
        f"Port {LOCAL_PORTS[0]} is taken: the AWS emulator listens on {other.port}." in other.said
    )
    assert asked.startswith(f"2 worlds are running in {ROOT}: choose one\n")
    assert re.search(rf"WORLD={running.port}, started at [\d:]+, without PARAMETERS", asked)
    named = rf"WORLD={other.port}, started at [\d:]+, with ReconcileAfterSeconds=5"
    assert re.search(named, asked)
    assert meant.returncode == 0
    assert re.fullmatch(named + "\n", meant.stderr)


def test_concurrent_starts_on_one_port_have_one_winner() -> None:
    """The other one is refused, and does not use the first one's emulator."""
    port = str(free_port())
    processes = [
        subprocess.Popen(  # noqa: S603 (no untrusted input)
            [*WORLD, "up", "--port", port],
            env=WITH_LAYER,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    wait_until(
        lambda: any(process.poll() is not None for process in processes), 60, "one is refused"
    )
    refused, runs = sorted(processes, key=lambda process: process.poll() is None)
    said = refused.communicate()
    runs.send_signal(signal.SIGINT)
    ran = runs.communicate()

    assert (refused.returncode, runs.returncode) == (1, 0)
    assert said == ("", f"port {port} is taken: give another PORT, or none\n")
    assert f"AWS_ENDPOINT_URL=http://127.0.0.1:{port}\n" in ran[0]


@pytest.mark.usefixtures("running")
def test_another_clone_knows_only_its_own_worlds(tmp_path: Path) -> None:
    """A world that was killed there does not count as running."""
    for name in ("functions", "shared", "events", "tests/local_world"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("template.yaml", "tests/__init__.py", "tests/progress.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / ".venv-functions").symlink_to(ROOT / ".venv-functions")

    nothing = refusal(command("find", clone=tmp_path))
    with local(clone=tmp_path, end=signal.SIGKILL):
        found = command("find", clone=tmp_path)
        environments = list((tmp_path / ".local").glob("env-*.json"))
    wait_until(lambda: not any(path.exists() for path in environments), 10, "its files are gone")
    left = tmp_path / ".local/world-left"
    left.mkdir()
    (left / "running.json").write_text("{}")
    killed = refusal(command("find", clone=tmp_path))

    assert nothing == f"nothing is running in {tmp_path}: run `make local` in another terminal"
    assert (found.returncode, found.stderr) == (0, "")
    assert killed == nothing
    assert len(environments) == 1


def test_missing_container_engine_is_named_in_one_sentence(
    running: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the address that was tried and an alternative; no world starts, and none stops."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    said = (
        "no container engine answers at unix:///nowhere/docker.sock: start Docker, or name another"
        " in DOCKER_HOST (`docker context inspect` shows the address of yours);"
        " `make invoke` runs functions without one"
    )

    assert refusal(command("sam-local", "--function", "find_messages")) == said
    assert refusal(command("sam-start-lambda", "--port", str(free_port()))) == said
    assert refusal(command("up", "--docker")) == said
    assert running.process.poll() is None


@pytest.mark.usefixtures("running")
def test_sam_commands_refuse_what_invoke_refuses() -> None:
    """Unknown functions and invalid events are refused before the container engine is used."""
    assert "FUNCTION must be one of" in refusal(command("sam-local", "--function", "nosuch"))
    event = ("--function", "find_messages", "--event", "{")
    assert "EVENT is not JSON, from line 1, column 2 on" in refusal(command("sam-local", *event))


@pytest.mark.usefixtures("running")
def test_port_in_use_is_refused_before_sam_starts() -> None:
    """Nothing is built or started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = command("sam-start-lambda", "--port", str(port))

    assert refusal(done) == f"port {port} is taken: give another PORT"
