"""A send event is checked completely first; errors name fields and never quote values."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from infobip_omni.api.channels import Channel
from infobip_omni.api.raw_json import DEEPEST_NESTING
from infobip_omni.api.sends import Recipient
from infobip_omni.events.errors import InvalidEventError
from infobip_omni.events.send_message import (
    LONGEST_SEND_DELAY,
    MOST_DESTINATIONS,
    SendEvent,
)

from .known_examples import KNOWN_EXAMPLES

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
RECORD_ID = "059f36b4-87a3-44ab-83d2-661975830a7d"
CANARY = "canary-5d1f"
PHONE = "385995550123"
TO = {"phoneNumber": PHONE}
PUSH = {"text": "Your parcel is on its way."}
SMS = {"text": "Your parcel is on its way. acme.example"}

Json = dict[str, Any]


def event(**members: object) -> Json:
    """Return a valid event with these members; None leaves a member out."""
    whole = {"to": TO, "push": PUSH} | members
    return {name: value for name, value in whole.items() if value is not None}


def destinations(*entries: Json, **members: object) -> Json:
    """Return an event with a list of destinations."""
    return event(to=None, destinations=list(entries), **members)


def parse(written: object, record_id: str = RECORD_ID, now: datetime = NOW) -> SendEvent:
    """Parse an event as SQS delivers it."""
    return SendEvent.parse(json.dumps(written), record_id, now)


def hashes(written: object) -> list[str]:
    """Return the hash of each destination's content."""
    return [message.content_hash for message in parse(written).messages]


def refusal(written: object) -> tuple[str, str]:
    """Return the field and the rule for which an event is refused."""
    with pytest.raises(InvalidEventError) as caught:
        parse(written)
    return caught.value.field, caught.value.rule


def refused(body: str) -> tuple[str, str]:
    """Return the field and the rule for which a body is refused."""
    with pytest.raises(InvalidEventError) as caught:
        SendEvent.parse(body, RECORD_ID, NOW)
    assert CANARY not in str(caught.value)
    return caught.value.field, caught.value.rule


def nested(levels: int) -> Json:
    """Return an event with so many levels."""
    value: object = "leaf"
    for _ in range(levels - 3):
        value = [value]
    return event(push=PUSH | {"customPayload": {"deep": value}})


# --- Refused events --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        "",
        "\ufeff \n",
        CANARY,
        '{"to": ' + CANARY,
        '{"to": {}',
        '{"to": {}} {}',
        '{"to": {},}',
        "{,}",
    ],
)
def test_body_that_is_not_json_is_refused(body: str) -> None:
    """The error quotes nothing of it."""
    assert refused(body) == ("body", "must be JSON")


@pytest.mark.parametrize(
    ("written", "field", "rule"),
    [
        ('{"sms": {"text": NaN}}', "sms.text", "must be a finite number"),
        ('{"push": {"customPayload": {"a": [-Infinity]}}}', "push.customPayload.a[0]",
         "must be a finite number"),
        ('{"push": {"customPayload": {"a": 1e999}}}', "push.customPayload.a",
         "must be a number that fits 64 bits"),
        ('{"extra": {"a": ' + 5000 * "1" + "}}", "extra.a", "must be a number with fewer digits"),
        ('{"sms": {"text": "\\ud83d"}}', "sms.text", "must be text that UTF-8 can hold"),
        ('{"sms": {"text": "\\uDE00 a"}}', "sms.text", "must be text that UTF-8 can hold"),
        ('{"extra": {"a": "\\\\ud83d\\ude00"}}', "extra.a", "must be text that UTF-8 can hold"),
        ('{"sms": {"text": "a\ud83d"}}', "sms.text", "must be text that UTF-8 can hold"),
        ('{"push": {"customPayload": {"\\udc00": 1}}}', "push.customPayload.?",
         "must be text that UTF-8 can hold"),
        ('{"sms": {"text": "a"}, "sms": {"text": "b"}}', "sms", "must not be given twice"),
        ('{"sms": {"text": "a"}, "\\u0073ms": null}', "sms", "must not be given twice"),
        ('{"destinations": [{}, {"to": {"phoneNumber": "1", "phoneNumber": "1"}}]}',
         "destinations[1].to.phoneNumber", "must not be given twice"),
        ('{"push": {"customPayload": {"a": [{"b": 1, "c": 2, "b": 3}]}}}',
         "push.customPayload.a[0].b", "must not be given twice"),
        ('{"push": {"a": NaN, "b": 1}, "push": 1}', "push.a", "must be a finite number"),
    ],
)  # fmt: skip
def test_value_that_cannot_be_sent_on_is_refused_with_its_path(
    written: str, field: str, rule: str
) -> None:
    """Python's parser accepts more than JSON, and of a repeated member it keeps only the last."""
    assert refused(written) == (field, rule)


