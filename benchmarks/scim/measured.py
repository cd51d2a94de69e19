"""The requests that are measured, in rounds: each server has its turn in each, for fairness.

What a request changed is read back outside the clock, once a round.
"""

import statistics
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from benchmarks.scim.client import add_body, group_body, remove_body, user_body
from benchmarks.scim.population import Population, check_members, user_name

_ROUNDS = 5
_QUICK, _SLOW = 0.05, 0.4  # seconds of one request; slower ones are repeated less often
_REPEATS, _FEW_REPEATS, _ONE = 40, 8, 1
_numbers = count(1_000_000)

Seconds = list[float]


@dataclass
class Times:
    """Seconds by the request's name and the server's."""

    by_request: dict[str, dict[str, Seconds]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )

    def p50(self, request: str, server: str) -> float:
        """The median, in milliseconds."""
        return statistics.median(self.by_request[request][server]) * 1000

    def p99(self, request: str, server: str) -> float:
        """The 99th percentile in milliseconds; of few repetitions the slowest."""
        ordered = sorted(self.by_request[request][server])
        return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))] * 1000

    def best(self, request: str, servers: list[str]) -> str:
        """The fastest of these."""
        return min(servers, key=lambda server: self.p50(request, server))


# One turn: repeats a request so often and gives the seconds of each by the request's name.
Turn = Callable[[Population, int], dict[str, Seconds]]


def measure(populations: list[Population], sizes: tuple[int, ...]) -> Times:
    """Every request on every server."""
    times = Times()
    users = max(sizes)
    turns: list[Turn] = [_create_users, _finder(users)]
    turns += [_add_and_remove(size) for size in sizes]
    turns += [_read(users), _replace(users)]
    for turn in turns:
        repeats = {one.server.name: _warm_up(turn, one) for one in populations}
        for _ in range(_ROUNDS):
            for population in populations:
                population.client.renew()
                taken = turn(population, repeats[population.server.name])
                for request, seconds in taken.items():
                    times.by_request[request][population.server.name] += seconds
    return times


def _warm_up(turn: Turn, population: Population) -> int:
    """Some requests that are not counted; how often to repeat them when they are."""
    population.client.renew()
    slowest = max(max(seconds) for seconds in turn(population, 2).values())
    if slowest < _QUICK:
        turn(population, _REPEATS)
        return _REPEATS
    return _FEW_REPEATS if slowest < _SLOW else _ONE


def _create_users(population: Population, repeats: int) -> dict[str, Seconds]:
    client, seconds = population.client, []
    made: list[tuple[str, str]] = []
    for _ in range(repeats):
        name = user_name(next(_numbers))
        answered = client.expect({201}, "POST", "/Users", user_body(name))
        seconds.append(answered.seconds)
        made.append((answered.json()["id"], name))
    for user_id, name in made:
        user = client.expect({200}, "GET", f"/Users/{user_id}").json()
        client.demand(user["userName"] == name, "the user that was made is another one")
    return {"POST /Users": seconds}


def _finder(users: int) -> Turn:
    def find(population: Population, repeats: int) -> dict[str, Seconds]:
        client, seconds = population.client, []
        for repeat in range(repeats):
            number = (repeat * 7919) % users
            query = {
                "filter": f'userName eq "{user_name(number)}"',
                "startIndex": "1",
                "count": "100",
            }
            answered = client.expect({200}, "GET", "/Users", query=query)
            seconds.append(answered.seconds)
            (found,) = answered.json()["Resources"]
            client.demand(found["id"] == population.ids[number], "the filter finds another user")
        return {"GET /Users?filter=userName eq": seconds}

    return find


def _add_and_remove(size: int) -> Turn:
    def add_and_remove(population: Population, repeats: int) -> dict[str, Seconds]:
        client, group = population.client, population.groups[size]
        path, added, removed = f"/Groups/{group.id}", [], []
        for repeat in range(repeats):
            member = population.spare[repeat % len(population.spare)]
            added.append(client.expect({200, 204}, "PATCH", path, add_body(member)).seconds)
            if repeat == 0:
                check_members(population, group, {*group.members, member})
            removed.append(client.expect({200, 204}, "PATCH", path, remove_body(member)).seconds)
        check_members(population, group, set(group.members))
        return {add_to(size): added, remove_from(size): removed}

    return add_and_remove


def _read(size: int) -> Turn:
    def read(population: Population, repeats: int) -> dict[str, Seconds]:
        client, group, seconds = population.client, population.groups[size], []
        for _ in range(repeats):
            answered = client.expect({200}, "GET", f"/Groups/{group.id}")
            seconds.append(answered.seconds)
            members = {member["value"] for member in answered.json()["members"]}
            client.demand(members == set(group.members), "GET shows other members")
        return {read_of(size): seconds}

    return read


def _replace(size: int) -> Turn:
    def replace(population: Population, repeats: int) -> dict[str, Seconds]:
        client, group, seconds = population.client, population.groups[size], []
        spare = population.spare[0]
        with_one = group_body(group.name, [*group.members, spare], group.id)
        without = group_body(group.name, group.members, group.id)
        for repeat in range(repeats):
            for body in (with_one, without):
                seconds.append(
                    client.expect({200, 204}, "PUT", f"/Groups/{group.id}", body).seconds
                )
                if repeat == 0:
                    extra = {spare} if body is with_one else set()
                    check_members(population, group, {*group.members, *extra})
        return {replace_of(size): seconds}

    return replace


def add_to(size: int) -> str:
    """Name of the request that adds one member to a group of this size."""
    return f"PATCH add 1 member, group of {size:,}"


def remove_from(size: int) -> str:
    """Name of the request that removes one member."""
    return f"PATCH remove 1 member, group of {size:,}"


def read_of(size: int) -> str:
    """Name of the request that reads a whole group."""
    return f"GET group of {size:,}"


def replace_of(size: int) -> str:
    """Name of the request that sends a whole group with one difference."""
    return f"PUT group of {size:,}, one difference"
