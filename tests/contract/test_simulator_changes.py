"""The simulator tells which messages changed, and shows their whole course.

The simulator runs in this process, without HTTP, and time passes only by its clock.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.local_world.infobip_simulator import process
from tests.local_world.infobip_simulator.routes import Call, Credentials, Simulator
from tests.local_world.infobip_simulator.state import Settings
from tests.local_world.infobip_simulator.webhooks import Resolver
from tests.local_world.simulator_control import SimulatorControl

Json = dict[str, Any]

FLOW = [{"from": "app-code", "channel": "PUSH"}, {"from": "Acme", "channel": "SMS"}]
CONTENT = {"push": {"text": "Your code is 1234"}, "sms": {"text": "Code: 1234"}}
PHONE = "385915551234"
PUSH_FAILS = {"PUSH": "UNDELIVERABLE_NO_DESTINATION"}
#: In seconds; real time does not end a step while a test runs.
STEP = 20.0


class Infobip:
    """The simulator, called in this process."""

    def __init__(self) -> None:
        settings = Settings(step_seconds=STEP, push_retries=0)
        self.simulator = Simulator(Credentials(), settings)
        self.account, self.cursor = "", 0
        self.call("POST", "/omni/1/scenarios", {"flow": FLOW, "default": True})

    def call(self, method: str, url: str, body: object = None) -> Json:
        """Make a call, and return the answer or the error's details."""
        parts = urlsplit(url)
        call = Call(
            method=method,
            path=parts.path,
            query=parse_qs(parts.query),
            authorization="App local-key",
            content=b"" if body is None else json.dumps(body).encode(),
        )
        answer = self.simulator.answer(call).body
        details: Json = answer.get("requestError", {}).get("serviceException", answer)
        return details

    def control(self, method: str, path: str, body: object = None) -> Json:
        return self.call(method, f"/_control/{path}", body)

    def send(self, *message_ids: str, **members: object) -> None:
        destinations = [{"messageId": each, "to": {"phoneNumber": PHONE}} for each in message_ids]
        body = {"destinations": destinations} | CONTENT | members
        self.call("POST", "/omni/1/advanced", body)

    def pass_time(self, seconds: float) -> None:
        self.control("POST", "clock", {"advanceSeconds": seconds})

    def changed(self) -> list[Json]:
        """Return the messages that changed since the previous call."""
        page = self.control("GET", f"changes?after={self.cursor}")
        self.account, self.cursor = page["account"], page["cursor"]
        messages: list[Json] = page["messages"]
        return messages

    def changed_ids(self) -> list[str]:
        return [message["messageId"] for message in self.changed()]

    def course(self, message_id: str) -> Json:
        """Return the whole course of a message."""
        [entry] = self.control("GET", f"messages?messageId={message_id}")["messages"]
        return entry  # type: ignore[no-any-return]


@pytest.fixture
def infobip() -> Infobip:
    return Infobip()


# --- Changes -------------------------------------------------------------------------------


def test_message_changes_when_it_is_accepted_and_accepted_again(infobip: Infobip) -> None:
    """Between changes there are none, and a repeated id is one message."""
    infobip.send("m-1", "m-2")
    assert infobip.changed_ids() == ["m-1", "m-2"]
    assert infobip.changed_ids() == []

    infobip.send("m-1")

    [entry] = infobip.changed()
    assert (entry["messageId"], entry["acceptances"]) == ("m-1", 2)


def test_message_changes_when_steps_start_and_end(infobip: Infobip) -> None:
    """The clock alone does it, and nothing happens between."""
    infobip.control("PUT", f"recipients/{PHONE}", PUSH_FAILS)
    infobip.send("m-1")
    infobip.changed()

    statuses = []
    for _ in range(5):
        infobip.pass_time(STEP / 2 + 0.5)
        statuses.append([step["status"] for each in infobip.changed() for step in each["steps"]])

    failed = "UNDELIVERABLE_NO_DESTINATION"
    ended = [failed, "DELIVERED_TO_HANDSET"]
    assert statuses == [[], [failed, "PENDING_ENROUTE"], [], ended, []]


