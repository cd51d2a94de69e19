"""What waits for the writer: commands, keys, events, steps of groups."""

import sqlite3
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from encryption_service.binding_rules import Offer
from encryption_service.bindings import BindingAnswer, Removal
from encryption_service.reconcile import Answer, GroupCommand, Reconciler, Step
from groupseal.reasons import Reason


@dataclass(slots=True)
class CommandItem:
    """A command that waits; `started` is set once its roster is durable."""

    command: GroupCommand
    answer: "Future[Answer]" = field(default_factory=Future)
    started: bool = False
    refusals: tuple[tuple[bytes, Reason], ...] = ()


@dataclass(slots=True)
class BindingItem:
    """An offered key, or a member's request to remove one, that waits."""

    offer: Offer | Removal
    answer: "Future[BindingAnswer]" = field(default_factory=Future)


@dataclass(slots=True)
class TaskItem:
    """Anything else that writes: acknowledgements, pruning, halting."""

    task: Callable[[sqlite3.Connection], Any]
    answer: "Future[Any]" = field(default_factory=Future)


@dataclass(slots=True)
class EventItem:
    """Something that changes what groups have to do; its result and those groups."""

    event: Callable[[sqlite3.Connection], tuple[Any, Iterable[bytes]]]
    answer: "Future[Any]" = field(default_factory=Future)


@dataclass(slots=True)
class StepItem:
    """A step of one group that no command of the vendor asks for."""

    group_id: bytes
    plan: Callable[[Reconciler], Step | None]
    answer: "Future[bool]" = field(default_factory=Future)


@dataclass(slots=True)
class WorkItem:
    """A group that has a step to go on with."""

    group_id: bytes


GroupItem = CommandItem | StepItem | WorkItem
Item = GroupItem | BindingItem | TaskItem | EventItem


def group_of(item: CommandItem | StepItem) -> bytes:
    """Id of the group that the item is about."""
    return item.command.group_id if isinstance(item, CommandItem) else item.group_id