@pytest.mark.parametrize(
    "text",
    ["\\ud83d\\ude00", "\\\\ud83d", "\\\\\\ud83d\\uDE00", "\U0001f600", "\\u00fc", "{[" * 200],
)
def test_text_that_only_looks_broken_is_accepted(text: str) -> None:
    """Both halves of a character, escaped backslashes, and brackets in a text."""
    written = f'{{"to": {{"phoneNumber": "{PHONE}"}}, "email": {{"text": "{text}"}}}}'

    assert f'"{text}"' in SendEvent.parse(written, RECORD_ID, NOW).content


def test_longest_number_is_accepted_also_where_the_text_is_looked_at_twice() -> None:
    """Many brackets may be deep nesting."""
    payload = f'{{"a": -{4300 * "1"}, "b": [{", ".join(200 * ["[]"])}]}}'
    written = f'{{"to": {{"phoneNumber": "{PHONE}"}}, "sms": {{"text": "a"}}, "extra": {payload}}}'

    assert "-1111" in SendEvent.parse(written, RECORD_ID, NOW).content


@pytest.mark.parametrize("around", ["\ufeff{}", "{}\n", " \t{}\r\n", "\n\ufeff {} \ufeff"])
def test_byte_order_mark_and_surrounding_white_space_are_dropped(around: str) -> None:
    """Tools that write files put them there."""
    body = around.replace("{}", json.dumps(event()))

    parsed, bare = SendEvent.parse(body, RECORD_ID, NOW), parse(event())

    assert (parsed.messages, parsed.content) == (bare.messages, bare.content)


@pytest.mark.parametrize("written", [[], [{}], "text", 1, None, True])
def test_json_that_is_not_an_object_is_refused(written: object) -> None:
    """An event is one object, not a list of them."""
    assert refusal(written) == ("body", "must be a JSON object")


@pytest.mark.parametrize("levels", [DEEPEST_NESTING + 1, 300, 990, 100_000])
def test_deep_nesting_is_refused_before_it_fails_the_batch(levels: int) -> None:
    """Neither parsing the event nor serializing the request may overflow the stack."""
    body = (
        '{"push": {"text": "a", "customPayload": {"a": ' + (levels - 3) * "[" + (levels - 3) * "]"
    )
    with pytest.raises(InvalidEventError) as caught:
        SendEvent.parse(body + "}}}", RECORD_ID, NOW)

    assert caught.value.field == "body"
    assert "nested" in caught.value.rule


def test_deepest_nesting_can_be_serialized() -> None:
    """Every accepted event can be sent."""
    assert "leaf" in parse(nested(DEEPEST_NESTING)).content


