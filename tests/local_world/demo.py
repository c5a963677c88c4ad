"""`make demo`: the main job on this machine, with the deployed template and functions.

Messages go through the queue to Infobip's simulator. Some pushes fail over to SMS, one answer is
lost on the way, and one event is invalid. The table at the end is read from DynamoDB.
The exit code is 0 only if every message came out as its scenario says.
"""

from __future__ import annotations

import signal
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infobip_omni.observability import masked
from tests.progress import Progress

from .world import FunctionFailedError, StartStep, World, wait_until

if TYPE_CHECKING:
    from .world import Json

SCENARIO: Json = {
    "name": "Order updates",
    "flow": [
        {"from": "demo-app", "channel": "PUSH"},
        {"from": "Acme", "channel": "SMS"},
    ],
}
_SECONDS_TO_SETTLE = 60
#: How many steps the main job has once the local world is ready.
_STEPS = 3


@dataclass(frozen=True)
class Case:
    """A message, and its expected outcome."""

    message_id: str
    phone_number: str
    story: str
    channel: str | None
    state: str
    acceptances: int = 1

    def event(self) -> Json:
        """Return the event for the send queue.

        Each has a text of its own: messages with the same text could share one request, and so the
        answer that is lost.
        """
        return {
            "scenario": "order-updates",
            "messageId": self.message_id,
            "to": {"phoneNumber": self.phone_number},
            "push": {"text": f"Your {self.message_id} is on its way."},
            "sms": {"text": f"Acme: your {self.message_id} is on its way."},
        }


#: The last four digits of a phone number select the outcome in the simulator.
CASES = (
    Case("parcel-1", "385915550101", "the push arrives", "PUSH", "DELIVERED"),
    Case("parcel-2", "385915550002", "the push fails, the SMS arrives", "SMS", "DELIVERED"),
    Case("parcel-3", "385915550003", "both the push and the SMS fail", "SMS", "UNDELIVERED"),
    Case("parcel-4", "385915550004", "Infobip refuses the recipient", None, "REJECTED", 0),
    Case("parcel-5", "385915550105", "queued twice, sent once", "PUSH", "DELIVERED"),
    Case("parcel-6", "385915550106", "Infobip's answer is lost, sent once", "PUSH", "DELIVERED"),
)
WRONG_EVENT = CASES[0].event() | {"to": {"phoneNumber": "091 555 0107"}}


def run(world: World, progress: Progress) -> bool:
    """Run the main job, print the outcome, and return whether it is as expected."""
    with progress.step("Create a scenario: PUSH, then SMS"):
        scenario = world.invoke("CreateScenarioFunctionName", SCENARIO)
        world.invoke("CreateScenarioFunctionName", SCENARIO)  # changes nothing
    world.simulator.add_fault("send_advanced", "reset_after", messageIds=["parcel-6"])
    with progress.step(
        f"Put {len(CASES) + 2} records on the send queue, and wait until they are sent"
    ):
        for case in CASES:
            world.put_message(case.event())
        world.put_message(WRONG_EVENT)
        wait_until(
            lambda: _are_sent(world), _SECONDS_TO_SETTLE, "all records are sent or dead-lettered"
        )
        world.put_message(CASES[4].event())
    with progress.step("Pull the delivery reports, and look in Infobip's logs for the lost answer"):
        wait_until(lambda: _are_settled(world), _SECONDS_TO_SETTLE, "all messages are settled")
        wait_until(lambda: world.waiting() == 0, _SECONDS_TO_SETTLE, "the send queue is empty")
    return _show(world, scenario["parameter"])


def _are_sent(world: World) -> bool:
    _run_schedules(world)
    items = [world.message(case.message_id) for case in CASES]
    handled = all(item is not None and item["state"] != "CLAIMED" for item in items)
    return handled and len(world.dead_lettered_records()) == 1


def _are_settled(world: World) -> bool:
    _run_schedules(world)
    return all(_outcome(world, case)["state"] == case.state for case in CASES)


def _run_schedules(world: World) -> None:
    """Invoke the functions that schedules invoke, since their next time may be minutes away."""
    world.invoke("ReconcileMessagesFunctionName", {})
    world.invoke("PullDeliveryReportsFunctionName", {})


def _outcome(world: World, case: Case) -> Json:
    return world.message(case.message_id) or {"state": "-"}


def _show(world: World, parameter: str) -> bool:
    truth = {entry["messageId"]: entry["acceptances"] for entry in world.simulator.messages()}
    items = [_outcome(world, case) for case in CASES]
    right = [
        (item["state"], item.get("channel"), truth.get(case.message_id, 0))
        == (case.state, case.channel, case.acceptances)
        for case, item in zip(CASES, items, strict=True)
    ]
    rows = [("MESSAGE", "RECIPIENT", "CHANNEL", "STATE", "PRICE", "SENT", "WHAT HAPPENS")]
    rows += [
        (
            case.message_id,
            masked(case.phone_number),
            item.get("channel", "-"),
            item["state"],
            _price(item),
            f"{truth.get(case.message_id, 0)}x",
            case.story if is_right else f"NOT AS EXPECTED: {case.story}",
        )
        for case, item, is_right in zip(CASES, items, right, strict=True)
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    _print("")
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        _print("  ".join(cells).rstrip())
    records = world.dead_lettered_records()
    _print("\nIn the dead-letter queue, each with its reason:")
    for record in records:
        attributes = record["attributes"]
        _print(f"  {attributes['reason']}: {attributes['field']} {attributes['rule']}")
    _show_totals(items, len(records), world)
    _print(f"\nThe scenario is registered in SSM as {parameter}.")
    fields = [record["attributes"].get("field") for record in records]
    return all(right) and fields == ["to.phoneNumber"]


def _show_totals(items: list[Json], dead_lettered: int, world: World) -> None:
    by_state: dict[str, int] = {}
    for item in items:
        by_state[item["state"]] = by_state.get(item["state"], 0) + 1
    counted = ", ".join(f"{count} {state}" for state, count in sorted(by_state.items()))
    cost = sum(float(item["price"]["pricePerMessage"]) for item in items if "price" in item)
    totals = world.simulator.totals()
    _print(f"\nTotals: {counted}; {dead_lettered} dead-lettered; {cost:.2f} EUR.")
    _print(f"Infobip accepted {totals['acceptances']} messages, each once.")


def _price(item: Json) -> str:
    price = item.get("price")
    return f"{price['pricePerMessage']:.2f} {price['currency']}" if price else "-"


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _stop(*_: Any) -> None:  # noqa: ANN401 (a signal handler's arguments)
    sys.exit("stopped")


def main() -> None:
    signal.signal(signal.SIGTERM, _stop)
    # By default the first log query would come after ten minutes.
    parameters = {"ReconcileAfterSeconds": 1}
    progress = Progress(steps=len(StartStep) + _STEPS)
    try:
        with ExitStack() as exits:
            world = World(deploy="sam", parameters=parameters)
            world.during = progress.step
            right = run(exits.enter_context(world), progress)
    except KeyboardInterrupt:
        sys.exit("stopped")
    except TimeoutError as error:
        sys.exit(f"{error}. Is this machine busy? Then run `make demo` again.")
    except (RuntimeError, FunctionFailedError) as error:  # the text says what failed
        sys.exit(str(error))
    if not right:
        sys.exit("Some messages did not come out as their scenario says: see NOT AS EXPECTED.")
    _print("All messages came out as their scenario says.")


if __name__ == "__main__":
    main()
