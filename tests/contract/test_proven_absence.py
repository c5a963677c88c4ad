"""However the logs read lists of ids, no message that Infobip has is ever sent again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from functions.reconcile_messages.app import Dependencies, reconcile_messages
from infobip_omni.api.scenarios import ScenarioDefinition
from infobip_omni.api.sends import Recipient
from infobip_omni.delivery_reports import DeliveryReports
from infobip_omni.log_query_limiter import LogQueryLimiter
from infobip_omni.message import MessageState
from infobip_omni.timestamps import utc_now
from infobip_omni.transitions import AttemptResult
from tests.fakes import Clock, FakeLedger, FakeTable, advanced_request, make_claim
from tests.local_world.infobip_simulator.log_lists import WAYS

if TYPE_CHECKING:
    from datetime import timedelta

    from infobip_omni.api.client import OmniClient
    from tests.local_world.simulator_control import SimulatorControl

FLOW = [{"from": "app-code", "channel": "PUSH"}, {"from": "Acme", "channel": "SMS"}]
#: Its last digits are not magic.
PHONE = "385915551234"
CANDIDATES = [f"m-{number:02d}" for number in range(40)]
#: Those of them that Infobip has.
KNOWN = set(CANDIDATES[3::9])


@dataclass
class Harness:
    """A ledger, and the simulator with the same clock."""

    infobip: SimulatorControl
    client: OmniClient
    ledger: FakeLedger
    clock: Clock

    def pass_by(self, seconds: float) -> None:
        """Advance both clocks."""
        self.clock.pass_by(seconds=seconds)
        self.infobip.advance_clock(seconds)

    def send(self, *message_ids: str) -> None:
        """Send messages to Infobip."""
        destinations = [{"messageId": each, "to": {"phoneNumber": PHONE}} for each in message_ids]
        request = {"destinations": destinations, "push": {"text": "a"}, "sms": {"text": "a"}}
        self.client.send_advanced(advanced_request(request))

    def claim(self, message_id: str) -> None:
        """Leave a message as a sender does that got no answer."""
        recipient = Recipient(phone_number=PHONE)
        claim = make_claim(message_id, recipient=recipient, on_unknown="must-arrive")
        (status,) = self.ledger.claim([claim], self.lease)
        result = AttemptResult(message_id, status.token or "", MessageState.UNKNOWN)
        self.ledger.save([result])

    @property
    def lease(self) -> timedelta:
        """How long a claim holds."""
        return self.ledger.check_after / 5

    def reconcile(self) -> int:
        """Run the function, and return how many log queries it has made."""
        reports = DeliveryReports(self.ledger.table, self.ledger, self.clock)
        limiter = LogQueryLimiter(FakeTable(), self.clock, self.pass_by)
        deps = Dependencies(self.client, self.ledger, reports, limiter)
        return reconcile_messages(deps, lambda: 300.0, self.clock).answer()["LogQueries"]


@pytest.fixture
def harness(infobip: SimulatorControl, omni: OmniClient) -> Harness:
    """Return messages of unknown outcome, and others that Infobip has accepted around them."""
    clock = Clock()
    clock.now = utc_now()
    harness = Harness(infobip, omni, FakeLedger(clock), clock)
    flow = {"name": "otp", "flow": FLOW, "default": True}
    harness.client.create_scenario(ScenarioDefinition.model_validate(flow))
    infobip.change_settings(defaultValiditySeconds=10)
    harness.send(*(f"older-{number}" for number in range(30)))
    harness.pass_by(60)
    for message_id in CANDIDATES:
        harness.claim(message_id)
    harness.send(*KNOWN)
    harness.pass_by(300)
    harness.send(*(f"younger-{number}" for number in range(30)))
    harness.pass_by(300)
    return harness


@pytest.mark.parametrize("length", [3, 28, 41])
@pytest.mark.parametrize("way", WAYS)
def test_no_message_that_infobip_has_is_sent_again(harness: Harness, way: str, length: int) -> None:
    """And each that it does not have is, after three answers."""
    harness.infobip.change_settings(logLists=way, logListLength=length)
    for _ in range(3):
        harness.reconcile()
        harness.pass_by(600)

    states = harness.ledger.states()
    assert {each for each in CANDIDATES if states[each] == MessageState.WAITING} == (
        set(CANDIDATES) - KNOWN
    )


def test_lists_that_are_read_to_the_end_save_queries(harness: Harness) -> None:
    """Two for the first and the second answer, and three for the last: witnesses, proof, list."""
    queries = []
    for _ in range(3):
        queries.append(harness.reconcile())
        harness.pass_by(600)

    assert queries == [1, 1, 3]
