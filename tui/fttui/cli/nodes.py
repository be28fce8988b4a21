"""``fttui nodes``: the machines of the inventory, what they have, and whether they can train together."""

import json
import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from fttui_engine.errors import ExitCode, FttuiError, WrongRequestError
from fttui_engine.nodes.inventory import Machine, choose, inventory_path, read_inventory
from fttui_engine.runs.logs import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fttui_engine.nodes.ssh import MachineError
    from fttui_engine.nodes.trust import HostKey


def run(args: Namespace) -> int:
    """Do what the action says; without one, list the machines."""
    path = Path(args.nodes) if args.nodes else inventory_path()
    if args.nodes and not path.exists() and args.action != "add":
        raise WrongRequestError(
            f"{path}: there is no such file", "fttui nodes --nodes FILE add NAME begins one"
        )
    if args.action is None:
        return _list(path, args)
    actions: dict[str, Callable[[Path, Namespace], int]] = {
        "probe": _probe,
        "check": _check,
        "add": _add,
        "trust": _trust,
        "login": _login,
        "rm": _remove,
        **dict.fromkeys(("start", "runs", "stop", "resume"), _together),
    }
    return actions[args.action](path, args)


def _list(path: Path, args: Namespace) -> int:
    machines = read_inventory(path)
    if args.json:
        print(json.dumps([machine._asdict() for machine in machines], indent=1))
    elif not machines:
        print(one_line(f"No machines in {path}."))
        print("fttui nodes add NAME adds one, by its name for ssh; --from-ssh-config adds all that answer.")
    else:
        rows = [("NAME", "ADDRESS", "INTERFACE", "GPUS", "PYTHON", "SCRATCH")]
        rows += [
            (
                machine.name,
                machine.addr or "",
                machine.interface or "",
                "all" if machine.gpus is None else ",".join(map(str, machine.gpus)) or "none",
                machine.python or "python3",
                machine.scratch or "",
            )
            for machine in machines
        ]
        _print_table(rows)
    return ExitCode.DONE


def _chosen(path: Path, names: list[str]) -> list[Machine]:
    machines = choose(read_inventory(path), names)
    if not machines:
        raise WrongRequestError(f"there are no machines in {path}", "fttui nodes add NAME adds one")
    return machines


def _probe(path: Path, args: Namespace) -> int:
    from fttui.cli.nodes_words import probe_rows
    from fttui_engine.nodes.facts import learn
    from fttui_engine.nodes.talks import Talks

    machines = _chosen(path, args.names)
    with Talks(machines) as talks:
        learned = talks.each(learn)
    if args.json:
        answers = [
            {
                "name": machine.name,
                "trouble": _trouble(talks.broken.get(machine.name)),
                "facts": learned[machine.name].to_json() if machine.name in learned else None,
            }
            for machine in machines
        ]
        print(json.dumps(answers, indent=1))
    else:
        if learned:
            _print_table(probe_rows(list(learned.values())))
        for error in talks.broken.values():
            print(one_line(error.message))
            print(one_line(f"  -> {error.hint}"))
    return ExitCode.FAILED if talks.broken else ExitCode.DONE


def _trouble(error: "MachineError | None") -> dict[str, str] | None:
    return None if error is None else {"kind": error.kind, "text": error.message, "fix": error.hint}


def _check(path: Path, args: Namespace) -> int:
    from fttui.cli.nodes_words import print_report
    from fttui_engine.nodes.preflight import MASTER_PORT, NO_DEMANDS, demands_of, preflight
    from fttui_engine.nodes.talks import Talks

    machines = _chosen(path, args.names)
    demands = NO_DEMANDS
    if args.config is not None:
        from fttui_engine.launch.start import require_ok
        from fttui_engine.spec.load import resolve

        resolved = resolve(Path(args.config))
        require_ok(resolved)
        demands = demands_of(resolved)
    elif args.sync:
        raise WrongRequestError("--sync copies what a configuration needs", "name it with --config CONFIG")
    port = args.port or MASTER_PORT
    with Talks(machines) as talks:
        report = preflight(talks, demands, port)
        if args.sync and report.files.missing:
            from fttui.cli.nodes_sync import sync

            troubles = sync(talks, report.files.missing)
            # Asked again: what was copied is judged like everything else.
            report = preflight(talks, demands, port)
            for trouble in troubles:
                print(one_line(f"fttui: {trouble}"), file=sys.stderr)
    if args.json:
        print(json.dumps(report.to_json(), indent=1))
    else:
        print_report(report)
    return ExitCode.DONE if report.ok else ExitCode.FAILED


def _together(path: Path, args: Namespace) -> int:
    from fttui.cli import nodes_runs

    function: Callable[[list[Machine], Namespace], int] = getattr(nodes_runs, args.action)
    return function(_chosen(path, args.names), args)


