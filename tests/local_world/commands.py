"""The commands for a running local world: send, invoke, look up, and make Infobip fail.

Each command prints its result to standard output, data as JSON.
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

#: The states that one can wait for; a test compares them with those of the package.
SETTLED = ("DELIVERED", "UNDELIVERED", "EXPIRED", "REJECTED")
STATES = ("CLAIMED", "WAITING", "UNKNOWN", "ACCEPTED", *SETTLED, "QUARANTINED")
#: The functions that schedules run; they may be invoked at any time.
SCHEDULED = ("pull_delivery_reports", "reconcile_messages")
_SECONDS_TO_WAIT = 60
_SECONDS_BETWEEN = 0.5
#: Python's words for what is wrong with JSON, and ours; other ones are left out.
_JSON_RULES = {
    "Expecting value": "a value is missing",
    "Expecting property name enclosed in double quotes": "a name in double quotes is missing",
    "Expecting ':' delimiter": "a colon is missing",
    "Expecting ',' delimiter": "a comma is missing",
    "Unterminated string starting at": "the string has no end",
    "Invalid control character at": "a control character must be escaped",
    "Illegal trailing comma before end of object": "remove the comma",
    "Illegal trailing comma before end of array": "remove the comma",
    "Extra data": "nothing may follow the value",
}
#: What a refusal by the emulator means for a caller, by AWS's code.
AWS_RULES = {
    "InvalidMessageContents": "the body has a character that SQS does not accept",
    "InvalidParameterValue": (
        "an event must have at most 256 KiB, and each attribute of a record a valid type and value"
    ),
    "RequestTooLargeException": "an event must have less than 6 MB",
}
_SIMULATOR_HELP = "`.venv/bin/python -m tests.local_world.infobip_simulator --help` lists the calls"
#: Editors and shells write it before a text, where JSON has no place for it.
_BYTE_ORDER_MARK = "\ufeff"
_CALL = re.compile(
    r"(?P<method>GET|PUT|POST|DELETE)\s+/?(_control/)?(?P<path>\S+)(\s+(?P<body>\{.*))?", re.DOTALL
)


# --- Events ------------------------------------------------------------------------------------


def read_object(given: str, name: str) -> tuple[str, Json]:
    """Return the text of a JSON object, and the object.

    Args:
        given: The object itself, or the path of a file that holds it.
        name: What error texts call the object if it is not in a file.

    Raises:
        RefusedError: The file cannot be read, or the text is not a JSON object.
    """
    text = given.lstrip(_BYTE_ORDER_MARK)
    if not text.lstrip().startswith("{"):
        try:
            text = Path(given).read_bytes().decode().lstrip(_BYTE_ORDER_MARK)
        except OSError as error:
            raise RefusedError(
                f"{given} cannot be read: {error.strerror}; "
                f"{name} must be a JSON object or the path of a file that holds one"
            ) from None
        except UnicodeDecodeError as error:
            raise RefusedError(f"{given} is not UTF-8: byte {error.start + 1} is invalid") from None
        name = given
    return text, parse_object(text, name)


def parse_object(text: str, name: str) -> Json:
    """Return the object that a JSON text holds.

    Args:
        text: The JSON.
        name: What error texts call it.

    Raises:
        RefusedError: The text is not a JSON object; it is not quoted.
    """
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        rule = f": {_JSON_RULES[error.msg]}" if error.msg in _JSON_RULES else ""
        raise RefusedError(f"{name} is not JSON, from {place} on{rule}") from None
    except (ValueError, RecursionError):
        raise RefusedError(
            f"{name} cannot be read as JSON: it is nested too deep, or a number is too long"
        ) from None
    if not isinstance(found, dict):
        raise RefusedError(f"{name} must be a JSON object, such as {{}}")
    return found


def _example(function: str) -> str:
    """Return the path of the example event of a function."""
    for name in (f"{function}_sqs", function, "schedule"):
        path = ROOT / f"events/{name}.json"
        if path.exists():
            break
    return str(path)


# --- Functions ---------------------------------------------------------------------------------


def invoke(world: RunningWorld, function: str, event: str) -> bool:
    """Invoke a function, print its answer, and return whether it succeeded.

    Args:
        world: The local world in which it is deployed.
        function: A folder of `functions/`.
        event: A JSON object, or a file that holds one; empty means its example in `events/`.

    Raises:
        RefusedError: The function is not deployed, or the event cannot be read.
    """
    name = deployed(world, function)
    text, _ = read_object(event or _example(function), "EVENT")
    answer, failed = answer_of(world, name, text)
    _print_json(answer)
    return not failed


def sam_local_invoke(world: RunningWorld, function: str, event: str) -> bool:
    """Invoke a function in a container, print its answer, and return whether it succeeded.

    Args:
        world: The local world that the function uses.
        function: A folder of `functions/`.
        event: A JSON object, or a file that holds one; empty means its example in `events/`.

    Raises:
        RefusedError: The function is not deployed, the event cannot be read, or containers cannot
            reach the local world.
    """
    name = _logical_id(world, function)
    text, _ = read_object(event or _example(function), "EVENT")
    code, answer = sam_local.invoke(container_engine.engine(), world, name, text)
    sys.stdout.write(f"{answer}\n")
    return code == 0


def sam_local_start_lambda(world: RunningWorld, port: int | None) -> bool:
    """Serve Lambda's API until a signal ends it, and return whether it could be served.

    Args:
        world: The local world that the functions use.
        port: To listen on; None means SAM's default.

    Raises:
        RefusedError: Containers cannot reach the local world, or the port is taken.
    """
    port = sam_local.START_LAMBDA_PORT if port is None else port
    if not is_free(port):
        raise RefusedError(f"port {port} is taken: give another PORT")
    return sam_local.start_lambda(container_engine.engine(), world, port) == 0


def deployed(world: RunningWorld, function: str) -> str:
    """Return the name of a deployed function, with its alias.

    Raises:
        RefusedError: It is not deployed.
    """
    return f"{world.resources[_logical_id(world, function)]}:live"


def _logical_id(world: RunningWorld, function: str) -> str:
    """Return the logical id of a deployed function."""
    known = sorted(path.parent.name for path in ROOT.glob("functions/*/app.py"))
    if function not in known:
        raise RefusedError(f"FUNCTION must be one of {', '.join(known)}, not {function!r}")
    logical_id = "".join(word.capitalize() for word in function.split("_")) + "Function"
    if logical_id not in world.resources:
        needed = shlex.quote(f"PARAMETERS={_parameter_needed(logical_id)}")
        raise RefusedError(f"{function} is not deployed: start `make local {needed}`")
    return logical_id


def _parameter_needed(logical_id: str) -> str | None:
    # This takes a second to import, and only errors need it.
    from .parameters import parameter_needed  # noqa: PLC0415

    return parameter_needed(logical_id)


def answer_of(world: RunningWorld, name: str, event: str) -> tuple[Any, bool]:
    """Invoke a function; return its answer or its error, and whether it failed."""
    response = world.functions.invoke(FunctionName=name, Payload=event.encode())
    return json.loads(response["Payload"].read() or "null"), "FunctionError" in response


def asked(world: RunningWorld, function: str, event: Json) -> Any:  # noqa: ANN401 (any JSON)
    """Invoke a function, and return its answer.

    Raises:
        RefusedError: The function failed; the text is its own.
    """
    answer, failed = answer_of(world, deployed(world, function), json.dumps(event))
    if failed:
        raise RefusedError(f"{function} failed: {answer.get('errorMessage', answer)}")
    return answer


# --- Sending -----------------------------------------------------------------------------------


def send(world: RunningWorld, event: str) -> None:
    """Put an event on the send queue unchanged, or the records of an event for send_message.

    Args:
        world: The local world of the queue.
        event: A JSON object, or a file that holds one.

    Raises:
        RefusedError: The event cannot be read, or its records are not SQS records.
    """
    text, content = read_object(event, "EVENT")
    queued = list(records(content)) if "Records" in content else [(text, {})]
    queue = world.sqs
    for body, attributes in queued:
        record_id = queue.send_message(
            QueueUrl=world.outputs["SendQueueUrl"], MessageBody=body, MessageAttributes=attributes
        )["MessageId"]
        _print(f"On the send queue, as SQS message {record_id}. To see the outcome:")
        original = attributes.get("originalMessageId", {}).get("StringValue", record_id)
        for message_id in message_ids(body, original):
            _print(f"  make find MESSAGE={shlex.quote(message_id)}")


def records(event: Json) -> Iterator[tuple[str, Json]]:
    """Return body and attributes of each record of an SQS event, in the form of `SendMessage`.

    https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html

    Raises:
        RefusedError: The records are not those of an SQS event; the text names the first.
    """
    if not isinstance(event["Records"], list):
        raise RefusedError("Records of EVENT must be a list of SQS records")
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
            raise RefusedError(
                f"Records[{number}] of EVENT must be an SQS record, as Lambda receives it"
            ) from None
        if not isinstance(body, str):
            raise RefusedError(f"Records[{number}].body of EVENT must be a string")
        for name, attribute in attributes.items():
            if not all(isinstance(value, str | bytes) for value in attribute.values()):
                raise RefusedError(
                    f"Records[{number}].messageAttributes.{name} of EVENT must hold strings"
                )
        yield body, attributes


def message_ids(body: str, record_id: str) -> list[str]:
    """Return the message ids that the sender will give to an event; see `SendEvent.parse`."""
    try:
        content = json.loads(body)
        entries = content.get("destinations", [content])
        ids = [each.get("messageId", f"{record_id}-{n}") for n, each in enumerate(entries)]
    except (AttributeError, ValueError, TypeError, RecursionError):
        return []
    return [each for each in ids if isinstance(each, str)]


# --- Outcomes ----------------------------------------------------------------------------------


def find(world: RunningWorld, message_id: str, until: str) -> bool:
    """Look up a message, or list the unsettled messages.

    Args:
        world: The local world to which it was sent.
        message_id: Empty lists the unsettled messages.
        until: A state to wait for, a minute at most; empty does not wait. Meanwhile this invokes
            the functions that schedules invoke once a minute or less often.

    Returns:
        Whether the message reached the state, if one was given.

    Raises:
        RefusedError: `until` is not a state, or no message was given to wait for.
    """
    if until and not message_id:
        raise RefusedError("UNTIL needs a MESSAGE to wait for")
    if until and until not in STATES:
        raise RefusedError(f"UNTIL must be one of {', '.join(STATES)}, not {until!r}")
    if until:
        answer = wait_for_state(world, message_id, until, _SECONDS_TO_WAIT)
    else:
        query = {"messageId": message_id} if message_id else {"unsettled": True}
        answer = asked(world, "find_messages", query)
    _print_json(answer)
    if until and state_of(answer) != until:
        sys.stderr.write(_not_reached(message_id, state_of(answer), until))
        return False
    return True


def wait_for_state(world: RunningWorld, message_id: str, until: str, seconds: float) -> Json:
    """Look up a message until it is in a state, or in another final one.

    Meanwhile this invokes the functions that schedules invoke once a minute or less often.

    Args:
        world: The local world to which it was sent.
        message_id: Of the message.
        until: The state to wait for.
        seconds: How long to wait at most.

    Returns:
        The last answer of find_messages.

    Raises:
        RefusedError: A function is not deployed, or find_messages failed.
    """
    query = {"messageId": message_id}
    deadline = time.monotonic() + seconds
    answer: Json = asked(world, "find_messages", query)
    while state_of(answer) not in {until, *SETTLED} and time.monotonic() < deadline:
        for function in SCHEDULED:
            answer_of(world, deployed(world, function), "{}")  # fails in an outage
        time.sleep(_SECONDS_BETWEEN)
        answer = asked(world, "find_messages", query)
    return answer


def state_of(answer: Json) -> str | None:
    """Return the state of the message that find_messages has found; None if there is none."""
    message = answer.get("message") or {}
    state: str | None = message.get("state")
    return state


def _not_reached(message_id: str, state: str | None, wanted: str) -> str:
    if state is not None:
        return f"{message_id} is {state}, not {wanted}\n"
    listing = f"make dead-letter-queue MESSAGE={shlex.quote(message_id)}"
    return f"{message_id} is not in the table: look for its record with `{listing}`\n"


def dead_lettered(world: RunningWorld, message_id: str) -> bool:
    """List the dead-lettered records.

    Args:
        world: The local world of the dead-letter queue.
        message_id: Lists only records that hold this message, and waits a minute at most for one;
            empty lists all records.

    Returns:
        Whether there was a record, if a message was given.
    """
    command = {"action": "list", "limit": 1000}
    if not message_id:
        _print_json(asked(world, "redrive_messages", command))
        return True

    def matching() -> list[Json]:
        listed = asked(world, "redrive_messages", command)["records"]
        return [record for record in listed if message_id in record["messageIds"]]

    found = _waited_for(matching)
    _print_json({"records": found})
    return bool(found)


def redrive(world: RunningWorld, reason: str, *, dry_run: bool) -> None:
    """Send dead-lettered records again, or show which would be sent.

    Args:
        world: The local world of the dead-letter queue.
        reason: Of the records to send; empty means every reason but QUARANTINED.
        dry_run: Whether to show them only.
    """
    command: Json = {"action": "redrive", "dryRun": dry_run}
    _print_json(asked(world, "redrive_messages", command | ({"reason": reason} if reason else {})))


def outcome_events(world: RunningWorld, message_id: str) -> bool:
    """Print the published outcome events, and delete them from the queue behind the bus.

    Args:
        world: The local world of the bus.
        message_id: Takes only events about this message, and waits a minute at most for one; empty
            takes all events.

    Returns:
        Whether there was an event, if a message was given.

    Raises:
        RefusedError: The stack publishes no outcome events.
    """
    if world.outcome_queue_url is None:
        needed = _parameter_needed("PublishOutcomesFunction")
        raise RefusedError(
            f"no outcome events are published: start `make local PARAMETERS={needed}`"
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
    """Call the control interface of Infobip's simulator, and print the answer.

    Args:
        world: The local world of the simulator.
        call: A method, a path below `/_control/`, and a JSON object if the call has a body.

    Raises:
        RefusedError: The call cannot be read, or the simulator refused it.
    """
    parts = _CALL.fullmatch(call.strip())
    if parts is None:
        raise RefusedError(
            "CALL must be like GET messages or"
            f' POST faults {{"operation": "send_advanced"}}, not {call!r}; {_SIMULATOR_HELP}'
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
        method, path = parts["method"], parts["path"]
        raise RefusedError(simulator_refusal(method, path, answer.status_code, answer.json()))
    _print_json(answer.json())


def simulator_refusal(method: str, path: str, status: int, answer: Json) -> str:
    """Return a sentence that says why the simulator refused a call.

    Args:
        method: Of the call.
        path: Of the call, below `/_control/`.
        status: The HTTP status of the answer.
        answer: The body, in Infobip's form of an error.
    """
    if status == HTTPStatus.NOT_FOUND:
        return f"the simulator has nothing at {path}: {_SIMULATOR_HELP}"
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        return f"the simulator does not accept {method} at {path}: {_SIMULATOR_HELP}"
    errors = answer["requestError"]["serviceException"].get("validationErrors", {})
    rules = "; ".join(f"{member} {', '.join(texts)}" for member, texts in errors.items())
    return f"the simulator refused {method} {path}: {rules or f'HTTP status {status}'}"


# --- AWS ---------------------------------------------------------------------------------------


def aws_refusal(operation: str, code: str) -> str:
    """Return a sentence that says why the AWS emulator refused a call.

    Args:
        operation: The name of the API's operation.
        code: AWS's code of the error.
    """
    rule = AWS_RULES.get(code, "check the values that you gave")
    return f"the AWS emulator refused {operation} with {code}: {rule}"


# --- Printing ----------------------------------------------------------------------------------


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _print_json(value: object) -> None:
    _print(json.dumps(value, indent=2))
