"""Simulates one account of Infobip's OMNI failover API on this machine.

It answers the seven documented operations (scenarios, advanced, reports, logs) from a state in
memory, moves messages through their scenario by a clock that can be advanced, and injects faults
on request.

It does NOT send messages, use an Infobip account, store anything on disk, speak TLS or XML, accept
tokens (IBSSO, Bearer), or look at the files that a message links to. Where Infobip's documents are
silent, it has one behaviour, and settings offer some of the others. Prices, networks, delays and
the names of contacts are invented.

It checks requests against the structure in Infobip's OpenAPI document, for all ten channels, and
answers 400 with all broken rules. What the document leaves to the channel is rejected there, so the
next step follows: a push of over 4,000 characters, or an SMS of over 25 parts or 4,000 bytes.

Reports of a send with a notifyUrl are pushed there, over plain HTTP and only to this machine. Any
other host counts as one that does not answer, unless --resolve gives it an address, and so does the
simulator itself. A push that is not answered with 2xx is repeated after 1, 2, 5, 10, ... minutes;
advancing the clock shortens these. The setting pushedReports says whether GET /omni/1/reports
returns such reports, too.

Control interface (JSON, no credentials):

  GET    /_control/health
  POST   /_control/reset                  restores the state at the start
  GET    /_control/settings               PUT changes the given members
  GET    /_control/credentials            PUT: apiKey, username, password, scopes
  PUT    /_control/recipients/{address}   {"PUSH": outcome, "*": outcome} or {"refuse": status};
                                          the status BAD_REQUEST refuses the whole request with 400.
                                          Also "stepSeconds", of each step for this recipient, and
                                          "opensAfterSeconds", from a delivery until they open it
  PUT    /_control/channels/{channel}     {"outcome": outcome}; DELETE removes either rule, and
                                          GET returns that of a recipient, or {}
  POST   /_control/faults                 {"operation", "kind", "times", "lastsSeconds", ...};
                                          GET lists them, with "secondsLeft"
  DELETE /_control/faults[/{id}]
  GET    /_control/messages               the true course of each message: {"messages", "total",
                                          "truncated"}; ?limit= (1000) and ?offset= select a page,
                                          ?messageId= selects messages, without a limit
  GET    /_control/changes                the messages that changed after the change ?after= (0),
                                          ?limit= (500) at most, oldest change first: {"account",
                                          "cursor", "more", "now", "messages"}; ask again after the
                                          cursor, and from 0 if a reset has changed the account
  GET    /_control/totals
  GET    /_control/requests?operation=    the last 1000 requests of each operation; ?messageId=
                                          selects those that name a message
  POST   /_control/clock                  {"advanceSeconds": n}
  POST   /_control/seen                   {"messageId"}: its recipient opens now what was delivered;
                                          a notifyUrl gets a report
  GET    /_control/pushes                 the last 1000 calls to notifyUrls

Calls that it does not accept are answered with 4xx, and each wrong member with its rule. A body has
at most 10 MiB and at most 100 levels; a time is at most 366 days, and the clock can be advanced by
at most 36600 days.

An outcome is "silent", or the name of a status of group 2 or higher. rules.py lists the magic
recipients, statuses.py the statuses, and faults.py the kinds of fault.

Settings, with their values at the start:

  stepSeconds = 0.2                    from the start of a step to its outcome
  defaultValiditySeconds = 60.0        of a step whose content has none
  reportDelaySeconds = 0.0             from the end of a step to its report
  logLagSeconds = 0.0                  from the acceptance of a message to its log rows
  intermediateStepReports = true       whether failed steps before the last are reported
  pushedReports = "push-only"          or "both": whether pushed reports can also be pulled
  pushRetries = 20                     of a push that is not answered with 2xx
  pushMinuteSeconds = 60.0             the length of a minute of the waits between them
  pushBucketSize = 1                   the reports that one push holds at most
  duplicateIds = "send-twice"          or "refuse"
  refuseAll = ""                       the status by which every destination is refused
  refusedRows = "none"                 or "logs", "reports", "both": what refused destinations have
  refusedIds = "free"                  or "used", where repeated ids are refused
  acceptedStatus = "PENDING_ENROUTE"   or "PENDING_ACCEPTED", "MESSAGE_ACCEPTED"
  errorEnvelope = "legacy"             or "newer", which has violations; or "E429", which is "newer"
                                       for status 429 only
  statusForm = "full"                  or the parts that statuses have: "group", "group-id",
                                       "group-name", "id", "name"; or "other-names", like "Pending"
  statusFormIn = "everywhere"          or "answers", "reports", "logs": where statusForm applies
  missingAddress = "fail-step"         or "refuse-request", of a destination that a step cannot use
  inboxTopics = []                     the topics of the app's inbox; if empty, any topic exists
  magicRecipients = true               whether the last digits of an address decide its outcomes
  logLists = "all"                     or how else a list of ids is read: log_lists.py has the ways
  logListLength = 50                   the n of some ways
  throttleMinuteSeconds = 60.0         how long each minute of the throttles lasts
  throttles = {...}                    calls per minute or 10 minutes, by operation; 0 is no limit
"""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
import threading
from contextlib import ExitStack
from ipaddress import AddressValueError, IPv4Address, IPv4Interface, IPv4Network
from typing import TYPE_CHECKING

from .errors import LONGEST_SECONDS
from .routes import Credentials, Server, Simulator
from .state import Settings
from .webhooks import Resolver, resolution

if TYPE_CHECKING:
    from .webhooks import Place

