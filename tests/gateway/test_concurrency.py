"""Two writers at once, on two real connections: nothing is lost, nobody stays in by a race."""

import threading
from collections.abc import Callable
from functools import partial
from uuid import UUID

import pytest

from directory import group_push
from directory.group_push import Push
from directory.membership_change import MemberOperation, Verb
from directory.tenancy import TenantScope
from directory.unit_of_work import UnitOfWork
from directory.users import UserContent, create_user, lock_user, update_user
from tests.support.at_once import at_once
from tests.support.scim_client import ScimClient, values

_DEADLINE = 20


def test_parallel_patches_lose_nothing(scim: ScimClient) -> None:
    """One-member PATCHes to one group, adding and removing: every one takes effect."""
    users = scim.create_users(24)
    staying, leaving, coming = users[:4], users[4:14], users[14:]
    group = scim.create_group("Finance", staying + leaving)

    def adding(user: str) -> Callable[[], object]:
        add = {"op": "add", "path": "members", "value": values([user])}
        return lambda: scim.patch(f"/Groups/{group}", add).status_code

    def removing(user: str) -> Callable[[], object]:
        remove = {"op": "remove", "path": f'members[value eq "{user}"]'}
        return lambda: scim.patch(f"/Groups/{group}", remove).status_code

    calls = [
        call
        for come, leave in zip(coming, leaving, strict=True)
        for call in (adding(come), removing(leave))
    ]
    for at in range(0, len(calls), 5):
        assert set(at_once(*calls[at : at + 5])) == {204}
    assert scim.members(group) == set(staying + coming)
    (row,) = scim.rows("SELECT version FROM groups WHERE id = :id", id=group)
    assert row.version == 1 + len(calls)


def test_parallel_puts_and_patches_end_in_one_of_the_lists(scim: ScimClient) -> None:
    """Whole lists from two writers do not mix, and no request fails."""
    users = scim.create_users(10)
    group = scim.create_group("Finance")
    lists = [users[:6], users[3:], users[1:4]]
    for _ in range(5):
        answers = at_once(
            *(lambda one=one: scim.put_group(group, "Finance", one).status_code for one in lists)
        )
        assert set(answers) == {200}
        assert scim.members(group) in [set(one) for one in lists]
        assert scim.wanted(group) == scim.members(group)


def _status_of_post(scim: ScimClient, path: str, body: object) -> int:
    return scim.send("POST", path, body).status_code


def test_creating_the_same_twice_makes_one(scim: ScimClient) -> None:
    """A repeated POST meets the constraint: 201 for one, 409 for the others."""
    for path, body in (
        ("/Users", {"userName": "ada@example.com", "externalId": "00u1"}),
        ("/Groups", {"displayName": "Finance", "members": []}),
    ):
        send = partial(_status_of_post, scim, path, body)
        assert sorted(map(str, at_once(send, send, send))) == ["201", "409", "409"]
        assert scim.send("GET", path).json["totalResults"] == 1


def _add(user: str) -> Push:
    return Push(operations=[MemberOperation(Verb.ADD, {user: None})])


class _Waiting:
    """A use case in a thread of its own, to be found waiting for a lock of somebody else."""

    def __init__(self, scim: ScimClient, use_case: Callable[[TenantScope], object]) -> None:
        self._scim = scim
        self._use_case = use_case
        self._pid: int | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._failure: BaseException | None = None
        self._thread.start()

    def _run(self) -> None:
        try:
            with UnitOfWork(self._scim.wiring.engine) as uow:
                cursor = uow.connection.exec_driver_sql("SELECT pg_backend_pid()")
                self._pid = cursor.scalar_one()
                self._started.set()
                self._use_case(TenantScope(uow.connection, self._scim.tenant_id))
                uow.commit()
        except BaseException as error:  # noqa: BLE001 # handed to the test's thread
            self._failure = error

    def until_blocked(self) -> None:
        """Waits until it waits."""
        assert self._started.wait(_DEADLINE)
        pause = threading.Event()
        for _ in range(_DEADLINE * 100):
            (row,) = self._scim.rows(
                "SELECT cardinality(pg_blocking_pids(:pid)) AS blockers", pid=self._pid
            )
            if row.blockers:
                return
            pause.wait(0.01)
        pytest.fail("it never waited")

    def finish(self) -> None:
        """Waits for the end. Raises what the use case raised."""
        self._thread.join(_DEADLINE)
        assert not self._thread.is_alive()
        if self._failure is not None:
            raise self._failure


