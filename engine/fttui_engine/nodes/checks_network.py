"""Whether the machines reach each other on the ports that a training uses, by which way, and how fast."""

import math
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any, NamedTuple

from fttui_engine.doctor.finding import Finding
from fttui_engine.nodes.checks_alone import is_inner, is_tunnel
from fttui_engine.nodes.conversation import Conversation
from fttui_engine.nodes.facts import Facts
from fttui_engine.nodes.talks import Talks

# gloo and NCCL use ports of the system's choice between every two processes.
RANDOM_PORTS = 3
BURST_SECONDS = 0.25
# What is under way when the burst ends still has to arrive, also over a link of 1 Mbit/s.
BURST_DEADLINE_SECONDS = 40.0
SLOW_LOOKUP_SECONDS = 0.2
FAR_SECONDS = 0.020
# 100 Mbit/s: the gradients of a usual adapter (160 MB) take 13 s there, at every step.
SLOW_BYTES_PER_SECOND = 12.5e6
OUTCOMES = {
    "stranger": "another machine or program answers at its address",
    "silent": "no answer at all, so a firewall drops it",
    "refused": "refused, although {target} listens: a firewall or a forwarding rule in between rejects it",
    "rejected": "a firewall or router forbids it",
    "broken": "the connection breaks",
}


class Link(NamedTuple):
    """The way from one machine to another, as measured."""

    source: str
    target: str
    bytes_per_second: float | None
    round_trip_seconds: float | None


class Mesh(NamedTuple):
    """What became of looking at every way between the machines."""

    findings: list[tuple[str, Finding]]
    links: list[Link]


def look_at_network(talks: Talks, machines: list[Facts], master_port: int) -> Mesh:
    """Try all ways between the machines at once, then measure pair after pair, no machine in two of them at a time."""
    peers = {facts.machine.name: facts for facts in machines if facts.address}
    findings = [(facts.machine.name, _no_address()) for facts in machines if facts.machine.name not in peers]
    findings += _judge_addresses(peers)
    if len(peers) < 2:
        return Mesh(findings, [])
    routes = talks.each(
        lambda talk: talk.ask("route", addresses=[peers[name].address for name in _others(talk, peers)]),
        peers,
    )
    for name, found in routes.items():
        others = [each for each in peers if each != name]
        findings += [(name, finding) for finding in _judge_route(peers[name], others, found)]
    wanted = [master_port, *[0] * RANDOM_PORTS]
    listening = talks.each(lambda talk: talk.ask("listen", ports=wanted, name=talk.machine.name), peers)
    findings += _judge_master_port(listening, master_port)
    tries = talks.each(lambda talk: talk.ask("connect", peers=_targets(talk, peers, listening)), listening)
    findings += _judge_tries(tries, {name: str(peers[name].address) for name in listening}, master_port)
    links = _measure(talks, peers, tries)
    talks.each(lambda talk: talk.ask("hush"), listening)
    findings += _judge_links(links)
    return Mesh(findings, links)


def _others(talk: Conversation, peers: dict[str, Facts]) -> list[str]:
    return [name for name in peers if name != talk.machine.name]


def _targets(talk: Conversation, peers: dict[str, Facts], listening: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"name": name, "addr": peers[name].address, "ports": listening[name]["ports"]}
        for name in _others(talk, peers)
        if name in listening
    ]


def _no_address() -> Finding:
    return Finding("interface", "problem", "its address is not known", "set addr: in the inventory")


def _judge_addresses(peers: dict[str, Facts]) -> Iterator[tuple[str, Finding]]:
    for name, facts in peers.items():
        address = str(facts.address)
        same = [other for other, each in peers.items() if other != name and each.address == address]
        if same:
            text = f"it has the same address as {same[0]}, {address}: two names of one machine"
            yield (
                name,
                Finding("interface", "problem", text, "keep one of them, or correct addr: in the inventory"),
            )
        elif len(peers) > 1 and ip_address(address).is_loopback:
            text = f"its address {address} means every machine itself"
            yield name, Finding("interface", "problem", text, "set addr: to the one that the others know")