@pytest.mark.parametrize(
    ("written", "field"),
    [
        (event(notes=CANARY), "notes"),
        (event(scenario_key=CANARY), "scenario_key"),
        (event(to={"phone": CANARY}), "to.phone"),
        (event(to=TO | {"phone_number": PHONE}), "to.phone_number"),
        (event(push=PUSH | {"txt": CANARY}), "push.txt"),
        (event(push={"text": 5}), "push.text"),
        (event(push=CANARY), "push"),
        (event(push={}), "push.text"),
        (event(push={"text": ""}), "push.text"),
        (event(push={"text": 2001 * "x"}), "push.text"),
        (
            event(push=PUSH | {"notificationOptions": {"badge": "5"}}),
            "push.notificationOptions.badge",
        ),
        (event(sms={"text": ""}), "sms.text"),
        (event(sms={"text": 3826 * "é"}), "sms.text"),
        (
            event(sms=SMS | {"validityPeriod": 30, "validityPeriodTimeUnit": "SECONDS"}),
            "sms.validityPeriod",
        ),
        (event(to={}), "to"),
        (event(to={"phoneNumber": None}), "to"),
        (event(to={"phoneNumber": "099 555 0123"}), "to.phoneNumber"),
        (event(to={"phoneNumber": "+385 (0)99 555 0123"}), "to.phoneNumber"),
        (event(to={"phoneNumber": "1234"}), "to.phoneNumber"),
        (event(to={"phoneNumber": 21 * "1"}), "to.phoneNumber"),
        (event(to={"phoneNumber": "38599555012٣"}), "to.phoneNumber"),
        (event(to={"phoneNumber": PHONE + "\n" + PHONE}), "to.phoneNumber"),
        (event(to={"phoneNumber": 385995550123}), "to.phoneNumber"),
        (event(to={"emailAddress": ""}), "to.emailAddress"),
        (event(to={"whatsAppUserId": 151 * "a"}), "to.whatsAppUserId"),
        (event(to=PHONE), "to"),
        (event(messageId=""), "messageId"),
        (event(messageId=201 * "m"), "messageId"),
        (event(messageId=7), "messageId"),
        (event(messageId=CANARY + ",2"), "messageId"),
        (event(scenario=""), "scenario"),
        (event(scenario=["order-updates"]), "scenario"),
        (event(scenarioKey=""), "scenarioKey"),
        (event(scenario=CANARY, scenarioKey=CANARY), "scenarioKey"),
        (event(bulkId=""), "bulkId"),
        (event(onUnknown="maybe"), "onUnknown"),
        (event(notify="false"), "notify"),
        (event(notifyUrl="ftp://" + CANARY), "notifyUrl"),
        (event(notifyContentType="text/plain"), "notifyContentType"),
        (event(callbackData=4001 * "c"), "callbackData"),
        (event(sendAt="2026-02-01T12:00:00"), "sendAt"),
        (event(sendAt="tomorrow"), "sendAt"),
        (event(sendAt=1769860800), "sendAt"),
        (event(sendAt="2026-02-30T12:00:00Z"), "sendAt"),
        (event(sendAt="2026-07-30T12:00:01Z"), "sendAt"),
        (event(sendAt="9999-12-31T23:59:59Z"), "sendAt"),
        (event(push=None), "body"),
        (event(push=None, scenario="order-updates"), "body"),
        (event(to=None), "destinations"),
        (event(to=None, messageId="m-1"), "destinations"),
        (event(destinations=[{"to": TO}]), "to"),
        (destinations(), "destinations"),
        (destinations({}), "destinations[0].to"),
        (destinations({"to": {}}), "destinations[0].to"),
        (destinations({"to": TO}, {"to": TO | {"fax": CANARY}}), "destinations[1].to.fax"),
        (
            destinations({"to": TO}, {"to": {"phoneNumber": CANARY}}),
            "destinations[1].to.phoneNumber",
        ),
        (destinations({"to": TO}, messageId="m-1"), "messageId"),
        (destinations({"to": TO, "messageId": "a,b"}), "destinations[0].messageId"),
        (
            destinations({"to": TO}, {"to": TO, "messageId": "m"}, {"to": TO, "messageId": "m"}),
            "destinations[1].messageId",
        ),
        (
            destinations({"to": TO}, {"to": TO, "messageId": f"{RECORD_ID}-0"}),
            "destinations[0].messageId",
        ),
        (destinations(*(MOST_DESTINATIONS + 1) * [{"to": TO}]), "destinations"),
    ],
)
def test_error_names_field_and_rule(written: Json, field: str) -> None:
    """The dead-letter queue shows where to look, and nothing of the content."""
    named, rule = refusal(written)

    assert named == field
    assert rule
    assert CANARY not in rule
    assert PHONE not in f"{named}{rule}"


