"""The arguments of ``fttui export-command``."""

from argparse import ArgumentParser, ArgumentTypeError


def export_command_arguments(parser: ArgumentParser) -> None:
    """Declare what stands behind ``fttui export-command``."""
    parser.add_argument("config", metavar="CONFIG", help="the configuration, a YAML file")
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="overrule a value; may be given many times",
    )
    parser.add_argument("--hosts", metavar="N", type=_hosts, default=1, help="number of hosts (default: 1)")
    parser.add_argument(
        "--master", metavar="ADDRESS[:PORT]", default="", help="where the first host is reached"
    )


def _hosts(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 10_000):
        raise ArgumentTypeError(f"{text!r} is no number of hosts")
    return int(text)