def _judge_route(facts: Facts, others: list[str], routes: list[dict[str, Any]]) -> Iterator[Finding]:
    interfaces = {each["name"]: each for each in facts.said["interfaces"]}
    chosen, addr = facts.machine.interface, facts.address
    if chosen and not (interfaces.get(chosen) or {}).get("is_up"):
        names = ", ".join(
            name for name, each in interfaces.items() if each["is_up"] and not each["is_loopback"]
        )
        text = f"the inventory says interface {chosen}, which is not there or is down"
        yield Finding("interface", "problem", text, f"there are: {names or 'none'}")
        return
    if not any(addr in each["addresses"] for each in interfaces.values()):
        text = f"none of its interfaces has the address {addr}, so nothing of a training can listen there"
        yield Finding("interface", "problem", text, "set addr: to an address that ip addr shows there")
        return
    used = {route["interface"] for route in routes if route["interface"]}
    worst = list(_judge_ways(facts, others, routes, chosen, used))
    slow = max((route["lookup_seconds"] for route in routes), default=0.0)
    if slow > SLOW_LOOKUP_SECONDS:
        text = f"looking up the name of another machine's address takes {slow:.1f} s, at every new connection"
        worst.append(
            Finding(
                "name", "warning", text, "put all machines into /etc/hosts there, or mend its name server"
            )
        )
    if not any(finding.subject == "interface" for finding in worst):
        name = next(iter(used), "")
        mtu = (interfaces.get(name) or {}).get("mtu")
        worst.append(Finding("interface", "ok", f"{name} {addr}, MTU {mtu}"))
    yield from worst


def _judge_ways(
    facts: Facts, others: list[str], routes: list[dict[str, Any]], chosen: str | None, used: set[str]
) -> Iterator[Finding]:
    for other, route in zip(others, routes, strict=True):
        if route["trouble"]:
            text = f"it has no way to {other}: {route['trouble']}"
            yield Finding(
                "interface", "problem", text, "plug it in, or correct addr: of one of them in the inventory"
            )
    for name in sorted(used):
        if name == "lo":
            text = "it takes another machine's address for its own"
            yield Finding("interface", "problem", text, "give each machine its own addr: in the inventory")
        elif is_inner(name):
            text = f"its way to the others is {name}, an inner bridge of containers"
            yield Finding(
                "interface", "problem", text, "set addr: of all machines to those of the real network"
            )
        elif is_tunnel(name):
            text = f"its way to the others is {name}, a VPN: slow for gradients"
            yield Finding(
                "interface", "warning", text, "set addr: to addresses of the local network, if there is one"
            )
        elif chosen and name != chosen:
            text = f"its way to the others is {name}, but the inventory says {chosen}"
            yield Finding(
                "interface", "warning", text, f"set addr: to addresses behind {chosen}, or correct interface:"
            )


def _judge_master_port(listening: dict[str, Any], port: int) -> list[tuple[str, Finding]]:
    first = next(iter(listening), None)
    found = []
    for name, said in listening.items():
        for taken in said["taken"]:
            text = f"port {port} is taken there by {taken['owner']}"
            fix = f"use another one, such as --port {port + 1}, or end that program"
            # Only the first machine's is needed: there the ranks meet.
            found.append((name, Finding("ports", "problem" if name == first else "note", text, fix)))
    return found


def _judge_tries(
    tries: dict[str, list[dict[str, Any]]], addresses: dict[str, str], master_port: int
) -> list[tuple[str, Finding]]:
    """Findings belong to the machine that cannot be reached: it is there that a firewall is opened."""
    found = []
    for target in addresses:
        ways: dict[str, dict[str, list[int]]] = {}
        for source, results in tries.items():
            for result in (each for each in results if each["peer"] == target):
                ways.setdefault(source, {}).setdefault(result["outcome"], []).append(result["port"])
        bad = {source: outcomes for source, outcomes in ways.items() if set(outcomes) - {"reached"}}
        if not bad:
            found.append((target, Finding("ports", "ok", f"reached by {', '.join(ways)}" if ways else "")))
            continue
        # Those who meet the same are told in one sentence.
        together: dict[str, list[str]] = {}
        for source, outcomes in bad.items():
            together.setdefault(_sentence(target, outcomes, master_port), []).append(source)
        for sentence, sources in together.items():
            text = f"{' and '.join(sources)} cannot reach it: {sentence}"
            rules = "; ".join(
                f"ufw allow from {addresses[source]}" for source in sources if source in addresses
            )
            if sentence == OUTCOMES["stranger"]:
                found.append(
                    (target, Finding("ports", "problem", text, f"correct addr: of {target} in the inventory"))
                )
                continue
            fix = f"on {target}, open all TCP ports for them: {rules}, or what its firewall calls that"
            found.append((target, Finding("ports", "problem", text, fix)))
    return found