def test_error_quotes_nothing_of_event() -> None:
    """The name of an unknown field may hold a phone number, or be very long."""
    with pytest.raises(InvalidEventError) as caught:
        parse(event(to=TO | {f"+{PHONE}": "x"}))
    assert PHONE not in repr(caught.value)
    assert caught.value.__cause__ is None

    field, _ = refusal(event(**{5000 * "x": 1}))
    assert len(field) == 200


@pytest.mark.parametrize(
    "record_id", [101 * "r", "a,b", "", "a b", "a\n", "\u0161", "\ud83d", 200_000 * "r"]
)
def test_unusable_original_id_is_refused(record_id: str) -> None:
    """It comes from an attribute that every sender of the queue can set."""
    with pytest.raises(InvalidEventError) as caught:
        parse(event(), record_id)

    assert caught.value.field == "originalMessageId"
    assert caught.value.rule == "must be 1 to 100 visible characters of ASCII, without a comma"


@pytest.mark.parametrize("record_id", [RECORD_ID, 100 * "r", "a", "!~", "a/b:c-d_e.f"])
def test_other_original_ids_are_accepted(record_id: str) -> None:
    """Apps upstream may choose other ids than those of SQS."""
    written = destinations({"to": TO})

    assert parse(written, record_id).messages[0].message_id == f"{record_id}-0"


# --- Accepted events -------------------------------------------------------------------------


def test_infobips_own_body_is_accepted() -> None:
    """JSON from Infobip's documentation works unchanged."""
    written = destinations(
        {"messageId": "m-1", "to": {"phoneNumber": PHONE, "pushRegistrationId": "r-1"}},
        {"to": {"emailAddress": "ana@acme.example"}},
        scenarioKey="D5B8D31D5B1D4A1B8B1D",
        bulkId="b-1",
        notify=True,
        notifyUrl="https://acme.example/reports",
        callbackData="order",
        sendAt="2026-02-01T12:00:00.000+0100",
        sms=SMS,
        email={"text": "<p>Hello</p>", "subject": "Hello"},
    )
    parsed = parse(written)

    assert [message.message_id for message in parsed.messages] == ["m-1", f"{RECORD_ID}-1"]
    assert parsed.messages[0].recipient == Recipient(phone_number=PHONE, push_registration_id="r-1")
    assert parsed.body.send_at == datetime(2026, 2, 1, 11, tzinfo=UTC)
    assert set(parsed.contents) == {Channel.PUSH, Channel.SMS, Channel.EMAIL}
    assert parsed.body.on_unknown is None


@pytest.mark.parametrize("name", KNOWN_EXAMPLES)
def test_known_examples_are_accepted_and_sent_as_they_stand(name: str) -> None:
    """JSON from the documents and from programs of others works unchanged."""
    example = KNOWN_EXAMPLES[name]

    parsed = parse(example)

    members = json.loads(f"{{{parsed.content}}}")
    members |= json.loads(f"{{{parsed.notify}}}")
    ours = {"destinations", "scenarioKey", "bulkId"}
    given = {name: value for name, value in example.items() if value is not None}
    assert members == {name: value for name, value in given.items() if name not in ours}


