"""The arguments of the verbs that do something to a run or wait for it."""

from argparse import ArgumentParser, ArgumentTypeError

from fttui.cli.arguments import count, json_argument, run_argument


def logs_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments of ``logs``."""
    run_argument(parser)
    parser.add_argument("-f", "--follow", action="store_true", help="print what is added, until the run ends")
    parser.add_argument(
        "-n",
        "--lines",
        metavar="N",
        type=count,
        default=None,
        help="the last N lines (default: all; 10 with -f)",
    )
    parser.add_argument("--rank", metavar="R", type=count, default=0, help="log of this rank")
    parser.add_argument("--attempt", metavar="A", type=count, default=None, help="log of this attempt")


def stop_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments of ``stop``."""
    run_argument(parser)
    json_argument(parser)
    parser.add_argument(
        "--now", action="store_true", help="kill at once; steps since the last checkpoint are lost"
    )


def resume_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments of ``resume``."""
    run_argument(parser)
    json_argument(parser)
    parser.add_argument("--from", dest="step", metavar="STEP", type=count, help="go back to this checkpoint")
    scale = parser.add_mutually_exclusive_group()
    scale.add_argument(
        "--queue", action="store_true", help="wait in the queue for as many free GPUs as it had"
    )
    scale.add_argument("--gpus", metavar="G", type=_gpus, help="go on with so many GPUs, or with these: 0,1")
    scale.add_argument(
        "--processes", metavar="N", type=_processes, help="go on with so many processes on the CPU"
    )


def wait_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments of ``wait``."""
    run_argument(parser)
    json_argument(parser)
    parser.add_argument(
        "--timeout", metavar="S", type=_seconds, help="give up after S seconds, with exit code 1"
    )


def remove_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments of ``rm``."""
    run_argument(parser)
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def _processes(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


def _gpus(text: str) -> "int | tuple[int, ...]":
    """Return a number of GPUs, or the indices of those that are named with commas."""
    words = text.split(",")
    if not all(word.isascii() and word.isdigit() for word in words) or text.strip("0") == "":
        raise ArgumentTypeError(f"{text!r} is neither a number of GPUs nor a list such as 0,1")
    return int(text) if len(words) == 1 else tuple(int(word) for word in words)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    # Not `value < 0`, which is False for nan.
    if not value >= 0:
        raise ArgumentTypeError(f"{text!r} is no number of seconds")
    return value
