"""The arguments of ``fttui nodes``."""

from argparse import ArgumentParser, ArgumentTypeError

ACTIONS = ("probe", "check", "add", "trust", "login", "rm", "start", "runs", "stop", "resume")


def nodes_arguments(parser: ArgumentParser) -> None:
    """Declare what stands behind ``fttui nodes``."""
    parser.add_argument(
        "action",
        metavar="ACTION",
        nargs="?",
        choices=ACTIONS,
        help="probe: what they have; check: whether they can train together; add, trust, login, rm; start, runs, stop, resume: runs over several (default: list)",
    )
    parser.add_argument(
        "names", metavar="MACHINE", nargs="*", help="machines by their names for ssh (default: all)"
    )
    parser.add_argument(
        "--nodes", metavar="FILE", help="the inventory (default: nodes.yaml beside config.yaml)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, a documented, stable interface")
    check = parser.add_argument_group("check")
    check.add_argument(
        "--config", metavar="CONFIG", help="look for its model and data too, and at memory and disk"
    )
    check.add_argument(
        "--sync", action="store_true", help="copy what is missing into the machines' scratch folders"
    )
    check.add_argument("--port", metavar="N", type=_port, help="where the ranks meet (default: 29500)")
    together = parser.add_argument_group("start, stop and resume")
    together.add_argument("--name", metavar="N", help="name of the run (default: that of its file)")
    together.add_argument("--run", metavar="RUN", help="the run to stop or resume, by its whole id")
    together.add_argument("--now", action="store_true", help="kill it at once")
    add = parser.add_argument_group("add")
    add.add_argument(
        "--from-ssh-config", action="store_true", help="add every host of ~/.ssh/config that answers"
    )
    add.add_argument("--python", metavar="P", help="the Python there that trains")
    add.add_argument("--scratch", metavar="DIR", help="the only folder there that anything is copied to")
    trust = parser.add_argument_group("trust")
    # So that names may stand behind options too.
    parser.parse_args = parser.parse_intermixed_args  # type: ignore[method-assign]
    trust.add_argument(
        "--fingerprint", metavar="SHA256:...", help="trust it without asking if this is its key"
    )


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1024 <= int(text[:9]) <= 65535):
        raise ArgumentTypeError(f"{text!r} is no port from 1024 to 65535")
    return int(text)
