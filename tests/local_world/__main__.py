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

from .running import NoSuchWorldError, announce, running_world
from .world import World, forget_aws_account

#: Of emulator and simulator in `make local`; events/env.json names them.
LOCAL_PORTS = (4566, 8070)


def _up() -> None:
    stopped = threading.Event()
    with World(preferred_ports=LOCAL_PORTS) as world:
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


def _invoke(function: str, event: Path, port: int | None) -> None:
    world = running_world(port)
    forget_aws_account()
    client = boto3.client("lambda", endpoint_url=world.url, config=Config(proxies={}))
    logical_id = "".join(word.capitalize() for word in function.split("_")) + "Function"
    name = world.resources.get(logical_id)
    if name is None:
        sys.exit(f"{function} is not part of what is running: a parameter leaves it out by default")
    response = client.invoke(FunctionName=f"{name}:live", Payload=event.read_bytes())
    answer = json.loads(response["Payload"].read() or "null")
    sys.stdout.write(json.dumps(answer, indent=2) + "\n")
    sys.exit("FunctionError" in response)


def main() -> None:
    """Run a command."""
    parser = argparse.ArgumentParser(prog="python -m tests.local_world", description=__doc__)
    commands = parser.add_subparsers(required=True, dest="command")
    commands.add_parser("up", help="keep a world running until Ctrl-C")
    invoke = commands.add_parser("invoke", help="invoke a function of the world that is running")
    invoke.add_argument("function", help="a folder of functions/")
    invoke.add_argument("event", type=Path, help="a JSON file")
    invoke.add_argument("--world", type=int, metavar="PORT", help="which, if there are several")
    arguments = parser.parse_args()
    try:
        if arguments.command == "up":
            _up()
        else:
            _invoke(arguments.function, arguments.event, arguments.world)
    except NoSuchWorldError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
