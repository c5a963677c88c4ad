"""Simulates one account of Infobip's OMNI failover API on this machine.

It answers the seven documented operations (scenarios, advanced, reports, logs) from a state that
it keeps in memory, lets messages walk their scenario in a time that can be advanced, and fails on
purpose when told to.

It does NOT send anything to anybody, know an Infobip account, keep anything on disk, speak TLS or
XML, take tokens (IBSSO, Bearer), or check the shapes of rich content. Where Infobip's documents
are silent it picks one behaviour; settings offer some of the others. Prices, networks and delays
are invented.

Reports of a send with a notifyUrl are pushed there, over plain HTTP and only to this machine:
another host is called where --resolve says, or counts as one that does not answer. What is not
answered with 2xx is pushed again after 1, 2, 5, 10, ... minutes, which advancing the clock
shortens. The setting pushedReports tells whether such reports can be taken as well.

Control interface, JSON without credentials:

  GET    /_control/health
  POST   /_control/reset                  everything back to the start
  GET    /_control/settings               PUT changes the given members
  GET    /_control/credentials            PUT: apiKey, username, password, scopes
  PUT    /_control/recipients/{address}   {"PUSH": outcome, "*": outcome} or {"refuse": status}
  PUT    /_control/channels/{channel}     {"outcome": outcome}; DELETE forgets either rule
  POST   /_control/faults                 {"operation", "kind", "times", ...}; GET lists them
  DELETE /_control/faults[/{id}]
  GET    /_control/messages               what truly became of each message
  GET    /_control/totals
  GET    /_control/requests?operation=    the last requests
  POST   /_control/clock                  {"advanceSeconds": n}
  POST   /_control/seen                   {"messageId"}: its recipient sees it now
  GET    /_control/pushes                 the last calls to notifyUrls

An outcome is the name of a status from group 2 up, or "silent". Magic recipients stand in
state.py, kinds of fault in faults.py.
"""

from __future__ import annotations

import argparse
import ipaddress
import signal
import sys

from .routes import Credentials, Server, Simulator
from .state import Settings
from .webhooks import Resolver, resolution


def _loopback(host: str) -> str:
    """Accept only addresses that no other machine can reach: control needs no credentials."""
    address = "127.0.0.1" if host == "localhost" else host
    if not ipaddress.IPv4Address(address).is_loopback:
        raise ValueError(host)
    return address


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.local_world.infobip_simulator",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    initial = Settings()
    parser.add_argument("--port", type=int, required=True, help="0 picks a free one")
    parser.add_argument("--host", type=_loopback, default="127.0.0.1", help="loopback only")
    parser.add_argument("--api-key", default=Credentials().api_key)
    parser.add_argument("--username", default="", help="without it nobody gets in by Basic")
    parser.add_argument("--password", default="")
    for option, default, text in (
        ("--report-delay", initial.report_delay_seconds, "seconds from a step's end to its report"),
        ("--step-seconds", initial.step_seconds, "seconds from a step's start to its outcome"),
        ("--log-lag", initial.log_lag_seconds, "seconds from acceptance to the logs"),
    ):
        parser.add_argument(option, type=float, default=default, metavar="SECONDS", help=text)
    parser.add_argument(
        "--resolve",
        action="append",
        type=resolution,
        default=[],
        metavar="HOST=ADDRESS:PORT",
        help="where on this machine the host of a notifyUrl is; .HOST is any host that ends so",
    )
    parser.add_argument("--verbose", action="store_true", help="print a line for each call")
    return parser.parse_args()


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
    with Server(
        (arguments.host, arguments.port),
        simulator,
        verbose=arguments.verbose,
        resolver=Resolver(arguments.resolve),
    ) as server:
        host, port = server.socket.getsockname()
        sys.stdout.write(f"infobip simulator ready on http://{host}:{port}\n")
        sys.stdout.flush()
        server.serve_forever()


if __name__ == "__main__":
    main()
