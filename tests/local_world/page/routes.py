"""What the page's server answers at each path. Bodies and answers are JSON objects."""

from __future__ import annotations

import json
from contextlib import suppress
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar, cast

import requests
from botocore.exceptions import BotoCoreError, ClientError
from flask import Flask, Response, jsonify, render_template, request
from werkzeug.routing import PathConverter

from tests.local_world import commands
from tests.local_world.clients import options, session
from tests.local_world.running import RefusedError
from tests.local_world.simulator_control import SimulatorControl

from . import switches
from .board import seconds
from .refusals import PageError, answer_errors, broken_rule
from .safety import guard
from .waiting import parse_wait, verdict_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask.json.provider import DefaultJSONProvider

    from tests.local_world.running import RunningWorld

    from .compose import Composer
    from .feed import Feed, Schedules

    Json = dict[str, Any]

MemberT = TypeVar("MemberT", str, bool, float)

#: The functions that the page may invoke.
FUNCTIONS = (
    "create_scenario",
    "find_messages",
    "redrive_messages",
    *commands.SCHEDULED,
)
MOST_MESSAGES = 100
LONGEST_OUTAGE_SECONDS = 3600
_SCHEDULES: dict[str, Schedules] = {"minute": "every-minute", "2-seconds": "every-2-seconds"}
_TYPES = {str: "a string", bool: "true or false", float: "a number"}
#: A moment is rounded to milliseconds, and the step has to be over.
_ROUNDING_SECONDS = 0.002


class AnyText(PathConverter):
    """Matches ids and addresses, which may hold any characters."""

    regex = ".+?"
    part_isolating = False  # they may hold slashes, too


def application(world: RunningWorld, feed: Feed, port: int, token: str) -> Flask:
    """Return the server's app.

    Args:
        world: The local world that it shows.
        feed: What happens in it.
        port: That the app is served on.
        token: That the page has to send with each change.
    """
    app = Flask(__name__, static_folder="static", template_folder="static")
    app.url_map.converters["any_text"] = AnyText
    app.url_map.merge_slashes = False
    cast("DefaultJSONProvider", app.json).sort_keys = False
    guard(app, port, token)
    answer_errors(app)

    @app.get("/")
    def page() -> str:
        return render_template("index.html", token=token)

    @app.get("/api/events")
    def events() -> Response:
        stream = feed.events(request.headers.get("Last-Event-ID"))
        return Response(stream, mimetype="text/event-stream")

    handlers = _Handlers(world, feed)

    def add(method: str, path: str, handler: Callable[..., Any]) -> None:
        def answer(**parts: str) -> Response:
            return jsonify(handler(**parts))

        app.add_url_rule(path, handler.__name__, answer, methods=[method])

    add("GET", "/api/phones/<any_text:phone>", handlers.phone)
    add("POST", "/api/phones/<any_text:phone>", handlers.change_phone)
    add("GET", "/api/messages/<any_text:message_id>", handlers.message)
    add("POST", "/api/messages/<any_text:message_id>/open", handlers.open_message)
    add("POST", "/api/messages/<any_text:message_id>/end-step", handlers.end_step)
    add("GET", "/api/infobip", handlers.infobip)
    add("POST", "/api/infobip", handlers.change_infobip)
    add("GET", "/api/compose", handlers.compose)
    add("POST", "/api/check", handlers.check)
    add("POST", "/api/send", handlers.send)
    add("POST", "/api/functions/<function>", handlers.invoke)
    add("POST", "/api/schedules", handlers.change_schedules)
    add("GET", "/api/wait", handlers.wait)
    return app


