"""`make local`, and the commands that use it from another terminal.

`make help` lists them by their targets. A command that fails prints one sentence to standard error
and exits with code 1.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from botocore.exceptions import BotoCoreError, ClientError
from docker.errors import DockerException

from . import commands, sam_local
from .aws_emulator import ROOT, environment_path, is_free
from .container_engine import address_for_containers, engine
from .proxies import reach_this_machine_directly
from .running import RefusedError, announced, one_at_a_time, running_world
from .world import StartStep, World, forget_aws_account

if TYPE_CHECKING:
    from collections.abc import Callable

    from .running import RunningWorld

#: The preferred ports of emulator, simulator and page; samconfig.toml names the first.
LOCAL_PORTS = (4566, 8070, 8071)
_INTERRUPTED = 130  # the exit code of shells after Ctrl-C


def _up(arguments: argparse.Namespace) -> None:
    # These take a second to import, and the other commands do not need them.
    from tests.progress import Progress  # noqa: PLC0415

    from .page.server import page  # noqa: PLC0415
    from .parameters import read_parameters  # noqa: PLC0415

    parameters = read_parameters(arguments.parameters)
    ports = (arguments.port or LOCAL_PORTS[0], *LOCAL_PORTS[1:])
    also_on = address_for_containers(engine()) if arguments.docker else None
    stopped = threading.Event()
    with ExitStack() as exits:
        with one_at_a_time():
            if arguments.port is not None and not is_free(arguments.port, also_on):
                raise RefusedError(f"port {arguments.port} is taken: give another PORT, or none")
            world = World(preferred_ports=ports[:2], parameters=parameters, also_on=also_on)
            world.during = Progress(lines=sys.stderr, steps=len(StartStep)).step
            try:
                exits.enter_context(world)
            except (RuntimeError, TimeoutError) as error:
                raise RefusedError(str(error)) from None
            running = exits.enter_context(page(world, ports[2], parameters))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: stopped.set())
        exits.enter_context(sam_local.environment_file(world))
        exits.enter_context(announced(running, world.emulator.directory))
        sys.stdout.write("\n".join(_instructions(world, running, ports)))
        sys.stdout.flush()
        stopped.wait()


def _stop(*_: Any) -> None:  # noqa: ANN401 (a signal handler's arguments)
    raise KeyboardInterrupt


def _instructions(
    world: World, running: RunningWorld, wanted_ports: tuple[int, int, int]
) -> list[str]:
    """Return lines that say how to reach a world, and what to try."""
    urls = (running.url, running.simulator_url, running.page_url)
    ports = [urlsplit(url).port for url in urls]
    taken = [
        f"Port {wanted} is taken: {what} listens on {port}."
        for what, wanted, port in zip(
            ("the AWS emulator", "Infobip's simulator", "the page"),
            wanted_ports,
            ports,
            strict=True,
        )
        if wanted != port
    ]
    environment = environment_path(world.emulator.port)
    exports = [f"  export {name}={value}" for name, value in world.environment.items()]
    outputs = [f"  {name} = {value}" for name, value in sorted(world.outputs.items())]
    return [
        *("Running on this machine until you press Ctrl-C.", ""),
        *([*taken, ""] if taken else []),
        f"The page with the phones: {running.page_url}",
        *(f"Infobip's simulator: {running.simulator_url}", ""),
        *("To reach the deployment with the AWS CLI or an SDK:", "", *exports, ""),
        *("To try it in another terminal:", "", *_examples(world), ""),
        *(f"For SAM's runner: --env-vars {environment.relative_to(ROOT)}", ""),
        *("Outputs of the stack:", "", *outputs, ""),
    ]


def _examples(world: World) -> list[str]:
    """Return commands to copy: create a scenario, send with it, and look at the outcome."""
    examples = [
        "make invoke FUNCTION=create_scenario EVENT=events/create_scenario.json",
        "make send EVENT=events/send_message.json",
        "make find MESSAGE=parcel-1002 UNTIL=DELIVERED",
        *(["make outcome-events"] if world.outcome_queue_url else []),
        "make dead-letter-queue",
        "make simulator CALL='GET messages'",
    ]
    return [f"  {each}" for each in examples]


def _port(text: str) -> int | None:
    """Return a port, or None for an empty text."""
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and 0 < int(text[:6]) < 2**16):
        raise RefusedError(f"a port must be 1 to 65535, not {text!r}")
    return int(text)


def _invoke(world: RunningWorld, arguments: argparse.Namespace) -> bool:
    return commands.invoke(world, arguments.function, arguments.event)


def _sam_local(world: RunningWorld, arguments: argparse.Namespace) -> bool:
    return commands.sam_local_invoke(world, arguments.function, arguments.event)


def _sam_start_lambda(world: RunningWorld, arguments: argparse.Namespace) -> bool:
    return commands.sam_local_start_lambda(world, arguments.port)


def _send(world: RunningWorld, arguments: argparse.Namespace) -> bool:
    commands.send(world, arguments.event)
    return True


def _find(world: RunningWorld, arguments: argparse.Namespace) -> bool:
    return commands.find(world, arguments.message, arguments.until)


def _dead_lettered_records(world: RunningWorld, arguments: argparse.Namespace) -> bool:
    return commands.dead_lettered(world, arguments.message)


def _redrive(world: RunningWorld, arguments: argparse.Namespace) -> bool:
    commands.redrive(world, arguments.reason, dry_run=not arguments.send)
    return True


def _outcome_events(world: RunningWorld, arguments: argparse.Namespace) -> bool:
    return commands.outcome_events(world, arguments.message)


def _simulator(world: RunningWorld, arguments: argparse.Namespace) -> bool:
    commands.simulator(world, arguments.call)
    return True


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.local_world", description=__doc__)
    subparsers = parser.add_subparsers(required=True)
    up = subparsers.add_parser("up", help="keep a local world running until Ctrl-C")
    up.add_argument("--parameters", default="", help="template parameters, as Name=value ...")
    up.add_argument("--port", type=_port, help="of the emulator; by default a free one")
    up.add_argument(
        "--docker", action="store_true", help="also listen on the address that containers reach"
    )
    up.set_defaults(run=_up)

    def add(name: str, run: Callable[..., bool], text: str) -> argparse.ArgumentParser:
        command = subparsers.add_parser(name, help=text)
        command.add_argument(
            "--world", type=_port, help="the port of the local world, if several are running"
        )
        command.set_defaults(run=lambda arguments: _run_in_world(run, arguments))
        return command

    event = "a file that holds a JSON object, or the object itself"
    invoke = add("invoke", _invoke, "invoke a function")
    invoke.add_argument("--function", required=True, help="a folder of functions/")
    invoke.add_argument("--event", default="", help=event)
    sam_invoke = add("sam-local", _sam_local, "invoke a function in a container, by SAM")
    sam_invoke.add_argument("--function", required=True, help="a folder of functions/")
    sam_invoke.add_argument("--event", default="", help=event)
    start_lambda = add("sam-start-lambda", _sam_start_lambda, "serve Lambda's API from containers")
    start_lambda.add_argument("--port", type=_port, help="to listen on")
    send = add("send", _send, "put a message on the send queue")
    send.add_argument("--event", required=True, help=event)
    find = add("find", _find, "look up a message, or list the unsettled messages")
    find.add_argument("--message", default="", help="its id")
    find.add_argument("--until", default="", help="a state to wait for")
    records = add("dead-letter-queue", _dead_lettered_records, "list the dead-lettered records")
    records.add_argument("--message", default="", help="list only records that hold this message")
    redrive = add("redrive", _redrive, "show which dead-lettered records would be sent again")
    redrive.add_argument("--reason", default="", help="only records with this reason")
    redrive.add_argument("--send", action="store_true", help="send them")
    outcomes = add("outcome-events", _outcome_events, "take the published outcome events")
    outcomes.add_argument("--message", default="", help="take only events about this message")
    simulator = add("simulator", _simulator, "call the simulator's control interface")
    simulator.add_argument("--call", required=True, help="such as GET messages")
    return parser


def _run_in_world(
    run: Callable[[RunningWorld, argparse.Namespace], bool], arguments: argparse.Namespace
) -> None:
    """Run a command in the local world that its arguments select."""
    world, running = running_world(arguments.world)
    if running > 1:
        sys.stderr.write(f"{world}\n")
    forget_aws_account()
    reach_this_machine_directly(os.environ)
    if not run(world, arguments):
        sys.exit(1)


def main() -> None:
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    try:
        arguments = _parser().parse_args()
        arguments.run(arguments)
    except RefusedError as error:
        sys.exit(str(error))
    except ClientError as error:  # such as a record that is too large for a queue
        sys.exit(commands.aws_refusal(error.operation_name, error.response["Error"]["Code"]))
    except DockerException:  # before the next, since some are of both kinds
        sys.exit("the container engine refused a request or stopped: check it with `docker info`")
    except (BotoCoreError, requests.RequestException):
        sys.exit("the local world does not answer: check whether `make local` is still running")
    except OSError as error:  # such as a read-only folder; some of the above are of this kind
        sys.exit(f"{error.filename or 'a file'} cannot be used: {error.strerror or error}")
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        sys.exit(_INTERRUPTED)


if __name__ == "__main__":
    main()
