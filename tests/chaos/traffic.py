"""The events of a run, made up from its seed: all that upstream apps do, right or wrong."""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from .cloud import API_KEY, SCENARIO, WEBHOOK_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .cloud import Cloud

Json = dict[str, Any]

#: What no log line may hold: the phone numbers, texts, push registrations and keys of a run, and
#: the URLs that open its webhook.
_PHONE = "99907"
_TEXT = "canary-text"
_REGISTRATION = "canary-registration"
_WEBHOOK_PATH = r"reports/[^/\s]+/[\w-]{43}"
PERSONAL = re.compile(
    rf"{_PHONE}\d{{10}}|{_TEXT}|{_REGISTRATION}|{API_KEY}|{WEBHOOK_KEY}|{_WEBHOOK_PATH}"
)

MUST_ARRIVE = "must-arrive"
#: Last digits that tell the simulator how a message fares, and how often they come.
_FATES = {
    "1111": 50,
    "0002": 20,
    "0003": 5,
    "0004": 4,
    "0005": 8,
    "0006": 4,
    "0007": 6,
    "0008": 4,
    "0009": 4,
}
_CAMPAIGN_EVENTS = 40
_MOST_DESTINATIONS = 12
_MOST_REMEMBERED = 400
_FOREIGN_PER_THOUSAND = 24
_FEWEST_FOREIGN = 120
#: Kept for the end, when some crash points are only reached by one.
_KEPT_FOREIGN = 90
_EVENTS_PER_FEED = 20
#: What SQS takes at once.
_BATCH = 10


@dataclass(slots=True)
class Event:
    """One record of the send queue, and what the checks need to know of it."""

    kind: str
    body: str
    #: The ids of its messages; those without one get theirs when the record has its own.
    message_ids: list[str | None]
    must_arrive: bool = False
    #: Another content under the same id has another one.
    variant: str = ""
    record_id: str = ""

    def queued_as(self, record_id: str) -> None:
        """Take the id that SQS has given, and derive the missing ones from it."""
        self.record_id = record_id
        self.message_ids = [
            message_id or f"{record_id}-{position}"
            for position, message_id in enumerate(self.message_ids)
        ]


@dataclass(slots=True)
class Traffic:
    """An endless stream of events."""

    seed: int
    scenario_key: str
    foreign_ids: list[str]
    messages: int = 0
    _chance: random.Random = field(init=False)
    _events: int = field(init=False, default=0)
    _recipients: int = field(init=False, default=0)
    _earlier: list[Event] = field(init=False, default_factory=list)
    _foreign_left: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self._chance = random.Random(f"traffic {self.seed}")
        self._foreign_left = list(self.foreign_ids)

    def next(self) -> Event:
        """Make an event."""
        makers: dict[Callable[[], Event], float] = {
            self._single: 44,
            self._campaign: 17,
            self._several: 12,
            self._without_id: 6,
            self._by_key: 4,
            self._later: 2,
            self._poison: 4,
            self._foreign: 3,
            self._repeat: 5,
            self._conflict: 3,
        }
        (make,) = self._chance.choices(list(makers), list(makers.values()))
        return self._made(make())

    def foreign(self) -> Event:
        """Make an event with an id that another account has used, as long as there are any."""
        return self._made(self._foreign(kept=0))

    def _made(self, event: Event) -> Event:
        self._events += 1
        self.messages += len(event.message_ids)
        if event.kind not in ("poison", "repeat", "conflict", "foreign") and all(event.message_ids):
            self._earlier.append(event)
            del self._earlier[:-_MOST_REMEMBERED]
        return event

    def _single(self, **members: Any) -> Event:  # noqa: ANN401 (JSON)
        message_id = self._new_id()
        body = self._content() | {"messageId": message_id, "to": self._recipient()} | members
        return self._event("single", body, [message_id])

    def _campaign(self) -> Event:
        """Make one of many events with the same content, which may share a request."""
        number = self._events // _CAMPAIGN_EVENTS
        event = self._single(**self._texts(f"campaign {number}"))
        event.kind = "campaign"
        return event

    def _several(self) -> Event:
        ids = [self._new_id() for _ in range(self._chance.randint(2, _MOST_DESTINATIONS))]
        destinations = [{"messageId": each, "to": self._recipient()} for each in ids]
        return self._event("several", self._content() | {"destinations": destinations}, [*ids])

    def _without_id(self) -> Event:
        several = self._chance.random() < 0.5
        destinations = [{"to": self._recipient()} for _ in range(1 + several)]
        body = self._content() | {"destinations": destinations}
        return self._event("without id", body, [None] * len(destinations))

    def _by_key(self) -> Event:
        """Name the scenario by Infobip's key, so that its flow is unknown."""
        event = self._single()
        body = json.loads(event.body)
        del body["scenario"]
        event.body = json.dumps(body | {"scenarioKey": self.scenario_key})
        event.kind = "by key"
        return event

    def _later(self) -> Event:
        moment = datetime.now(UTC) + timedelta(seconds=self._chance.uniform(1, 6))
        event = self._single(sendAt=moment.isoformat(timespec="milliseconds"))
        event.kind = "later"
        return event

    def _foreign(self, kept: int = _KEPT_FOREIGN) -> Event:
        """Use an id under which another account has sent a message to another recipient."""
        if len(self._foreign_left) <= kept:
            return self._single()
        message_id = self._foreign_left.pop()
        body = self._content() | {"messageId": message_id, "to": self._recipient()}
        return self._event("foreign", body, [message_id])

    def _poison(self) -> Event:
        body = self._content() | {"messageId": self._new_id(), "to": self._recipient()}
        text = json.dumps(body)
        poisons = (
            text[:-1],
            json.dumps(body | {"unknown": _TEXT}),
            json.dumps(body | {"to": {"phoneNumber": "+" + _PHONE}}),
            json.dumps({name: value for name, value in body.items() if name != "sms"}),
            json.dumps(body | {"scenario": "no such scenario"}),
            json.dumps(body | {"push": {"text": 5}}),
        )
        return Event("poison", self._chance.choice(poisons), [])

    def _repeat(self) -> Event:
        """Queue an earlier event once more."""
        if not self._earlier:
            return self._single()
        earlier = self._chance.choice(self._earlier)
        return Event(
            "repeat", earlier.body, [*earlier.message_ids], earlier.must_arrive, earlier.variant
        )

    def _conflict(self) -> Event:
        """Use an id of an earlier event for other content."""
        if not self._earlier:
            return self._single()
        message_id = self._chance.choice(self._chance.choice(self._earlier).message_ids)
        texts = self._texts(f"conflict {self._events}")
        body = self._content() | texts | {"messageId": message_id, "to": self._recipient()}
        return self._event("conflict", body, [message_id])

    def _event(self, kind: str, body: Json, message_ids: list[str | None]) -> Event:
        must_arrive = self._chance.random() < 0.25
        if must_arrive:
            body |= {"onUnknown": MUST_ARRIVE}
        return Event(kind, json.dumps(body), message_ids, must_arrive, f"{self._events}")

    def _new_id(self) -> str:
        self._recipients += 1
        return f"chaos-{self.seed}-{self._recipients}"

    def _content(self) -> Json:
        return {"scenario": SCENARIO} | self._texts(f"event {self._events}")

    def _texts(self, about: str) -> Json:
        return {"push": {"text": f"{_TEXT} {about}"}, "sms": {"text": f"{_TEXT} {about}"}}

    def _recipient(self) -> Json:
        self._recipients += 1
        (fate,) = self._chance.choices(list(_FATES), list(_FATES.values()))
        to = {"phoneNumber": f"{_PHONE}{self._recipients:06d}{fate}"}
        if self._chance.random() < 0.3:
            to["pushRegistrationId"] = f"{_REGISTRATION}-{self._recipients}-{fate}"
        return to


