"""Receives delivery reports that Infobip pushes, and records them like those that are pulled.

The URL of a call is its only proof, so it is checked before anything else is read. It is valid for
the messages of one bulk; reports about other messages are stored separately. The answer is 200 only
when the table has accepted the reports: otherwise Infobip calls again.
"""

from __future__ import annotations

import base64
import binascii
import functools
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol, Self

from infobip_omni.delivery_reports import DeliveryReports, Recorded
from infobip_omni.dynamodb import TableUnavailableError
from infobip_omni.message_ledger import open_ledger
from infobip_omni.observability import count, logger, observed
from infobip_omni.parameters import CachedParameter, ParameterUnavailableError
from infobip_omni.settings import ReceiveDeliveryReportSettings
from infobip_omni.webhook import bulk_id_of, parse_keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aws_lambda_powertools.utilities.typing import LambdaContext

LARGEST_BODY_BYTES = 1024 * 1024
#: The time between two reads of the keys because of calls that none of them has signed: anyone can
#: make such calls.
_REFRESH_SECONDS = 60.0


class Keys(Protocol):
    """Returns the keys of the webhook."""

    def __call__(self, *, refresh: bool = False) -> Sequence[bytes]:
        """Return the keys; *refresh* asks for new ones, since none of the old has signed a URL."""


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Clients shared by all invocations of one execution environment."""

    #: One of them must have signed the URL of a call.
    keys: Keys
    reports: DeliveryReports


@dataclass(frozen=True, slots=True)
class Reply:
    """The HTTP status that answers a call, and what was recorded."""

    status: HTTPStatus
    recorded: Recorded = field(default_factory=Recorded)

    @property
    def metrics(self) -> dict[str, int]:
        """The counts of the call, by the name of their metric."""
        return {**self.recorded.counts(), f"WebhookAnswers{self.status.value}": 1}

    def answer(self) -> dict[str, Any]:
        """Return the response that a function URL expects."""
        return {"statusCode": self.status.value}


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the function's URL."""

    method: str
    path: str
    body: bytes = field(repr=False)

    @classmethod
    def of(cls, event: object) -> Self | None:
        """Read the payload format 2.0 of function URLs; return None for any other event."""
        if not isinstance(event, dict):
            return None
        context = event.get("requestContext")
        http = context.get("http") if isinstance(context, dict) else None
        method = http.get("method") if isinstance(http, dict) else None
        path, written = event.get("rawPath"), event.get("body")
        if not isinstance(method, str) or not isinstance(path, str):
            return None
        text = written if isinstance(written, str) else ""
        body = text.encode(errors="replace")
        if event.get("isBase64Encoded") is True:
            with suppress(binascii.Error):
                body = base64.b64decode(body)
        return cls(method, path, body)


def receive_delivery_report(event: object, deps: Dependencies) -> Reply:
    """Record the reports of one call.

    Args:
        event: The call, in the payload format 2.0 of function URLs.
        deps: The keys and the table.

    Returns:
        200 also for a body that cannot be read: it is stored raw, and another call would not help.
        404 for what is no call of a signed URL.
    """
    call = Call.of(event)
    if call is None or call.method != "POST":
        return Reply(HTTPStatus.NOT_FOUND)
    try:
        # The sender may have read a new key already.
        bulk_id = bulk_id_of(call.path, deps.keys()) or bulk_id_of(
            call.path, deps.keys(refresh=True)
        )
    except ParameterUnavailableError as error:
        logger.error("the URL of a call cannot be checked", reason=str(error))
        return Reply(HTTPStatus.SERVICE_UNAVAILABLE)
    if bulk_id is None:
        return Reply(HTTPStatus.NOT_FOUND)
    if len(call.body) > LARGEST_BODY_BYTES:
        return Reply(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    try:
        recorded = deps.reports.record_body(call.body, bulk_id)
    except TableUnavailableError as error:
        logger.warning("reports are not recorded", reason=str(error))
        return Reply(HTTPStatus.SERVICE_UNAVAILABLE)
    logger.info("reports received", extra=asdict(recorded))
    return Reply(HTTPStatus.OK, recorded)


@functools.cache
def dependencies() -> Dependencies:
    """Build the clients shared by all invocations of one execution environment."""
    settings = ReceiveDeliveryReportSettings.from_environment()
    storage = open_ledger(settings)
    return Dependencies(
        keys=CachedParameter(
            settings.webhook_key_parameter, parse_keys, refresh_shared_seconds=_REFRESH_SECONDS
        ),
        reports=DeliveryReports(storage.table, storage.ledger),
    )


@observed
def lambda_handler(event: object, context: LambdaContext) -> dict[str, Any]:
    """Return a status without a body."""
    reply = receive_delivery_report(event, dependencies())
    count(reply.metrics)
    return reply.answer()