def test_scheduled_message_changes_when_its_first_step_starts(infobip: Infobip) -> None:
    """Until then it has no step."""
    now = infobip.control("GET", "changes")["now"]
    infobip.send("m-1", sendAt=_moment(now + 60))
    assert [entry["steps"] for entry in infobip.changed()] == [[]]

    infobip.pass_time(60)

    assert [len(entry["steps"]) for entry in infobip.changed()] == [1]


def test_message_changes_when_report_is_handed_out_and_repeated(infobip: Infobip) -> None:
    """The entry says how often the report was handed out, and whether it can be taken again."""
    infobip.send("m-1")
    infobip.pass_time(STEP)
    infobip.changed()

    infobip.control("POST", "faults", {"operation": "take_reports", "kind": "duplicate_reports"})
    seen = []
    for _ in range(2):
        infobip.call("GET", "/omni/1/reports")
        seen += [(each["reportsHandedOut"], each["reportsPending"]) for each in infobip.changed()]

    assert seen == [(1, 1), (2, 0)]


def test_changed_message_shows_fault_that_spoiled_its_report(infobip: Infobip) -> None:
    infobip.send("m-1")
    infobip.pass_time(STEP)
    infobip.changed()

    infobip.control("POST", "faults", {"operation": "take_reports", "kind": "cut_answer"})
    infobip.call("GET", "/omni/1/reports")

    [entry] = infobip.changed()
    assert [page["fault"] for page in entry["reports"][0]["pages"]] == ["cut_answer"]