class Upstream:
    """The apps that queue events.

    Args:
        traffic: What they queue.
        cloud: Holds the queue.
    """

    def __init__(self, traffic: Traffic, cloud: Cloud) -> None:
        self._traffic = traffic
        self._cloud = cloud
        #: What has been queued, in this order.
        self.events: list[Event] = []

    @property
    def queued(self) -> int:
        """How many messages the queued events hold."""
        return self._traffic.messages

    def feed(self) -> None:
        """Queue some events."""
        self._queue([self._traffic.next() for _ in range(_EVENTS_PER_FEED)])

    def feed_foreign(self) -> None:
        """Queue an event with an id that another account has used, as long as there are any."""
        self._queue([self._traffic.foreign()])

    def _queue(self, events: list[Event]) -> None:
        for start in range(0, len(events), _BATCH):
            batch = events[start : start + _BATCH]
            ids = self._cloud.queue([event.body for event in batch])
            for event, record_id in zip(batch, ids, strict=True):
                event.queued_as(record_id)
        self.events += events


def foreign_ids(seed: int, messages: int) -> list[str]:
    """Name the ids that another account is to have used."""
    count = max(_FEWEST_FOREIGN, messages * _FOREIGN_PER_THOUSAND // 1000)
    return [f"chaos-{seed}-foreign-{number}" for number in range(count)]


def foreign_requests(
    seed: int, messages: int, message_ids: list[str], scenario_key: str
) -> Iterator[Json]:
    """Build the requests of another account, whose reports come to us while the run lasts.

    Args:
        seed: Decides when they are sent.
        messages: How many the run queues, and so how long it lasts.
        message_ids: The ids that they use.
        scenario_key: Infobip's key of the scenario that they use.
    """
    chance = random.Random(f"foreign {seed}")
    longest = min(60.0, 5.0 + messages / 100)
    for message_id in message_ids:
        send_at = datetime.now(UTC) + timedelta(seconds=chance.uniform(0, longest))
        to = {"phoneNumber": f"{_PHONE}9999990005"}
        yield {
            "destinations": [{"messageId": message_id, "to": to}],
            "scenarioKey": scenario_key,
            "sms": {"text": _TEXT},
            "push": {"text": _TEXT},
            "sendAt": send_at.isoformat(timespec="milliseconds"),
        }