def _deactivate(user: str) -> Callable[[TenantScope], object]:
    def use_case(scope: TenantScope) -> object:
        locked = lock_user(scope, UUID(user))
        return update_user(scope, locked, UserContent(locked.content.user_name, active=False))

    return use_case


def test_adding_waits_for_deactivation(scim: ScimClient) -> None:
    """Whoever is deactivated while a push adds him is a member, and not wanted."""
    (user,) = scim.create_users(1)
    group = scim.create_group("Finance")
    with UnitOfWork(scim.wiring.engine) as uow:
        _deactivate(user)(TenantScope(uow.connection, scim.tenant_id))
        adding = _Waiting(scim, lambda scope: group_push.change(scope, UUID(group), _add(user)))
        adding.until_blocked()
        uow.commit()
    adding.finish()
    assert scim.members(group) == {user}
    assert scim.wanted(group) == set()


def test_deactivation_waits_for_adding(scim: ScimClient) -> None:
    """The other way round: the membership that was just made is not wanted any more."""
    (user,) = scim.create_users(1)
    group = scim.create_group("Finance")
    with UnitOfWork(scim.wiring.engine) as uow:
        scope = TenantScope(uow.connection, scim.tenant_id)
        group_push.change(scope, UUID(group), _add(user))
        deactivating = _Waiting(scim, _deactivate(user))
        deactivating.until_blocked()
        uow.commit()
    deactivating.finish()
    assert scim.members(group) == {user}
    assert scim.wanted(group) == set()


def test_removal_and_deactivation_do_not_block_each_other_for_ever(scim: ScimClient) -> None:
    """Both touch the same membership, in the same order of locks: no deadlock."""
    (user,) = scim.create_users(1)
    group = scim.create_group("Finance", [user])
    remove = Push(operations=[MemberOperation(Verb.REMOVE, {user: None})])
    with UnitOfWork(scim.wiring.engine) as uow:
        group_push.change(TenantScope(uow.connection, scim.tenant_id), UUID(group), remove)
        deactivating = _Waiting(scim, _deactivate(user))
        deactivating.until_blocked()
        uow.commit()
    deactivating.finish()
    assert scim.members(group) == scim.wanted(group) == set()


def test_a_push_and_the_user_it_awaits_find_each_other(scim: ScimClient) -> None:
    """The user is created while a push that names him is under way, in either order."""
    group = scim.create_group("Finance")
    with UnitOfWork(scim.wiring.engine) as uow:
        scope = TenantScope(uow.connection, scim.tenant_id)
        group_push.change(scope, UUID(group), _add("00u-one"))
        creating = _Waiting(
            scim, lambda other: create_user(other, UserContent("one", external_id="00u-one"))
        )
        creating.until_blocked()
        uow.commit()
    creating.finish()
    assert len(scim.members(group)) == 1

    with UnitOfWork(scim.wiring.engine) as uow:
        scope = TenantScope(uow.connection, scim.tenant_id)
        create_user(scope, UserContent("two", external_id="00u-two"))
        pushing = _Waiting(
            scim, lambda other: group_push.change(other, UUID(group), _add("00u-two"))
        )
        pushing.until_blocked()
        uow.commit()
    pushing.finish()
    assert len(scim.members(group)) == 2