def _add(path: Path, args: Namespace) -> int:
    from fttui_engine.nodes.inventory import add_machines, is_machine_name
    from fttui_engine.nodes.ssh_config import aliases

    there = {machine.name for machine in read_inventory(path)}
    names = [name for name in (aliases() if args.from_ssh_config else []) if name not in there]
    names += [name for name in args.names if name not in names]
    if not names:
        hint = "fttui nodes add NAME   with a name that ssh knows"
        raise WrongRequestError("there is nothing to add", hint)
    for name in args.names:
        if not is_machine_name(name):
            raise WrongRequestError(
                f"{name!r} cannot be the name of a machine", "use the Host of ~/.ssh/config"
            )
        if name in there:
            raise WrongRequestError(f"{name} is in {path} already", "change it there with an editor")
    wanted = [Machine(name, python=args.python, scratch=args.scratch) for name in names]
    added = _filled(wanted, set(args.names))
    add_machines(path, added)
    for machine in added:
        print(one_line(f"{machine.name}  {machine.addr or ''}".rstrip()))
    print(one_line(f"fttui: {len(added)} of {len(names)} were added to {path}"), file=sys.stderr)
    return ExitCode.DONE if len(added) == len(names) or args.from_ssh_config else ExitCode.FAILED


def _filled(wanted: list[Machine], named: set[str]) -> list[Machine]:
    """The machines with their addresses; those that were named stay where only trust or a login is missing."""
    from fttui_engine.nodes.facts import learn
    from fttui_engine.nodes.talks import Talks

    with Talks(wanted) as talks:
        learned = talks.each(learn)
    added = []
    for machine in wanted:
        if facts := learned.get(machine.name):
            holders = [
                each["name"] for each in facts.said["interfaces"] if facts.address in each["addresses"]
            ]
            added.append(machine._replace(addr=facts.address, interface=next(iter(holders), None)))
            continue
        error = talks.broken[machine.name]
        print(one_line(f"{error.message}"), file=sys.stderr)
        print(one_line(f"  {error.hint}"), file=sys.stderr)
        if machine.name in named and error.kind in ("unknown host key", "needs login", "unreachable"):
            added.append(machine)
    return added


def _one_name(args: Namespace) -> str:
    if len(args.names) != 1:
        raise WrongRequestError(
            f"fttui nodes {args.action} takes one machine", f"fttui nodes {args.action} NAME"
        )
    return str(args.names[0])


def _trust(path: Path, args: Namespace) -> int:
    from fttui_engine.nodes.trust import offered_key, trust

    name = choose(read_inventory(path), [_one_name(args)])[0].name
    key = offered_key(name)
    if key is None:
        print(one_line(f"{name} is trusted already."))
        return ExitCode.DONE
    print(one_line(f"{name} shows this key:  {key.kind}  {key.fingerprint}"))
    if not _agrees(name, key, args.fingerprint):
        print("fttui: nothing was changed", file=sys.stderr)
        return ExitCode.FAILED
    written = trust(name, key)
    print(one_line(f"fttui: {name} is trusted; its key stands in {written}"), file=sys.stderr)
    return ExitCode.DONE


def _agrees(name: str, key: "HostKey", expected: str | None) -> bool:
    if expected is not None:
        if expected != key.fingerprint:
            print(one_line(f"fttui: that is not {expected}"), file=sys.stderr)
        return expected == key.fingerprint
    if not sys.stdin.isatty():
        raise WrongRequestError(
            "nobody is here to compare the fingerprint",
            f"fttui nodes trust {name} --fingerprint {key.fingerprint}",
        )
    print(
        one_line(
            f"On {name} itself, ssh-keygen -lf /etc/ssh/ssh_host_{key.kind.lower()}_key.pub prints the same."
        )
    )
    return input("Is it the same? Type yes to trust it: ").strip().lower() == "yes"


def _login(path: Path, args: Namespace) -> int:
    from fttui_engine.nodes.trust import login

    name = choose(read_inventory(path), [_one_name(args)])[0].name
    if not sys.stdin.isatty():
        raise WrongRequestError("a login asks questions", f"fttui nodes login {name} in a terminal")
    if login(name) != 0:
        raise FttuiError(f"{name} did not let you in", "ssh -v by hand says more")
    print(one_line(f"fttui: {name} stays connected until it was not used for 10 minutes"), file=sys.stderr)
    return ExitCode.DONE


def _remove(path: Path, args: Namespace) -> int:
    from fttui_engine.nodes.inventory import remove_machine
    from fttui_engine.nodes.ssh import close_connection

    name = _one_name(args)
    remove_machine(path, name)
    close_connection(name)
    print(one_line(f"fttui: {name} was taken out of {path}; nothing on it was changed"), file=sys.stderr)
    return ExitCode.DONE


def _print_table(rows: "Sequence[tuple[str, ...]]") -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print(
            one_line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        )