#: What to do if an address cannot be listened on, by the error's number.
_LISTEN_RULES = {
    errno.EACCES: "ports below 1024 need root, so give another --port",
    errno.EADDRINUSE: "the port is taken, so give another --port, or 0 for a free one",
    errno.EADDRNOTAVAIL: "this machine does not have the address",
}
#: Addresses that no router of the Internet forwards (RFC 1918).
_PRIVATE = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))


def _ipv4(text: str) -> IPv4Address | None:
    try:
        return IPv4Address("127.0.0.1" if text == "localhost" else text)
    except AddressValueError:
        return None


def _loopback(text: str) -> str:
    """Return an address that no other machine can reach, since control needs no credentials."""
    address = _ipv4(text)
    if address is None or not address.is_loopback:
        raise argparse.ArgumentTypeError(
            f"must be an IPv4 loopback address, such as 127.0.0.1, not {text!r}: the control"
            " interface needs no credentials, so no other machine may reach it"
        )
    return str(address)


def _bridge(text: str) -> IPv4Interface:
    """Return an address of this machine with the network that may call there."""
    try:
        interface = IPv4Interface(text)
    except ValueError:
        interface = None
    if interface is None or not (
        interface.is_loopback or any(interface.network.subnet_of(each) for each in _PRIVATE)
    ):
        raise argparse.ArgumentTypeError(
            "must be a loopback address or a private one of this machine (RFC 1918), with the"
            f" network that may call there, such as 172.17.0.1/16, not {text!r}"
        )
    return interface


def _port(text: str) -> int:
    if not text.isdecimal() or len(text) > len("65535") or int(text) not in range(65536):
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 65535, not {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds <= LONGEST_SECONDS:
        raise argparse.ArgumentTypeError(
            f"must be a number of seconds from 0 to {LONGEST_SECONDS}, not {text!r}"
        )
    return seconds


def _resolution(text: str) -> tuple[str, Place]:
    try:
        return resolution(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"must be HOST=ADDRESS:PORT with a loopback address, not {text!r}"
        ) from None


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.local_world.infobip_simulator",
        usage="%(prog)s --port PORT [options]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    initial = Settings()
    parser.add_argument("--port", type=_port, required=True, help="0 picks a free one")
    parser.add_argument("--host", type=_loopback, default="127.0.0.1", help="loopback only")
    parser.add_argument(
        "--also-on",
        action="append",
        type=_bridge,
        default=[],
        metavar="ADDRESS/BITS",
        help="also serve the API, without the control interface, on this loopback or private"
        " address of the machine, such as that of a bridge for containers, on the same port,"
        " to callers of its network; can be repeated",
    )
    parser.add_argument("--api-key", default=Credentials().api_key)
    parser.add_argument("--username", default="", help="without it the Basic scheme is refused")
    parser.add_argument("--password", default="")
    for option, default, text in (
        ("--report-delay", initial.report_delay_seconds, "seconds from a step's end to its report"),
        ("--step-seconds", initial.step_seconds, "seconds from a step's start to its outcome"),
        ("--log-lag", initial.log_lag_seconds, "seconds from acceptance to the logs"),
    ):
        parser.add_argument(option, type=_seconds, default=default, metavar="SECONDS", help=text)
    parser.add_argument(
        "--resolve",
        action="append",
        type=_resolution,
        default=[],
        metavar="HOST=ADDRESS:PORT",
        help="the address on this machine of the host of a notifyUrl; .HOST matches its subdomains",
    )
    parser.add_argument("--verbose", action="store_true", help="print a line for each call")
    parser.add_argument(
        "--until-stdin-closes",
        action="store_true",
        help="end with the process that holds the other end of standard input",
    )
    arguments = parser.parse_args()
    addresses = {arguments.host, *(str(each.ip) for each in arguments.also_on)}
    if len(addresses) <= len(arguments.also_on):
        parser.error("--also-on: an address is named twice")
    return arguments


def _end_with_parent() -> None:
    """Exit when standard input is closed, which the end of the parent process does."""
    # Not through sys.stdin: this thread would hold its lock when the process ends.
    while os.read(0, 1024):
        pass
    os._exit(0)


def _listen(
    host: str, port: int, simulator: Simulator, *, verbose: bool, callers: IPv4Network | None = None
) -> Server:
    try:
        return Server((host, port), simulator, verbose=verbose, callers=callers)
    except OSError as error:
        rule = _LISTEN_RULES.get(error.errno or 0, "check address and port")
        sys.exit(f"the simulator cannot listen on {host}:{port}: {rule}")


def main() -> None:
    """Serve until a signal ends the process."""
    arguments = _arguments()
    simulator = Simulator(
        Credentials(arguments.api_key, arguments.username, arguments.password),
        Settings(
            report_delay_seconds=arguments.report_delay,
            step_seconds=arguments.step_seconds,
            log_lag_seconds=arguments.log_lag,
        ),
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    if arguments.until_stdin_closes:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    with ExitStack() as exits:

        def listen(host: str, port: int, callers: IPv4Network | None = None) -> Server:
            return exits.enter_context(
                _listen(host, port, simulator, verbose=arguments.verbose, callers=callers)
            )

        server = listen(arguments.host, arguments.port)
        host, port = server.socket.getsockname()
        others = [listen(str(each.ip), port, each.network) for each in arguments.also_on]
        for other in others:
            threading.Thread(target=other.serve_forever, daemon=True).start()
        resolver = Resolver(arguments.resolve, port)
        threading.Thread(target=simulator.push_forever, args=(resolver,), daemon=True).start()
        # Parent processes read the first line only.
        lines = [f"infobip simulator ready on http://{host}:{port}"]
        lines += [f"also on http://{each.ip}:{port}, without control" for each in arguments.also_on]
        sys.stdout.write("\n".join([*lines, ""]))
        sys.stdout.flush()
        server.serve_forever()


if __name__ == "__main__":
    main()