class _Handlers:
    """Answers the calls of the page, and of tests that wait."""

    def __init__(self, world: RunningWorld, feed: Feed) -> None:
        self._world = world
        self._feed = feed
        self._simulator = SimulatorControl(world.simulator_url)
        # Clients are made by one thread, since that is not thread-safe.
        self._ssm = session().client("ssm", **options(world.url))
        _ = world.functions, world.sqs

    @cached_property
    def _composer(self) -> Composer:
        # The package takes a second to import, which `make local` need not wait for.
        from .compose import Composer  # noqa: PLC0415

        return Composer.of(self._ssm, self._world.outputs["ScenarioParameterPrefix"])

    # --- Phones --------------------------------------------------------------------------------

    def phone(self, phone: str) -> Json:
        """Return the newest messages to a phone, oldest first, and how it behaves."""
        with self._feed.changing() as board:
            ids, more = board.accepted_ids(phone, MOST_MESSAGES)
        # Without ids, the simulator would return all messages.
        entries = self._simulator.messages(*ids) if ids else []
        found = [
            {
                "id": entry["messageId"],
                "acceptedAt": entry["acceptedAt"][0],
                "steps": [step for step in entry["steps"] if step["content"] is not None],
            }
            for entry in entries
        ]
        behaviour = switches.behaviour_of(self._simulator.recipient_rule(phone))
        return {"phone": phone, "behaviour": behaviour, "messages": found, "more": more}

    def change_phone(self, phone: str) -> Json:
        """Decide how a phone behaves, for messages that are accepted from now on."""
        behaviour = _member(_body(), "behaviour", str)
        rule = switches.BEHAVIOURS.get(behaviour)
        if rule is None:
            raise broken_rule("behaviour", f"must be one of {', '.join(switches.BEHAVIOURS)}")
        self._simulator.rule_recipient(phone, rule)
        return {"behaviour": behaviour}

    # --- Messages ------------------------------------------------------------------------------

    def message(self, message_id: str) -> Json:
        """Return all that is known about a message."""
        query = {"messageId": message_id, "showRecipients": True}
        try:
            found = commands.asked(self._world, "find_messages", query)
        except (BotoCoreError, ClientError, RefusedError):
            found = None  # the feed tells why; the simulator may still answer
        return {
            "id": message_id,
            "simulated": self._entry(message_id),
            "found": found,
            "requests": self._simulator.requests(message_id=message_id),
        }

    def open_message(self, message_id: str) -> Json:
        """Open on the phone what has been delivered."""
        try:
            self._simulator.let_see(message_id)
        except requests.HTTPError as error:
            refusal = commands.simulator_refusal(
                "POST", "seen", error.response.status_code, error.response.json()
            )
            raise PageError(HTTPStatus.CONFLICT, refusal) from None
        return {}

    def end_step(self, message_id: str) -> Json:
        """Advance Infobip's clock to the end of the time of the step that is running."""
        entry = self._entry(message_id)
        running = [step for step in entry["steps"] if step["endedAt"] is None] if entry else []
        if not running or running[-1]["expiresAt"] is None:
            raise PageError(HTTPStatus.CONFLICT, "no step of this message is running")
        # The feed's clock may be behind, since someone may just have advanced Infobip's.
        left = seconds(running[-1]["expiresAt"]) - self._simulator.now()
        self._simulator.advance_clock(max(left, 0) + _ROUNDING_SECONDS)
        return {}

    def _entry(self, message_id: str) -> Json | None:
        return next(iter(self._simulator.messages(message_id)), None)

    # --- Infobip -------------------------------------------------------------------------------

    def infobip(self) -> Json:
        """Return the state of Infobip's switches."""
        return switches.state_of(self._simulator.settings(), self._simulator.faults())

    def change_infobip(self) -> Json:
        """Set one of Infobip's switches."""
        body = _body()
        name, on = _member(body, "switch", str), _member(body, "on", bool)
        if name not in switches.SWITCHES:
            raise broken_rule("switch", f"must be one of {', '.join(switches.SWITCHES)}")
        lasting = 0.0
        if name == switches.OUTAGE and on:
            lasting = _member(body, "seconds", float)
            if not 0 < lasting <= LONGEST_OUTAGE_SECONDS:
                raise broken_rule("seconds", f"must be more than 0, up to {LONGEST_OUTAGE_SECONDS}")
        change = switches.change(name, self._simulator.faults(), on=on, seconds=lasting)
        if change.settings:
            self._simulator.change_settings(**change.settings)
        for fault_id in change.ended:
            self._end_fault(fault_id)
        if change.added is not None:
            self._simulator.add_fault(**change.added)
        return self.infobip()

    def _end_fault(self, fault_id: str) -> None:
        """End a fault, unless its time is over or another page has ended it."""
        try:
            self._simulator.end_fault(fault_id)
        except requests.HTTPError as error:
            if error.response.status_code != HTTPStatus.NOT_FOUND:
                raise

    # --- Sending -------------------------------------------------------------------------------

    def compose(self) -> Json:
        """Return what one can begin an event with."""
        return self._composer.offered()

    def check(self) -> Json:
        """Check an event as the sender does."""
        return self._composer.check(_member(_body(), "text", str))

    def send(self) -> Json:
        """Put an event on the send queue unchanged, also an invalid one."""
        text = _member(_body(), "text", str)
        if not text:
            raise broken_rule("text", "must not be empty: SQS takes no empty record")
        if text.encode(errors="replace").decode() != text:
            raise broken_rule("text", "must be text that UTF-8 can hold")
        queue = self._world.outputs["SendQueueUrl"]
        try:
            answer = self._world.sqs.send_message(QueueUrl=queue, MessageBody=text)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code not in commands.AWS_RULES:
                raise
            refusal = commands.aws_refusal(error.operation_name, code)
            raise PageError(HTTPStatus.BAD_REQUEST, refusal) from None
        record_id = answer["MessageId"]
        return {"recordId": record_id, "messageIds": self._composer.ids_in(text, record_id)}

    # --- Operating -----------------------------------------------------------------------------

    def invoke(self, function: str) -> Any:  # noqa: ANN401 (any JSON)
        """Invoke a deployed function, and return its answer."""
        if function not in FUNCTIONS:
            known = ", ".join(FUNCTIONS)
            raise PageError(HTTPStatus.NOT_FOUND, f"the function must be one of {known}")
        event = json.dumps(_body())
        answer, failed = commands.answer_of(
            self._world, commands.deployed(self._world, function), event
        )
        if failed:
            raise PageError(
                HTTPStatus.UNPROCESSABLE_ENTITY, answer.get("errorMessage", str(answer))
            )
        return answer

    def change_schedules(self) -> Json:
        """Choose how often the functions run that schedules invoke."""
        every = _member(_body(), "every", str)
        if every not in _SCHEDULES:
            raise broken_rule("every", f"must be one of {', '.join(_SCHEDULES)}")
        self._feed.set_schedules(_SCHEDULES[every])
        return {"schedules": self._feed.schedules}

    def wait(self) -> Json:
        """Wait until a message is in a state."""
        wanted = parse_wait(request.args.to_dict(flat=False), self._composer.channels)
        answer = commands.wait_for_state(
            self._world, wanted.message_id, wanted.state, wanted.seconds
        )
        refusal = verdict_of(answer, wanted)
        if refusal is not None:
            raise refusal
        return answer


def _body() -> Json:
    """Return the JSON object in the body of the request."""
    try:
        return commands.parse_object(request.get_data().decode(), "the body")
    except UnicodeDecodeError as error:
        sentence = f"the body is not UTF-8: byte {error.start + 1} is invalid"
        raise PageError(HTTPStatus.BAD_REQUEST, sentence) from None
    except RefusedError as error:
        raise PageError(HTTPStatus.BAD_REQUEST, str(error)) from None


def _member(body: Json, name: str, kind: type[MemberT]) -> MemberT:
    """Return a required member of a body, which must have this type."""
    value = body.get(name)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        with suppress(OverflowError):
            value = float(value)
    if not isinstance(value, kind):
        raise broken_rule(name, f"must be {_TYPES[kind]}")
    return value
