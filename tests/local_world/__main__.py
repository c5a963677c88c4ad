"""`make local` and the commands that talk to it from another terminal."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from pathlib import Path

import boto3
from botocore.config import Config

from . import sam_local
from .aws_emulator import ROOT
from .container_engine import NoBridgeError, NoEngineError, address_for_containers, engine
from .running import NoSuchWorldError, announce, running_world
from .sam_local import START_LAMBDA_PORT, environment_file
from .world import World, forget_aws_account

#: Of emulator and simulator in `make local`; the README names the first.
LOCAL_PORTS = (4566, 8070)


def _up(*, for_containers: bool) -> None:
    stopped = threading.Event()
    also_on = address_for_containers(engine()) if for_containers else None
    with (
        World(preferred_ports=LOCAL_PORTS, also_on=also_on) as world,
        environment_file(world) as environment,
    ):
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopped.set())
        announce(world)
        exports = [f"  export {name}={value}" for name, value in world.environment.items()]
        outputs = [f"  {name} = {value}" for name, value in sorted(world.outputs.items())]
        lines = [
            *("Running on this machine until you press Ctrl-C.", ""),
            *(f"Infobip's simulator: {world.simulator.url}", ""),
            *("To reach the deployment with the AWS CLI or an SDK:", "", *exports, ""),
            *("To try it in another terminal:", "", *_commands(world), ""),
            *(f"The environment of functions, for SAM: {environment.relative_to(ROOT)}", ""),
            *("Outputs of the stack:", "", *outputs, ""),
        ]
        sys.stdout.write("\n".join(lines))
        sys.stdout.flush()
        stopped.wait()


def _commands(world: World) -> list[str]:
    """Write commands to copy: make a scenario, send by it, look at what became of that."""
    body = json.dumps(
        {
            "scenario": "order-updates",
            "messageId": "try-1",
            "to": {"phoneNumber": "385915550002"},
            "push": {"text": "Your parcel is on its way."},
            "sms": {"text": "Acme: your parcel is on its way."},
        }
    )
    queue, table = world.outputs["SendQueueUrl"], world.outputs["MessagesTableName"]
    return [
        "  make invoke FUNCTION=create_scenario EVENT=events/create_scenario.json",
        f"  aws sqs send-message --queue-url {queue} --message-body '{body}'",
        "  make invoke FUNCTION=pull_delivery_reports EVENT=events/schedule.json",
        "  make find MESSAGE=try-1",
        f"  aws dynamodb scan --table-name {table}",
        f"  curl {world.simulator.url}/_control/messages",
        "  make dead-letters",
    ]


def logical_id(function: str) -> str:
    """Return the name in the template of the function that a folder holds."""
    return "".join(word.capitalize() for word in function.split("_")) + "Function"


def _invoke(function: str, event: Path, port: int | None) -> None:
    world = running_world(port)
    forget_aws_account()
    client = boto3.client("lambda", endpoint_url=world.url, config=Config(proxies={}))
    name = world.resources.get(logical_id(function))
    if name is None:
        sys.exit(f"{function} is not part of what is running: a parameter leaves it out by default")
    response = client.invoke(FunctionName=f"{name}:live", Payload=event.read_bytes())
    answer = json.loads(response["Payload"].read() or "null")
    sys.stdout.write(json.dumps(answer, indent=2) + "\n")
    sys.exit("FunctionError" in response)


def _sam_invoke(function: str, event: Path, port: int | None) -> None:
    world = running_world(port)
    code, answer = sam_local.invoke(engine(), world, logical_id(function), event)
    sys.stdout.write(answer + "\n")
    sys.exit(code)


def main() -> None:
    """Run a command."""
    parser = argparse.ArgumentParser(prog="python -m tests.local_world", description=__doc__)
    commands = parser.add_subparsers(required=True, dest="command")
    up = commands.add_parser("up", help="keep a world running until Ctrl-C")
    up.add_argument("--docker", action="store_true", help="also listen where containers call")
    invoke = commands.add_parser("invoke", help="invoke a function of the world that is running")
    invoke.add_argument("function", help="a folder of functions/")
    invoke.add_argument("event", type=Path, help="a JSON file")
    invoke.add_argument("--world", type=int, metavar="PORT", help="which, if there are several")
    sam_invoke = commands.add_parser("sam-invoke", help="the same, in a container of SAM's")
    sam_invoke.add_argument("function", help="a folder of functions/")
    sam_invoke.add_argument("event", type=Path, help="a JSON file")
    start_lambda = commands.add_parser("sam-start-lambda", help="offer Lambda's API, by containers")
    start_lambda.add_argument("--port", type=int, default=START_LAMBDA_PORT)
    for each in (sam_invoke, start_lambda):
        each.add_argument("--world", type=int, metavar="PORT", help="which, if there are several")
    arguments = parser.parse_args()
    try:
        if arguments.command == "up":
            _up(for_containers=arguments.docker)
        elif arguments.command == "sam-invoke":
            _sam_invoke(arguments.function, arguments.event, arguments.world)
        elif arguments.command == "sam-start-lambda":
            world = running_world(arguments.world)
            sys.exit(sam_local.start_lambda(engine(), world, arguments.port))
        else:
            _invoke(arguments.function, arguments.event, arguments.world)
    except (NoBridgeError, NoEngineError, NoSuchWorldError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