def _sentence(target: str, outcomes: dict[str, list[int]], master_port: int) -> str:
    outcome = next(each for each in OUTCOMES if each in outcomes)
    why = OUTCOMES[outcome].format(target=target)
    if outcome == "stranger":
        return why
    if "reached" not in outcomes:
        return f"on any port {why}"
    if outcomes[outcome] == [master_port]:
        return f"on port {master_port} {why}"
    if master_port in outcomes["reached"]:
        return f"port {master_port} is open, but on the ports that the system chooses {why}"
    return f"on some ports {why}"


def _measure(talks: Talks, peers: dict[str, Facts], tries: dict[str, list[dict[str, Any]]]) -> list[Link]:
    open_ways: dict[tuple[str, str], int] = {}
    trips: dict[tuple[str, str], float] = {}
    for source, results in tries.items():
        for result in results:
            if result["outcome"] == "reached":
                way = source, result["peer"]
                open_ways[way] = result["port"]
                trips[way] = min(result["seconds"], trips.get(way, math.inf))
    links = []
    for pairs in rounds(list(peers)):
        # Both ways at once, as gradients go.
        both = [*pairs, *((target, source) for source, target in pairs)]
        now = {source: target for source, target in both if (source, target) in open_ways}

        def burst(talk: Conversation, now: dict[str, str] = now) -> Any:
            target = now[talk.machine.name]
            return talk.ask(
                "measure",
                peer={"addr": peers[target].address},
                port=open_ways[talk.machine.name, target],
                burst_seconds=BURST_SECONDS,
                seconds=BURST_DEADLINE_SECONDS,
            )

        for source, said in talks.each(burst, now).items():
            way = source, now[source]
            links.append(Link(*way, said["bytes_per_second"], trips[way]))
    return links


def rounds(names: list[str]) -> list[list[tuple[str, str]]]:
    """Every pair once, in rounds in which each name stands in one pair at most (a tournament's table)."""
    places: list[str | None] = [*names, None] if len(names) % 2 else [*names]
    half, table = len(places) // 2, []
    for _ in range(len(places) - 1):
        pairs = zip(places[:half], reversed(places[half:]), strict=True)
        table.append([(one, other) for one, other in pairs if one is not None and other is not None])
        places.insert(1, places.pop())
    return table


def _judge_links(links: list[Link]) -> list[tuple[str, Finding]]:
    found = []
    for name in dict.fromkeys(each for link in links for each in (link.source, link.target)):
        own = [link for link in links if name in (link.source, link.target)]
        slowest = min(own, key=lambda link: link.bytes_per_second or 0.0)
        other = slowest.target if slowest.source == name else slowest.source
        if slowest.bytes_per_second is None or slowest.round_trip_seconds is None:
            text = f"its connection with {other} broke while it was measured"
            found.append(
                (name, Finding("link", "warning", text, "look at cables and switch: ip -s link there"))
            )
            continue
        trip = max(link.round_trip_seconds or 0.0 for link in own)
        text = f"{rate(slowest.bytes_per_second)} with {other}, {trip * 1000:.2f} ms"
        if trip > FAR_SECONDS:
            fix = "train within one network: each step waits for it several times"
            found.append((name, Finding("link", "warning", text, fix)))
        elif slowest.bytes_per_second < SLOW_BYTES_PER_SECOND:
            fix = "use a faster network (addr:), or train fewer weights: each step sends all gradients through it"
            found.append((name, Finding("link", "warning", text, fix)))
        else:
            found.append((name, Finding("link", "ok", text)))
    return found


def exchange_seconds(gradient_bytes: int, machines: int, links: list[Link]) -> float | None:
    """What a step waits for gradients over the slowest link: each sends and receives twice what is not its part."""
    rates = [link.bytes_per_second for link in links]
    if machines < 2 or not rates or any(each is None for each in rates):
        return None
    slowest = min(each for each in rates if each is not None)
    return math.inf if slowest <= 0 else 2 * (machines - 1) / machines * gradient_bytes / slowest


def rate(bytes_per_second: float) -> str:
    """A rate in words."""
    if bytes_per_second >= 1e9:
        return f"{bytes_per_second / 1e9:.1f} GB/s"
    return (
        f"{bytes_per_second / 1e6:.0f} MB/s"
        if bytes_per_second >= 1e7
        else f"{bytes_per_second / 1e6:.1f} MB/s"
    )