def test_single_recipient_needs_no_list_of_destinations() -> None:
    parsed = parse(event(messageId="m-1", scenario="Order updates", onUnknown="must-arrive"))

    (message,) = parsed.messages
    assert (message.message_id, message.recipient.phone_number) == ("m-1", PHONE)
    assert (parsed.body.scenario, parsed.body.on_unknown) == ("Order updates", "must-arrive")


@pytest.mark.parametrize(
    "written",
    [
        event(sendAt=(NOW + LONGEST_SEND_DELAY).isoformat()),
        event(sendAt="0001-01-01T00:00:00Z"),
        event(push={"text": 2000 * "é"}),
        event(sms={"text": 2000 * "é"}),
        event(to={"phoneNumber": "12345"}),
        event(to={"phoneNumber": 20 * "1"}),
        event(messageId=200 * "m"),
        event(callbackData=4000 * "c"),
        event(destinations=None, bulkId=None, scenario=None),
        destinations(*MOST_DESTINATIONS * [{"to": TO}]),
    ],
)
def test_values_at_limits_are_accepted(written: Json) -> None:
    assert parse(written).messages


# --- Ids -------------------------------------------------------------------------------------


def test_derived_ids_are_the_same_for_every_delivery_of_record() -> None:
    """A redelivered or redriven record finds the messages of its first delivery."""
    written = destinations({"to": TO}, {"to": TO, "messageId": "own"}, {"to": TO})
    first = [message.message_id for message in parse(written).messages]
    later = [message.message_id for message in parse(written, now=NOW + timedelta(days=9)).messages]
    other = [message.message_id for message in parse(written, "other-record").messages]

    assert first == later == [f"{RECORD_ID}-0", "own", f"{RECORD_ID}-2"]
    assert other == ["other-record-0", "own", "other-record-2"]


# --- The hash of the content -----------------------------------------------------------------


def test_content_hash_ignores_other_destinations_ids_and_policy() -> None:
    """They and the bulk may differ between an event and its repeat."""
    alone = destinations({"to": TO}, sms=SMS)
    same = [
        destinations({"to": TO, "messageId": "m-1"}, sms=SMS),
        destinations({"to": TO}, sms=SMS, bulkId="b-1"),
        destinations({"to": TO}, sms=SMS, onUnknown="must-arrive"),
        destinations({"to": TO}, {"to": {"phoneNumber": "385995550199"}}, sms=SMS),
        dict(reversed(destinations({"to": TO}, sms=SMS).items())),
        event(sms=SMS),
        event(sms=SMS, messageId="m-1"),
    ]

    assert {hashes(written)[0] for written in same} == set(hashes(alone))


@pytest.mark.parametrize(
    "changed",
    [
        event(push={"text": "Your parcel is on its way!"}),
        event(sms=SMS),
        event(push=PUSH | {"customPayload": {"a": 1}}),
        event(push=PUSH | {"validityPeriod": 5}),
        event(to={"phoneNumber": "385995550124"}),
        event(to=TO | {"pushRegistrationId": "r-1"}),
        event(to={"emailAddress": PHONE}),
        event(scenario="order-updates"),
        event(scenarioKey="order-updates"),
        event(sendAt="2026-02-01T12:00:00Z"),
        event(callbackData="c"),
        event(notify=False),
    ],
)
def test_other_content_or_recipient_has_other_hash(changed: Json) -> None:
    """An id that is used again for something else is a conflict."""
    assert hashes(changed) != hashes(event())


