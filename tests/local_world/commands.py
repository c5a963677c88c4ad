"""What one can do with a world that is running: send, invoke, look up, and make Infobip fail.

Each command writes to standard output what came out, as JSON where it is data.
"""

from __future__ import annotations

import base64
import json
import re
import shlex
import sys
import time
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from . import container_engine, sam_local
from .aws_emulator import ROOT, is_free
from .running import RefusedError
from .world import take_outcome_events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .running import RunningWorld

    Json = dict[str, Any]

#: What a message can be waited for to be; a test holds them to the states of the package.
SETTLED = ("DELIVERED", "UNDELIVERED", "EXPIRED", "REJECTED")
STATES = ("CLAIMED", "WAITING", "UNKNOWN", "ACCEPTED", *SETTLED, "QUARANTINED")
#: What the schedules run, of which each does no harm at any time.
_SCHEDULED = ("pull_delivery_reports", "reconcile_messages")
_SECONDS_TO_WAIT = 60
_SECONDS_BETWEEN = 0.5
_CALL = re.compile(
    r"(?P<method>GET|PUT|POST|DELETE)\s+/?(_control/)?(?P<path>\S+)(\s+(?P<body>\{.*))?", re.DOTALL
)


# --- Events ------------------------------------------------------------------------------------


def read_object(given: str, name: str) -> tuple[str, Json]:
    """Return the text of a JSON object, and the object.

    Args:
        given: The object itself, or a file that holds it.
        name: What the object is called where it is given itself.

    Raises:
        RefusedError: There is no such file, or it holds no JSON object.
    """
    text = given
    if not given.lstrip().startswith("{"):
        name = given
        try:
            text = Path(given).read_bytes().decode()
        except OSError as error:
            raise RefusedError(f"{given} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise RefusedError(f"{given} is no UTF-8, from byte {error.start + 1} on") from None
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise RefusedError(f"{name} is no JSON: {place}: {error.msg}") from None
    except (ValueError, RecursionError):
        raise RefusedError(f"{name} is no JSON that can be read: too deep or too long") from None
    if not isinstance(found, dict):
        raise RefusedError(f"{name} is no JSON object")
    return text, found


def _example(function: str) -> str:
    """Name the file of `events/` with an event that a function takes."""
    for name in (f"{function}_sqs", function, "schedule"):
        path = ROOT / f"events/{name}.json"
        if path.exists():
            break
    return str(path)


# --- Functions ---------------------------------------------------------------------------------


def invoke(world: RunningWorld, function: str, event: str) -> bool:
    """Invoke a function, print what it answers, and return whether it has succeeded.

    Args:
        world: Where it runs.
        function: A folder of `functions/`.
        event: A JSON object, or a file that holds one; empty takes the example of `events/`.

    Raises:
        RefusedError: There is no such function, or no such event.
    """
    name = _deployed(world, function)
    text, _ = read_object(event or _example(function), "EVENT")
    answer, failed = _answer(world, name, text)
    _print_json(answer)
    return not failed


def sam_local_invoke(world: RunningWorld, function: str, event: str) -> bool:
    """Invoke a function in a container, print its answer, and return whether it has succeeded.

    Args:
        world: What it reaches from there.
        function: A folder of `functions/`.
        event: A JSON object, or a file that holds one; empty takes the example of `events/`.

    Raises:
        RefusedError: There is no such function or event, or no container can reach the world.
    """
    name = _logical_id(world, function)
    text, _ = read_object(event or _example(function), "EVENT")
    code, answer = sam_local.invoke(container_engine.engine(), world, name, text)
    sys.stdout.write(f"{answer}\n")
    return code == 0


def sam_local_start_lambda(world: RunningWorld, port: int | None) -> bool:
    """Offer Lambda's API until a signal comes, and return whether it could be offered.

    Args:
        world: What functions reach.
        port: Where it is called, unless where SAM's users expect it.

    Raises:
        RefusedError: No container can reach the world, or the port is taken.
    """
    port = sam_local.START_LAMBDA_PORT if port is None else port
    if not is_free(port):
        raise RefusedError(f"port {port} is taken: give another PORT")
    return sam_local.start_lambda(container_engine.engine(), world, port) == 0


def _deployed(world: RunningWorld, function: str) -> str:
    """Name the alias of a function that is live."""
    return f"{world.resources[_logical_id(world, function)]}:live"


def _logical_id(world: RunningWorld, function: str) -> str:
    """Name a function that is deployed as the template does."""
    known = sorted(path.parent.name for path in ROOT.glob("functions/*/app.py"))
    if function not in known:
        raise RefusedError(f"{function!r} is no function; there are {', '.join(known)}")
    logical_id = "".join(word.capitalize() for word in function.split("_")) + "Function"
    if logical_id not in world.resources:
        needed = shlex.quote(f"PARAMETERS={_parameter_needed(logical_id)}")
        raise RefusedError(f"{function} is not deployed; it is by `make local {needed}`")
    return logical_id


def _parameter_needed(logical_id: str) -> str | None:
    # This takes a second to import, which all that works does without.
    from .parameters import parameter_needed  # noqa: PLC0415

    return parameter_needed(logical_id)


def _answer(world: RunningWorld, name: str, event: str) -> tuple[Any, bool]:
    response = world.functions.invoke(FunctionName=name, Payload=event.encode())
    return json.loads(response["Payload"].read() or "null"), "FunctionError" in response


def _asked(world: RunningWorld, function: str, event: Json) -> Any:  # noqa: ANN401 (any JSON)
    """Invoke a function that is to answer.

    Raises:
        RefusedError: It failed.
    """
    answer, failed = _answer(world, _deployed(world, function), json.dumps(event))
    if failed:
        raise RefusedError(f"{function} failed: {answer.get('errorMessage', answer)}")
    return answer


# --- Sending -----------------------------------------------------------------------------------


def send(world: RunningWorld, event: str) -> None:
    """Put a message on the send queue as it is, or the records of an event for send_message.

    Args:
        world: Where the queue is.
        event: A JSON object, or a file that holds one.

    Raises:
        RefusedError: It is no such thing.
    """
    text, content = read_object(event, "EVENT")
    queued = list(records(content)) if "Records" in content else [(text, {})]
    queue = world.sqs
    for body, attributes in queued:
        record_id = queue.send_message(
            QueueUrl=world.outputs["SendQueueUrl"], MessageBody=body, MessageAttributes=attributes
        )["MessageId"]
        _print(f"On the send queue, as SQS message {record_id}. What becomes of it:")
        original = attributes.get("originalMessageId", {}).get("StringValue", record_id)
        for message_id in message_ids(body, original):
            _print(f"  make find MESSAGE={shlex.quote(message_id)}")


def records(event: Json) -> Iterator[tuple[str, Json]]:
    """Return body and attributes of each record, as SQS takes what it has given to Lambda.

    https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html

    Raises:
        RefusedError: They are no such records.
    """
    if not isinstance(event["Records"], list):
        raise RefusedError("Records of EVENT is no list")
    for number, record in enumerate(event["Records"]):
        try:
            body = record["body"]
            attributes = {
                name: {"DataType": value["dataType"]}
                | ({"StringValue": value["stringValue"]} if "stringValue" in value else {})
                | (
                    {"BinaryValue": base64.b64decode(value["binaryValue"])}
                    if "binaryValue" in value
                    else {}
                )
                for name, value in record.get("messageAttributes", {}).items()
            }
        except (AttributeError, KeyError, TypeError, ValueError):
            raise RefusedError(f"Records[{number}] of EVENT is no record of SQS") from None
        if not isinstance(body, str):
            raise RefusedError(f"Records[{number}].body of EVENT is no text")
        yield body, attributes


def message_ids(body: str, record_id: str) -> list[str]:
    """Return the ids that the messages of a body have, or will have; see `SendEvent.parse`."""
    try:
        content = json.loads(body)
        entries = content.get("destinations", [content])
        ids = [each.get("messageId", f"{record_id}-{n}") for n, each in enumerate(entries)]
    except (AttributeError, ValueError, TypeError, RecursionError):
        return []
    return [each for each in ids if isinstance(each, str)]


# --- Outcomes ----------------------------------------------------------------------------------


def find(world: RunningWorld, message_id: str, until: str) -> bool:
    """Look a message up, or list what is open without an id.

    Args:
        world: Where it was sent.
        message_id: Of the message; empty lists the unsettled messages.
        until: A state to wait for, a minute at most. Meanwhile the functions run that a schedule
            runs once a minute or less often.

    Returns:
        Whether it was in that state in the end, if one was given.

    Raises:
        RefusedError: What was asked makes no sense.
    """
    if until and not message_id:
        raise RefusedError("UNTIL needs a MESSAGE to wait for")
    if until and until not in STATES:
        raise RefusedError(f"UNTIL must be one of {', '.join(STATES)}, not {until!r}")
    question = {"messageId": message_id} if message_id else {"unsettled": True}
    answer = _asked(world, "find_messages", question)
    deadline = time.monotonic() + _SECONDS_TO_WAIT
    while until and (state := _state(answer)) != until:
        if state in SETTLED or time.monotonic() > deadline:
            break
        for function in _SCHEDULED:
            _answer(world, _deployed(world, function), "{}")  # may fail, as an outage makes it
        time.sleep(_SECONDS_BETWEEN)
        answer = _asked(world, "find_messages", question)
    _print_json(answer)
    if until and _state(answer) != until:
        sys.stderr.write(f"{message_id} is {_state(answer) or 'not there'}, not {until}\n")
        return False
    return True


def _state(answer: Json) -> str | None:
    message = answer.get("message") or {}
    state: str | None = message.get("state")
    return state


def dead_lettered(world: RunningWorld, message_id: str) -> bool:
    """List what was set aside.

    Args:
        world: Where.
        message_id: Shows only letters that hold this message, and waits for one for a minute;
            empty shows all there are.

    Returns:
        Whether there was one, if a message was named.
    """
    order = {"action": "list", "limit": 1000}
    if not message_id:
        _print_json(_asked(world, "redrive_messages", order))
        return True

    def about() -> list[Json]:
        letters = _asked(world, "redrive_messages", order)["records"]
        return [letter for letter in letters if message_id in letter["messageIds"]]

    letters = _waited_for(about)
    _print_json({"records": letters})
    return bool(letters)


def redrive(world: RunningWorld, reason: str, *, dry_run: bool) -> None:
    """Send again what was set aside, or tell what would be sent.

    Args:
        world: Where.
        reason: Of what is meant; empty means every reason but QUARANTINED.
        dry_run: Whether to tell only.
    """
    order: Json = {"action": "redrive", "dryRun": dry_run}
    _print_json(_asked(world, "redrive_messages", order | ({"reason": reason} if reason else {})))


def outcome_events(world: RunningWorld, message_id: str) -> bool:
    """Show the events that apps upstream were told on the bus, and take them off their queue.

    Args:
        world: Where.
        message_id: Takes only the events about this message, and waits for one for a minute;
            empty takes all there are.

    Returns:
        Whether there was one, if a message was named.

    Raises:
        RefusedError: The stack tells no bus.
    """
    if world.outcome_queue_url is None:
        needed = _parameter_needed("PublishOutcomesFunction")
        raise RefusedError(
            f"outcomes are told on no bus; they are by `make local PARAMETERS={needed}`"
        )
    queue, url = world.sqs, world.outcome_queue_url

    def taken() -> list[Json]:
        return take_outcome_events(queue, url, message_id)

    events = _waited_for(taken) if message_id else taken()
    _print_json({"events": events})
    return bool(events) or not message_id


def _waited_for(condition: Callable[[], list[Json]]) -> list[Json]:
    deadline = time.monotonic() + _SECONDS_TO_WAIT
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(_SECONDS_BETWEEN)
    return found


# --- Infobip -----------------------------------------------------------------------------------


def simulator(world: RunningWorld, call: str) -> None:
    """Make a call to the control interface of Infobip's simulator, and print the answer.

    Args:
        world: Whose simulator.
        call: Method, path without `/_control/`, and a JSON object if the call has a body.

    Raises:
        RefusedError: It is no such call, or was refused.
    """
    parts = _CALL.fullmatch(call.strip())
    if parts is None:
        raise RefusedError(
            f'CALL is written like POST faults {{"operation": "send_advanced"}}, not {call!r}'
        )
    text = read_object(parts["body"], "CALL")[0] if parts["body"] else None
    with requests.Session() as session:
        session.trust_env = False  # a proxy would not reach this machine
        answer = session.request(
            parts["method"],
            f"{world.simulator_url}/_control/{parts['path']}",
            data=text and text.encode(),
            headers={"Content-Type": "application/json"},
            timeout=_SECONDS_TO_WAIT,
        )
    if answer.status_code != HTTPStatus.OK:
        raise RefusedError(f"the simulator refuses that: {answer.status_code} {answer.text}")
    _print_json(answer.json())


# --- Printing ----------------------------------------------------------------------------------


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _print_json(value: object) -> None:
    _print(json.dumps(value, indent=2))
