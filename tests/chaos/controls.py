"""Systems that must fail the checks: one guard taken out of each, to show that it matters.

A control is applied inside the workers, before they make their collaborators.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from functions.reconcile_messages import app as reconcile_app
from functions.send_message import app as send_app
from infobip_omni.api.errors import OmniError
from infobip_omni.api.models import AdvancedRequest, Destination, MessageContent
from infobip_omni.delivery import MessageState
from infobip_omni.events import InvalidEventError, SendEvent
from infobip_omni.message_ledger import LONGEST_WAIT, MessageLedger, Standing
from infobip_omni.moments import utc_now
from infobip_omni.observability import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta

    from infobip_omni.dynamodb import Item
    from infobip_omni.message_ledger import Claim, Outcome


def consume_naively() -> None:
    """Keep no ledger: post, acknowledge when that worked, else let the record come again."""

    def post(record: dict[str, Any]) -> None:
        use = send_app.collaborators()
        event = SendEvent.parse(record["body"], record["messageId"], utc_now())
        scenario = event.body.scenario and use.scenarios.find(event.body.scenario)
        contents = {name: getattr(event.body, name) for name in MessageContent.model_fields}
        destinations = tuple(
            Destination(message_id=message.message_id, to=message.recipient)
            for message in event.messages
        )
        key = scenario.key if scenario else event.body.scenario_key
        use.client.send_advanced(
            AdvancedRequest(**contents | {"scenario_key": key, "destinations": destinations})
        )

    def handler(event: dict[str, Any], _: object) -> dict[str, Any]:
        failed = []
        for record in event["Records"]:
            try:
                post(record)
            except OmniError:
                failed.append({"itemIdentifier": record["messageId"]})
            except InvalidEventError:
                continue
        return {"batchItemFailures": failed}

    _replace(send_app, "lambda_handler", handler)


def claim_unconditionally() -> None:
    """Write every claim over whatever is there."""

    def claim(ledger: Any, claims: Sequence[Claim], lease: timedelta) -> list[Standing]:  # noqa: ANN401
        items = [ledger._claimed_item(claim, utc_now(), lease) for claim in claims]  # noqa: SLF001
        ledger._table.put_all(items)  # noqa: SLF001
        return [Standing(MessageState.CLAIMED, token=item["claimToken"]) for item in items]

    _replace(MessageLedger, "claim", claim)


def claim_after_lease() -> None:
    """Take a claim whose lease has run out for one whose holder has not posted."""

    def waiting(ledger: Any, item: Item, now: datetime) -> dict[str, Any]:  # noqa: ANN401
        next_check = ledger._check_at(item["messageId"], now + LONGEST_WAIT)  # noqa: SLF001
        return {"state": MessageState.WAITING, **next_check}

    _replace(MessageLedger, "_unknown", waiting)


def resend_blindly() -> None:
    """Take a missing answer for a request that was not processed."""
    record = MessageLedger.record

    def hopeful(ledger: MessageLedger, outcomes: Sequence[Outcome]) -> list[Standing]:
        unknown = MessageState.UNKNOWN
        return record(
            ledger,
            [
                replace(each, state=MessageState.WAITING) if each.state is unknown else each
                for each in outcomes
            ],
        )

    _replace(MessageLedger, "record", hopeful)


def send_again_without_asking() -> None:
    """Hold a message for unknown to Infobip without a look at the logs."""

    def unknown(_: object, items: Sequence[Item]) -> list[Item]:
        return [item for item in items if item["state"] == MessageState.UNKNOWN]

    _replace(reconcile_app.Reconciliation, "_look_for", unknown)


def acknowledge_always() -> None:
    """Let no record come round again."""
    handler = send_app.lambda_handler

    def careless(event: dict[str, Any], context: Any) -> dict[str, Any]:  # noqa: ANN401
        handler(event, context)
        return {"batchItemFailures": []}

    _replace(send_app, "lambda_handler", careless)


def log_events() -> None:
    """Write the records into the log."""
    handler = send_app.lambda_handler

    def talkative(event: dict[str, Any], context: Any) -> object:  # noqa: ANN401
        logger.info("records received", extra={"records": json.dumps(event)})
        return handler(event, context)

    _replace(send_app, "lambda_handler", talkative)


def _replace(owner: object, name: str, value: object) -> None:
    setattr(owner, name, value)


@dataclass(frozen=True, slots=True)
class Control:
    """A way to weaken the system, and the promise that this breaks."""

    weaken: Callable[[], None]
    promise: str


CONTROLS = {
    "naive-consumer": Control(consume_naively, "P1"),
    "unconditional-claim": Control(claim_unconditionally, "P1"),
    "claim-after-lease": Control(claim_after_lease, "P1"),
    "blind-resend": Control(resend_blindly, "P1"),
    "no-question": Control(send_again_without_asking, "P1"),
    "acknowledge-always": Control(acknowledge_always, "P2"),
    "logged-events": Control(log_events, "P5"),
}
