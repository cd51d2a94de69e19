"""The same people and groups in every server, made through the API that is measured."""

import json
from dataclasses import dataclass, field

from benchmarks.scim.client import Client, group_body, user_body
from benchmarks.scim.servers import Server


@dataclass(frozen=True)
class Group:
    """A group of a fixed size, and what its PUT says."""

    id: str
    name: str
    members: list[str]


@dataclass
class Population:
    """One server's people: `ids` of all, `spare` those who are in no group."""

    server: Server
    client: Client
    ids: list[str] = field(default_factory=list)
    spare: list[str] = field(default_factory=list)
    groups: dict[int, Group] = field(default_factory=dict)


def user_name(number: int) -> str:
    """Whom a filter can ask for."""
    return f"user{number:06}@example.com"


def populate(server: Server, users: int, spare: int, sizes: tuple[int, ...]) -> Population:
    """Creates the users and a group of each size, then reads them back."""
    population = Population(server, server.client())
    client = population.client
    for number in range(users + spare):
        answered = client.expect({201}, "POST", "/Users", user_body(user_name(number)))
        population.ids.append(answered.json()["id"])
    population.spare = population.ids[users:]
    for size in sizes:
        name = f"Group of {size}"
        members = population.ids[:size]
        answered = client.expect({201}, "POST", "/Groups", group_body(name, members))
        group = Group(answered.json()["id"], name, members)
        population.groups[size] = group
        check_members(population, group, set(members))
    query = {"filter": f'userName eq "{user_name(users // 2)}"'}
    found = client.expect({200}, "GET", "/Users", query=query)
    client.demand(found.json()["totalResults"] == 1, "the filter does not find exactly one user")
    return population


def members_of(population: Population, group: Group) -> set[str]:
    """Who is in the group, read back."""
    answered = population.client.expect({200}, "GET", f"/Groups/{group.id}")
    return {member["value"] for member in json.loads(answered.body).get("members", [])}


def check_members(population: Population, group: Group, expected: set[str]) -> None:
    """Raises UnexpectedAnswerError unless exactly these are in the group."""
    found = members_of(population, group)
    population.client.demand(
        found == expected,
        f"{group.name} has {len(found)} members, {len(found ^ expected)} of them wrong or missing",
    )