def test_hashes_of_earlier_versions_are_kept() -> None:
    """Their records are still in the queue, and their messages wait in the table.

    The digests were computed by version 0.1.0.
    """
    first = (
        '{"to": {"phoneNumber": "385995550123"}, "push": {"text": "Your parcel is on its way."}}'
    )
    second = (
        '{"scenario": "order-updates", "messageId": "m-1", "bulkId": "b-1", "destinations": null,'
        ' "onUnknown": "must-arrive",'
        ' "to": {"phoneNumber": "00385995550123", "emailAddress": null},'
        ' "push": {"text": "Gr\\u00fcezi \\ud83d\\ude00",'
        ' "customPayload": {"b": 1.10, "a": [1e3, null, true, "\\u00e9"]}},'
        ' "sms": {"text": "Gr\u00fcezi", "validityPeriod": 5}, "whatsApp": {"text": "x"},'
        ' "notify": false, "callbackData": null}'
    )
    third = (
        '{"destinations": [{"messageId": "m-1", "to": {"phoneNumber": "12345"}},'
        ' {"to": {"emailAddress": "Ana@ACME.example", "phoneNumber": "385995550124"}}],'
        ' "viber": {"text": "v"}, "sms": {"text": "s"}, "sendAt": "2026-02-01T12:00:00Z"}'
    )

    assert [
        message.content_hash
        for body in (first, second, third)
        for message in SendEvent.parse(body, RECORD_ID, NOW).messages
    ] == [
        "72f43d12f36e242deb059c2c1d9922396e4918d49873c30e7178f4fee583f1de",
        "6c3efb470e232a601b940b2c43edc84558dcba04fb52587576a21a9ae6c18b48",
        "397888b9af9b53535043ff74432fc0bab62d1215b4ba0d60a0b159053231fa7e",
        "ee083b0fbd0d841b8cfec12f640fc8bf1e1aa60cf679d49b202fb7f57b73278d",
    ]


def test_spelling_of_phone_number_makes_no_other_message() -> None:
    """A repeat is the same message, and Infobip gets the normal form."""
    spelled = parse(event(to={"phoneNumber": "\u202a+385 (99) 555-01.23\u202c"}))

    assert [message.content_hash for message in spelled.messages] == hashes(event())
    assert spelled.messages[0].recipient == Recipient(phone_number=PHONE)


LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
PAYLOADS = st.dictionaries(
    TEXTS,
    st.recursive(
        LEAVES | TEXTS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)
PHONES = st.from_regex(r"[1-9][0-9]{4,19}", fullmatch=True)


@given(PHONES, PAYLOADS, PHONES, PAYLOADS)
def test_hashes_are_equal_only_for_equal_recipient_and_content(
    phone: str, payload: Json, other_phone: str, other_payload: Json
) -> None:
    """Every difference counts, however deep in the event, and nothing else does."""
    one = event(to={"phoneNumber": phone}, push=PUSH | {"customPayload": payload})
    two = event(to={"phoneNumber": other_phone}, push=PUSH | {"customPayload": other_payload})

    written = [json.dumps(each, sort_keys=True) for each in (one, two)]
    assert (hashes(one) == hashes(two)) == (written[0] == written[1])


@given(PAYLOADS, st.randoms(use_true_random=False))
def test_order_of_members_does_not_matter(payload: Json, chance: Any) -> None:  # noqa: ANN401
    """Apps upstream serialize objects in any order."""

    def shuffled(value: object) -> object:
        if isinstance(value, list):
            return [shuffled(one) for one in value]
        if isinstance(value, dict):
            members = list(value.items())
            chance.shuffle(members)
            return {name: shuffled(one) for name, one in members}
        return value

    whole = event(push=PUSH | {"customPayload": payload}, sms=SMS)
    other = shuffled(whole)

    assert hashes(whole) == hashes(other)


@given(PAYLOADS, PAYLOADS)
def test_only_events_with_same_content_and_bulk_share_request(payload: Json, other: Json) -> None:
    """A request has one content, one scenario and one bulk for all of its destinations."""
    assume(json.dumps(payload, sort_keys=True) != json.dumps(other, sort_keys=True))
    one = event(push=PUSH | {"customPayload": payload})
    two = event(push=PUSH | {"customPayload": other})

    assert parse(one).content_key != parse(two).content_key
    assert parse(one).content_key != parse(one | {"bulkId": "b"}).content_key
    assert parse(one).content_key != parse(one | {"scenario": "s"}).content_key
    assert parse(one).content_key == parse(one | {"to": {"phoneNumber": "12345"}}).content_key
    reordered = dict(reversed(one.items()))
    assert parse(one).content_key == parse(reordered).content_key


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ('"customPayload": {"a": 1.10}', '"customPayload": {"a": 1.1}'),
        ('"customPayload": {"a": "\\u00fc"}', '"customPayload": {"a": "\u00fc"}'),
        ('"customPayload": {"a": 1, "b": 2}', '"customPayload": {"b": 2, "a": 1}'),
        ('"validityPeriod": 12', '"validityPeriod": "12"'),
    ],
)
def test_content_written_differently_is_sent_separately(one: str, two: str) -> None:
    """Each is sent as it was written."""
    bodies = [
        f'{{"to": {{"phoneNumber": "{PHONE}"}}, "push": {{"text": "a", {each}}}}}'
        for each in (one, two)
    ]
    first, second = (SendEvent.parse(body, RECORD_ID, NOW) for body in bodies)

    assert first.content_key != second.content_key


