"""The arguments of ``start``, ``resume``, ``ls`` and ``sweep`` that concern the queue."""

from argparse import ArgumentParser, ArgumentTypeError


def start_arguments(parser: ArgumentParser) -> None:
    """Declare how a run is queued; any of these queues it."""
    group = parser.add_argument_group("queue")
    group.add_argument("--queue", action="store_true", help="wait in the queue until its GPUs are free")
    group.add_argument(
        "--after",
        metavar="RUN",
        action="append",
        default=[],
        help="wait until RUN has finished; may be repeated",
    )
    group.add_argument(
        "--priority", metavar="N", type=_priority, help="-100 to 100; the highest of your own runs goes first"
    )
    group.add_argument(
        "--backfill", action="store_true", help="pass runs that wait for more GPUs than are free"
    )
    group.add_argument(
        "--sweep",
        metavar="KEY=A,B",
        action="append",
        default=[],
        help="queue one run per value; repeated: every combination",
    )


def list_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments of ``ls``."""
    parser.add_argument("--sweep", metavar="NAME", help="only the runs of this sweep")
    parser.add_argument("--json", action="store_true", help="print JSON, a documented, stable interface")


def sweep_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments of ``sweep``."""
    parser.add_argument("sweep", metavar="NAME", nargs="?", help="the sweep (default: list all sweeps)")
    parser.add_argument("--json", action="store_true", help="print JSON, a documented, stable interface")


def _priority(text: str) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and int(digits) <= 100):
        raise ArgumentTypeError(f"{text!r} is no whole number from -100 to 100")
    return int(text)
