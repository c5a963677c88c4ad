"""Takes the delivery reports that Infobip calls with, and records them as those that are pulled.

The URL of a call is its only proof, so that it is checked before anything else is read. It opens
the way to the messages of one bulk; what a call says of others is kept apart. Infobip is told
that all is well only when the table has taken the reports: otherwise it calls again.
"""

from __future__ import annotations

import base64
import functools
from dataclasses import asdict
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from infobip_omni.delivery_reports import DeliveryReports
from infobip_omni.dynamodb import TableUnavailableError
from infobip_omni.message_ledger import open_ledger
from infobip_omni.observability import count, logger, observed
from infobip_omni.parameters import CachedParameter, ParameterUnavailableError
from infobip_omni.settings import ReceiveDeliveryReportSettings
from infobip_omni.webhook import bulk_id_of, parse_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aws_lambda_powertools.utilities.typing import LambdaContext

LARGEST_BODY_BYTES = 1024 * 1024


def receive_delivery_report(
    event: dict[str, Any], keys: Callable[[], Sequence[bytes]], reports: DeliveryReports
) -> HTTPStatus:
    """Record the reports of one call.

    Args:
        event: The call, as a function URL hands it over.
        keys: The keys, with one of which the URL must have been made.
        reports: Where they are recorded.

    Returns:
        How to answer. A body that cannot be read is kept, and no reason to call again.
    """
    if event["requestContext"]["http"]["method"] != "POST":
        return HTTPStatus.NOT_FOUND
    try:
        bulk_id = bulk_id_of(event["rawPath"], keys())
    except ParameterUnavailableError as error:
        logger.error("the caller cannot be recognised", reason=str(error))
        return HTTPStatus.SERVICE_UNAVAILABLE
    if bulk_id is None:
        return HTTPStatus.NOT_FOUND
    body = _body(event)
    if len(body) > LARGEST_BODY_BYTES:
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    try:
        recorded = reports.record_body(body, bulk_id)
    except TableUnavailableError as error:
        logger.warning("reports are not recorded", reason=str(error))
        return HTTPStatus.SERVICE_UNAVAILABLE
    logger.info("reports received", extra=asdict(recorded))
    count(recorded.counts())
    return HTTPStatus.OK


def _body(event: dict[str, Any]) -> bytes:
    written: str = event.get("body") or ""
    return (
        base64.b64decode(written) if event["isBase64Encoded"] else written.encode(errors="replace")
    )


@functools.cache
def collaborators() -> tuple[CachedParameter[tuple[bytes, ...]], DeliveryReports]:
    """Make what lives as long as the environment."""
    settings = ReceiveDeliveryReportSettings.from_environment()
    table, ledger = open_ledger(settings)
    keys = CachedParameter(settings.webhook_key_parameter, parse_keys)
    return keys, DeliveryReports(table, ledger)


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer with a status and nothing else."""
    status = receive_delivery_report(event, *collaborators())
    count({f"WebhookAnswers{status.value}": 1})
    return {"statusCode": status.value}