def test_message_changes_when_its_report_is_pushed(
    infobip: Infobip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A push that is not answered changes nothing."""
    monkeypatch.setattr(
        "tests.local_world.infobip_simulator.routes.deliver",
        lambda push, _: 200 if push.results[0]["messageId"] == "m-2" else None,
    )
    infobip.send("m-1", "m-2", notifyUrl="http://127.0.0.1:1/")
    infobip.pass_time(STEP)
    infobip.changed()

    infobip.simulator.push(Resolver((), 0))

    [entry] = infobip.changed()
    assert (entry["messageId"], entry["reports"][0]["pushes"]) == ("m-2", 1)


def test_refused_destination_is_on_no_phone(infobip: Infobip) -> None:
    """It was never accepted, so it does not appear."""
    infobip.control("PUT", f"recipients/{PHONE}", {"refuse": "REJECTED_DND"})

    infobip.send("m-1")

    assert infobip.changed_ids() == []


def test_changes_come_in_pages_from_oldest(infobip: Infobip) -> None:
    """A page says whether more follow, and a message that changes again moves to the end."""
    infobip.send("m-1", "m-2", "m-3")

    first = infobip.control("GET", "changes?limit=2")
    infobip.send("m-1")
    second = infobip.control("GET", f"changes?after={first['cursor']}&limit=2")

    ids = [[each["messageId"] for each in page["messages"]] for page in (first, second)]
    assert ids == [["m-1", "m-2"], ["m-3", "m-1"]]
    assert (first["more"], second["more"]) == (True, False)


def test_reset_changes_account(infobip: Infobip) -> None:
    """So a caller knows that its cursor is no longer valid."""
    infobip.send("m-1")
    infobip.changed()
    before = infobip.account

    infobip.control("POST", "reset")

    assert infobip.changed_ids() == []
    assert infobip.account != before


@pytest.mark.parametrize(
    ("query", "member", "rule"),
    [
        ("after=-1", "after", "must be a whole number from 0 to 2147483647"),
        ("after=x", "after", "must be a whole number from 0 to 2147483647"),
        ("limit=0", "limit", "must be a whole number from 1 to 2147483647"),
    ],
)
def test_invalid_query_of_changes_is_refused(
    infobip: Infobip, query: str, member: str, rule: str
) -> None:
    assert infobip.control("GET", f"changes?{query}")["validationErrors"] == {member: [rule]}


# --- Entries -------------------------------------------------------------------------------


def test_step_shows_content_price_error_and_time_limit(infobip: Infobip) -> None:
    """The time limit counts from the start of the step, and an error comes with its end."""
    infobip.control("PUT", f"recipients/{PHONE}", PUSH_FAILS)
    push = {"text": "Your code", "validityPeriod": 2, "validityPeriodTimeUnit": "MINUTES"}
    sms = {"text": "a" * 161}
    infobip.send("m-1", push=push, sms=sms, callbackData="order 7")
    infobip.pass_time(STEP)

    entry = infobip.course("m-1")

    assert (entry["flow"], entry["callbackData"]) == (["PUSH", "SMS"], "order 7")
    failed, begun = entry["steps"]
    assert _lasts(failed["startedAt"], failed["expiresAt"]) == 120
    assert failed.pop("error")["name"] == "EC_NO_REGISTRATION_ID_FOUND"
    assert failed | {"startedAt": 0, "endedAt": 0, "expiresAt": 0} == {
        "acceptance": 1,
        "channel": "PUSH",
        "from": "app-code",
        "to": PHONE,
        "text": "Your code",
        "content": push,
        "messageCount": 1,
        "price": {"pricePerMessage": 0.0, "currency": "EUR"},
        "status": "UNDELIVERABLE_NO_DESTINATION",
        "groupName": "UNDELIVERABLE",
        "startedAt": 0,
        "endedAt": 0,
        "expiresAt": 0,
        "openedAt": None,
    }
    assert (begun["content"], begun["messageCount"]) == (sms, 2)
    assert begun["price"] == {"pricePerMessage": 0.01, "currency": "EUR"}
    assert (begun["error"], begun["endedAt"]) == (None, None)
    assert _lasts(begun["startedAt"], begun["expiresAt"]) == Settings().default_validity_seconds


def test_step_that_ends_at_once_has_no_time_limit(infobip: Infobip) -> None:
    """It has no content, so there was nothing to wait for."""
    infobip.send("m-1", push=None)

    step = infobip.course("m-1")["steps"][0]

    assert (step["status"], step["content"]) == ("UNDELIVERABLE_NOT_SENT", None)
    assert (step["text"], step["expiresAt"]) == (None, None)


# --- Recipients ----------------------------------------------------------------------------


def test_rule_of_recipient_is_returned_until_it_is_deleted(infobip: Infobip) -> None:
    """Without a rule the answer is an empty one."""
    rule = {"PUSH": "silent", "stepSeconds": 1.5, "opensAfterSeconds": 0}
    infobip.control("PUT", f"recipients/{PHONE}", rule)
    assert infobip.control("GET", f"recipients/{PHONE}") == rule

    infobip.control("DELETE", f"recipients/{PHONE}")

    assert infobip.control("GET", f"recipients/{PHONE}") == {}


def test_steps_take_longer_for_one_recipient(infobip: Infobip) -> None:
    """Other recipients are as fast as before, and a rule with only this time lets steps deliver."""
    infobip.send("m-1")
    infobip.control("PUT", f"recipients/{PHONE}", {"stepSeconds": STEP + 10})
    infobip.send("m-2")
    infobip.changed()

    infobip.pass_time(STEP)
    assert infobip.changed_ids() == ["m-1"]
    infobip.pass_time(10)

    [entry] = infobip.changed()
    assert (entry["messageId"], entry["finalStatus"]["name"]) == ("m-2", "DELIVERED_TO_HANDSET")


def test_step_of_slow_recipient_expires_with_its_validity(infobip: Infobip) -> None:
    """The next step takes over, as from a recipient that is silent."""
    infobip.control("PUT", f"recipients/{PHONE}", {"stepSeconds": 60})
    infobip.send("m-1")

    infobip.pass_time(60)

    steps = infobip.course("m-1")["steps"]
    assert [step["status"] for step in steps] == ["EXPIRED_EXPIRED", "PENDING_ENROUTE"]
    assert steps[0]["endedAt"] == steps[0]["expiresAt"]


def test_recipient_opens_later_what_was_delivered(infobip: Infobip) -> None:
    """The step that failed before is not opened."""
    infobip.control("PUT", f"recipients/{PHONE}", PUSH_FAILS | {"opensAfterSeconds": 5})
    infobip.send("m-1")
    infobip.pass_time(2 * STEP)
    assert [step["openedAt"] for step in infobip.changed()[0]["steps"]] == [None, None]

    infobip.pass_time(5)

    failed, delivered = infobip.changed()[0]["steps"]
    assert failed["openedAt"] is None
    assert _lasts(delivered["endedAt"], delivered["openedAt"]) == 5


def test_recipient_that_opens_nothing_delivered_opens_nothing(infobip: Infobip) -> None:
    infobip.control("PUT", f"recipients/{PHONE}", {"*": "REJECTED_DND", "opensAfterSeconds": 0})
    infobip.send("m-1")

    infobip.pass_time(3 * STEP)

    assert [step["openedAt"] for step in infobip.course("m-1")["steps"]] == [None, None]


@pytest.mark.parametrize(
    ("rule", "member", "sentence"),
    [
        ({"stepSeconds": -1}, "stepSeconds", "must be a number from 0 to 31622400"),
        ({"stepSeconds": "5"}, "stepSeconds", "must be a number from 0 to 31622400"),
        ({"opensAfterSeconds": True}, "opensAfterSeconds", "must be a number from 0 to 31622400"),
        ({"FAX": 1}, "FAX", "must be *, refuse, stepSeconds, opensAfterSeconds or one of SMS, "),
    ],
)
def test_invalid_rule_of_recipient_is_refused(
    infobip: Infobip, rule: Json, member: str, sentence: str
) -> None:
    """The error names the member and what it must be, and the rule is not stored."""
    errors = infobip.control("PUT", f"recipients/{PHONE}", rule)["validationErrors"]

    assert errors[member][0].startswith(sentence)
    assert infobip.control("GET", f"recipients/{PHONE}") == {}


# --- Opening -------------------------------------------------------------------------------


def test_delivered_message_is_opened_on_request(infobip: Infobip) -> None:
    """It needs no notifyUrl, and what was opened once keeps its time."""
    infobip.send("m-1")
    infobip.pass_time(STEP)
    infobip.changed()

    infobip.control("POST", "seen", {"messageId": "m-1"})
    opened = [step["openedAt"] for step in infobip.changed()[0]["steps"]]
    infobip.pass_time(60)
    infobip.control("POST", "seen", {"messageId": "m-1"})

    assert opened == [step["openedAt"] for step in infobip.course("m-1")["steps"]] != [None]


def test_request_opens_message_earlier_than_its_recipient_would(infobip: Infobip) -> None:
    infobip.control("PUT", f"recipients/{PHONE}", {"opensAfterSeconds": 60})
    infobip.send("m-1")
    infobip.pass_time(STEP)

    infobip.control("POST", "seen", {"messageId": "m-1"})

    [step] = infobip.course("m-1")["steps"]
    assert _lasts(step["endedAt"], step["openedAt"]) < 1


def test_last_delivered_acceptance_is_opened(infobip: Infobip) -> None:
    """A repeated message arrives twice, and only what has arrived can be opened."""
    infobip.send("m-1")
    infobip.pass_time(STEP)
    infobip.send("m-1")

    infobip.control("POST", "seen", {"messageId": "m-1"})

    first, second = infobip.course("m-1")["steps"]
    assert first["openedAt"]
    assert second["openedAt"] is None


@pytest.mark.parametrize("message_id", ["m-1", "m-2"])
def test_message_that_has_not_arrived_cannot_be_opened(infobip: Infobip, message_id: str) -> None:
    """It is still on its way, or unknown."""
    infobip.send("m-1")

    errors = infobip.control("POST", "seen", {"messageId": message_id})["validationErrors"]

    assert errors == {"messageId": ["names no message that was delivered or has a notifyUrl"]}


def test_opening_is_reported_to_notify_url(
    infobip: Infobip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recipient who opens a message without a call is reported once."""
    pushed: list[Json] = []
    monkeypatch.setattr(
        "tests.local_world.infobip_simulator.routes.deliver",
        lambda push, _: pushed.extend(push.results),
    )
    infobip.control("PUT", f"recipients/{PHONE}", {"opensAfterSeconds": 0})
    infobip.send("m-1", notifyUrl="http://127.0.0.1:1/")
    infobip.pass_time(STEP)

    infobip.simulator.push(Resolver((), 0))

    # Calls are made concurrently.
    delivered, seen = sorted(pushed, key=lambda report: "seenAt" in report)
    assert (seen["messageId"], seen["seenAt"]) == ("m-1", delivered["doneAt"])


# --- Faults and requests -------------------------------------------------------------------


def test_outage_ends_after_its_time(infobip: Infobip) -> None:
    """It counts by Infobip's clock, and until then the list says how long it still lasts."""
    outage = {"kind": "unauthorized", "times": 0, "lastsSeconds": 60}
    infobip.control("POST", "faults", outage)
    infobip.send("m-1")
    assert infobip.changed_ids() == []
    infobip.pass_time(20)
    [fault] = infobip.control("GET", "faults")["faults"]
    assert (fault["lastsSeconds"], round(fault["secondsLeft"])) == (60, 40)

    infobip.pass_time(40)

    assert infobip.control("GET", "faults") == {"faults": [], "fired": {"unauthorized": 1}}
    infobip.send("m-1")
    assert infobip.changed_ids() == ["m-1"]


def test_fault_ends_in_time_without_being_listed(infobip: Infobip) -> None:
    """A call alone finds it over."""
    infobip.control("POST", "faults", {"kind": "unauthorized", "times": 0, "lastsSeconds": 60})
    infobip.pass_time(60)

    infobip.send("m-1")

    assert infobip.changed_ids() == ["m-1"]


def test_fault_whose_time_is_over_cannot_be_deleted(infobip: Infobip) -> None:
    fault = {"kind": "unauthorized", "times": 0, "lastsSeconds": 60}
    fault_id = infobip.control("POST", "faults", fault)["id"]
    infobip.pass_time(60)

    assert infobip.control("DELETE", f"faults/{fault_id}")["messageId"] == "NOT_FOUND"


def test_fault_without_time_lasts_until_it_is_deleted(infobip: Infobip) -> None:
    infobip.control("POST", "faults", {"kind": "unauthorized", "times": 0})

    infobip.pass_time(10**6)

    [fault] = infobip.control("GET", "faults")["faults"]
    assert (fault["lastsSeconds"], fault["secondsLeft"]) == (0, None)


def test_time_of_fault_that_is_no_number_is_refused(infobip: Infobip) -> None:
    errors = infobip.control("POST", "faults", {"lastsSeconds": -1})["validationErrors"]

    assert errors == {"lastsSeconds": ["must be a number from 0 to 31622400"]}


def test_requests_are_selected_by_message_and_operation(infobip: Infobip) -> None:
    """A request that names several messages belongs to each."""
    infobip.send("m-1", "m-2")
    infobip.send("m-2")
    infobip.call("GET", "/omni/1/logs?messageId=m-1,m-3")

    found = {
        query: [each["operation"] for each in _requests(infobip, query)]
        for query in ("messageId=m-1", "messageId=m-2", "messageId=m-1&operation=search_logs")
    }

    assert found == {
        "messageId=m-1": ["send_advanced", "search_logs"],
        "messageId=m-2": ["send_advanced", "send_advanced"],
        "messageId=m-1&operation=search_logs": ["search_logs"],
    }


# --- The client ----------------------------------------------------------------------------


def test_client_reads_what_page_needs() -> None:
    """Each method returns what the control interface answers."""
    with process.running() as url:
        control = SimulatorControl(url)
        control.rule_recipient("+1 2/3", {"stepSeconds": 5})
        control.add_fault("*", "reset_before", times=0, lastsSeconds=60)

        assert control.recipient_rule("+1 2/3") == {"stepSeconds": 5}
        assert control.recipient_rule("other") == {}
        assert 0 < control.faults()[0]["secondsLeft"] <= 60
        control.clear_faults()
        assert control.settings()["stepSeconds"] == 0.2
        assert control.requests("search_logs", "m 1") == control.requests() == []
        page = control.changes(after=7, limit=3)
        assert (page["messages"], page["cursor"], page["more"]) == ([], 7, False)


def _requests(infobip: Infobip, query: str) -> list[Json]:
    found: list[Json] = infobip.control("GET", f"requests?{query}")["requests"]
    return found


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _lasts(start: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
