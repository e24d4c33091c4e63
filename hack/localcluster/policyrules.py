"""NetworkPolicies as nftables rules: a pure translation.

The bridge plugin enforces no policies, and a chart whose policies were never enforced is untested. The meaning
is that of https://kubernetes.io/docs/concepts/services-networking/network-policies/ : a pod that some policy
selects for a direction is isolated in that direction, and then everything is refused that no policy's rule
allows. Both ends must allow a connection. Answers to allowed connections pass. The node may always reach its
own pods.

Refused connections are rejected rather than dropped, so that a test of a refusal takes no timeout.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

TABLE = "trace_policy"
Json = dict[str, Any]


@dataclass(frozen=True)
class Pod:
    """What a policy can see of a pod."""

    namespace: str
    address: str
    labels: dict[str, str]
    named_ports: dict[tuple[str, str], int]  # (name, protocol) -> number


@dataclass(frozen=True)
class World:
    """Everything the rules follow from: labels of namespaces by name, the pods, and the policies as JSON."""

    namespaces: dict[str, dict[str, str]]
    pods: tuple[Pod, ...]
    policies: tuple[Json, ...]


def pod_from(document: Json) -> Pod | None:
    """A pod that policies apply to: one that runs with an IPv4 address of its own."""
    spec, status = document["spec"], document.get("status", {})
    address = status.get("podIP", "")
    if spec.get("hostNetwork") or status.get("phase") in ("Succeeded", "Failed") or not _is_ipv4(address):
        return None
    containers = [*spec["containers"], *spec.get("initContainers", [])]
    ports = {
        (port["name"], port.get("protocol", "TCP")): port["containerPort"]
        for container in containers
        for port in container.get("ports", [])
        if "name" in port
    }
    metadata = document["metadata"]
    return Pod(metadata["namespace"], address, metadata.get("labels", {}), ports)


def ruleset(world: World) -> str:
    """The input of ``nft -f`` that replaces the table by one that enforces the policies."""
    chains: dict[str, list[str]] = {"ingress": [], "egress": []}
    isolated: dict[str, set[str]] = {"ingress": set(), "egress": set()}
    for policy in sorted(world.policies, key=lambda p: (p["metadata"]["namespace"], p["metadata"]["name"])):
        spec = policy["spec"]
        namespace = policy["metadata"]["namespace"]
        selected = [p for p in world.pods if p.namespace == namespace and selects(spec["podSelector"], p.labels)]
        types = spec.get("policyTypes") or ["Ingress", *(["Egress"] if spec.get("egress") else [])]
        for direction in (each.lower() for each in types):
            isolated[direction].update(pod.address for pod in selected)
            for rule in spec.get(direction) or []:
                chains[direction] += _rules(world, namespace, direction, selected, rule)
    lines = [f"table inet {TABLE}", f"delete table inet {TABLE}", f"table inet {TABLE} {{"]
    for direction, rules in chains.items():
        lines.append(f"  chain {direction} {{")
        lines += [f"    {rule}" for rule in dict.fromkeys(rules)]
        lines += ["    reject with icmpx admin-prohibited", "  }"]
    # Forwarded: pod to pod and the machine to pods. Input: pods to the node itself, where the API server is.
    for hook, directions in (("forward", ("egress", "ingress")), ("input", ("egress",))):
        lines.append(f"  chain {hook} {{")
        lines.append(f"    type filter hook {hook} priority filter; policy accept;")
        lines.append("    ct state established,related accept")
        for direction in directions:
            if isolated[direction]:
                side = "daddr" if direction == "ingress" else "saddr"
                lines.append(f"    ip {side} {_set(isolated[direction])} jump {direction}")
        lines.append("  }")
    return "\n".join([*lines, "}"]) + "\n"


def selects(selector: Json, labels: dict[str, str]) -> bool:
    """Whether a label selector matches; an empty one matches everything."""
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_expression_holds(each, labels) for each in selector.get("matchExpressions") or [])


def _expression_holds(expression: Json, labels: dict[str, str]) -> bool:
    key, operator, values = expression["key"], expression["operator"], expression.get("values") or []
    if operator == "In":
        return labels.get(key) in values
    if operator == "NotIn":
        return labels.get(key) not in values
    return bool((key in labels) == (operator == "Exists"))


def _rules(world: World, namespace: str, direction: str, selected: list[Pod], rule: Json) -> list[str]:
    """The nftables rules of one entry of a policy: they return to the caller what the entry allows."""
    own, other = ("daddr", "saddr") if direction == "ingress" else ("saddr", "daddr")
    peers = rule.get("from" if direction == "ingress" else "to") or []
    rules: list[str] = []
    for remote, remote_pods in _remotes(world, namespace, peers, other):
        # Ports are those of the destination: of the selected pods inward, of the peers outward.
        destinations = selected if direction == "ingress" else remote_pods
        for ports, only in _ports(rule.get("ports") or [], destinations):
            narrowed = f"ip daddr {_set(only)}" if only is not None else ""
            words = [f"ip {own} {_set(pod.address for pod in selected)}", remote, narrowed, ports, "return"]
            rules.append(" ".join(word for word in words if word))
    return rules if selected else []


def _remotes(world: World, namespace: str, peers: list[Json], side: str) -> list[tuple[str, list[Pod]]]:
    """For each peer a match of the remote address, and the pods behind it (all pods where any may be)."""
    if not peers:
        return [("", list(world.pods))]
    remotes: list[tuple[str, list[Pod]]] = []
    for peer in peers:
        if "ipBlock" in peer:
            block = peer["ipBlock"]
            if ":" in block["cidr"]:
                continue  # pods have no IPv6 address here
            excluded = block.get("except") or []
            match = f"ip {side} {block['cidr']}" + (f" ip {side} != {_set(excluded)}" if excluded else "")
            remotes.append((match, _within(world.pods, block["cidr"], excluded)))
            continue
        pods = [pod for pod in world.pods if _peer_matches(world, namespace, peer, pod)]
        if pods:
            remotes.append((f"ip {side} {_set(pod.address for pod in pods)}", pods))
    return remotes


def _peer_matches(world: World, namespace: str, peer: Json, pod: Pod) -> bool:
    if "namespaceSelector" in peer:
        if not selects(peer["namespaceSelector"], world.namespaces.get(pod.namespace, {})):
            return False
    elif pod.namespace != namespace:
        return False
    return selects(peer.get("podSelector") or {}, pod.labels)


def _ports(ports: list[Json], destinations: list[Pod]) -> list[tuple[str, set[str] | None]]:
    """Matches of the destination port, each with the destination addresses it holds for (``None``: all)."""
    if not ports:
        return [("", None)]
    matches: list[tuple[str, set[str] | None]] = []
    for port in ports:
        protocol = port.get("protocol", "TCP")
        wanted = port.get("port")
        if wanted is None:
            matches.append((f"meta l4proto {protocol.lower()}", None))
        elif isinstance(wanted, int):
            upper = f"-{port['endPort']}" if "endPort" in port else ""
            matches.append((f"{protocol.lower()} dport {wanted}{upper}", None))
        else:
            numbers: dict[int, set[str]] = {}
            for pod in destinations:
                if (wanted, protocol) in pod.named_ports:
                    numbers.setdefault(pod.named_ports[wanted, protocol], set()).add(pod.address)
            matches += [(f"{protocol.lower()} dport {number}", only) for number, only in sorted(numbers.items())]
    return matches


def _within(pods: Iterable[Pod], cidr: str, excluded: list[str]) -> list[Pod]:
    network = ipaddress.IPv4Network(cidr, strict=False)
    holes = [ipaddress.IPv4Network(each, strict=False) for each in excluded]
    return [
        pod
        for pod in pods
        if ipaddress.IPv4Address(pod.address) in network
        and not any(ipaddress.IPv4Address(pod.address) in hole for hole in holes)
    ]


def _set(elements: Iterable[str]) -> str:
    return "{ " + ", ".join(sorted(set(elements))) + " }"


def _is_ipv4(address: str) -> bool:
    try:
        ipaddress.IPv4Address(address)
    except ValueError:
        return False
    return True