# --- Steps -----------------------------------------------------------------------------------


def test_contents_must_match_steps_of_scenario() -> None:
    """Infobip cannot run a step without content, and never uses content without a step."""
    parsed = parse(event(sms=SMS))
    parsed.check_flow([Channel.PUSH, Channel.SMS])
    parsed.check_flow([Channel.PUSH, Channel.SMS, Channel.SMS])

    with pytest.raises(InvalidEventError, match="viber: is required") as caught:
        parsed.check_flow([Channel.PUSH, Channel.SMS, Channel.VIBER])
    assert caught.value.field == "viber"
    with pytest.raises(InvalidEventError, match="sms: must be left out: the scenario"):
        parsed.check_flow([Channel.PUSH])


def test_validity_of_message_is_sum_of_steps() -> None:
    """A step without a validity period counts with the longest that Infobip allows."""
    seconds = PUSH | {"validityPeriod": 90, "validityPeriodTimeUnit": "SECONDS"}
    minutes = SMS | {"validityPeriod": 10}

    assert parse(event(push=seconds)).validity() == timedelta(seconds=90)
    assert parse(event(push=seconds, sms=minutes)).validity() == timedelta(seconds=690)
    assert parse(event(push=seconds, sms=SMS)).validity() == timedelta(hours=48, seconds=90)
    days = SMS | {"validityPeriod": 2**31 - 1, "validityPeriodTimeUnit": "DAYS"}
    assert parse(event(push=None, sms=days)).validity() == timedelta(hours=48)


@pytest.mark.parametrize(
    ("channel", "member", "to", "rule"),
    [
        (Channel.SMS, "sms", {"emailAddress": "a@b"}, "must hold phoneNumber"),
        (Channel.VOICE, "voice", {"pushRegistrationId": "r"}, "must hold phoneNumber"),
        (Channel.VIBER, "viber", {"whatsAppUserId": "DE.1"}, "must hold phoneNumber"),
        (Channel.WHATSAPP, "whatsApp", {"emailAddress": "a@b"},
         "must hold phoneNumber or whatsAppUserId"),
        (Channel.EMAIL, "email", TO, "must hold emailAddress"),
        (Channel.PUSH, "push", {"whatsAppUserId": "DE.1"},
         "must hold pushRegistrationId or phoneNumber or emailAddress"),
    ],
)  # fmt: skip
def test_recipient_needs_an_address_for_every_step(
    channel: Channel, member: str, to: Json, rule: str
) -> None:
    """One destination without it would make Infobip refuse the whole request."""
    text = {"push": None, member: {"text": "a"}}
    anyone = TO | {"emailAddress": "a@b"}
    error = f"{rule}: the scenario has a step for {channel}"

    single = parse(event(to=to, **text))
    with pytest.raises(InvalidEventError) as caught:
        single.check_flow([channel])
    assert (caught.value.field, caught.value.rule) == ("to", error)

    several = parse(destinations({"to": anyone}, {"to": to}, **text))
    with pytest.raises(InvalidEventError) as caught:
        several.check_flow([channel])
    assert (caught.value.field, caught.value.rule) == ("destinations[1].to", error)


@pytest.mark.parametrize(
    ("channel", "member", "to"),
    [
        (Channel.WHATSAPP, "whatsApp", {"whatsAppUserId": "DE.1"}),
        (Channel.PUSH, "push", {"emailAddress": "a@b"}),
        (Channel.PUSH, "push", {"pushRegistrationId": "r"}),
        (Channel.LINE, "line", {"pushRegistrationId": "r"}),
        (Channel.VKONTAKTE, "vKontakte", {"emailAddress": "a@b"}),
        (Channel.KAKAO_CHINGU, "kakaoChingu", {"whatsAppUserId": "KR.1"}),
    ],
)
def test_any_address_that_may_work_is_accepted(channel: Channel, member: str, to: Json) -> None:
    """The documents do not say which address some channels take."""
    parse(event(**({"push": None, "to": to, member: {"text": "a"}}))).check_flow([channel])


# --- Fields that this version does not know ---------------------------------------------------


def test_extra_members_are_sent_at_their_place() -> None:
    """What is in them is sent as it was written, and nothing of it is checked."""
    body = (
        f'{{"to": {{"phoneNumber": "{PHONE}"}},'
        ' "extra": {"urlOptions": {"a": 1.10}, "x": null},'
        ' "sms": {"text": "\\u0068i", "extra": {"fl\u00e4sh": "\\/", "b": [1e2]}},'
        ' "push": {"extra": {}, "text": "a"}, "email": {"text": "e", "extra": null}}'
    )

    parsed = SendEvent.parse(body, RECORD_ID, NOW)

    assert parsed.content == (
        '"email":{"text":"e"},"push":{"text":"a"},'
        '"sms":{"text":"\\u0068i","fl\u00e4sh":"\\/","b":[1e2]},"urlOptions":{"a": 1.10},"x":null'
    )


@pytest.mark.parametrize(
    ("written", "field", "rule"),
    [
        (event(extra=[]), "extra", "must be an object"),
        (event(extra="a"), "extra", "must be an object"),
        (event(push=PUSH | {"extra": 1}), "push.extra", "must be an object"),
        *(
            (event(extra={name: 1}), f"extra.{name}",
             "must not be in extra: it is a field that is checked")
            for name in ("scenarioKey", "bulkId", "destinations", "to", "scenario", "onUnknown",
                         "messageId", "sms", "kakaoAlim", "notifyUrl", "sendAt", "extra")
        ),
        (event(push=PUSH | {"extra": {"validityPeriod": 1}}), "push.extra.validityPeriod",
         "must not be in extra: it is a field that is checked"),
        (event(push=PUSH | {"extra": {"text": "b"}}), "push.extra.text",
         "must not be in extra: it is a field that is checked"),
        (event(push=PUSH | {"extra": {"extra": {}}}), "push.extra.extra",
         "must not be in extra: it is a field that is checked"),
    ],
)  # fmt: skip
def test_extra_holds_no_field_that_is_known(written: Json, field: str, rule: str) -> None:
    """A field that has rules cannot avoid them."""
    assert refusal(written) == (field, rule)


def test_extra_is_part_of_content() -> None:
    """An id that is used again with other extra fields is a conflict."""
    extra = {"a": 1}
    variants = [
        event(),
        event(extra=extra),
        event(extra={"a": 2}),
        event(push=PUSH | {"extra": extra}),
    ]

    assert len({hashes(each)[0] for each in variants}) == 4
    assert len({parse(each).content_key for each in variants}) == 4
