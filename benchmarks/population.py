"""Fills a running stack with members whose keys wait to be bound.

Users and submitted keys go straight into the vendor's database: how they get there is not what is
measured. Everything after that (binding, sealing, committing) is the product's own work.
"""

from uuid import UUID, uuid4

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from groupseal.bindings import BindingRequest
from groupseal.suites import Suite
from tests.support.stack import Stack
from tests.support.waiting import wait_for


def make_public_key() -> bytes:
    """An X-Wing public key whose private half nobody keeps."""
    return (
        MLKEM768PrivateKey.generate().public_key().public_bytes_raw()
        + X25519PrivateKey.generate().public_key().public_bytes_raw()
    )


def add_members(stack: Stack, count: int, name: str) -> list[str]:
    """Add users and their submitted device keys; wait until every key is bound. Return ids."""
    tenant = UUID(stack.ready["tenant_id"])
    with stack.database() as connection:
        row = connection.execute(
            "SELECT organisation_id FROM tenants WHERE id = %s", (tenant,)
        ).fetchone()
        assert row is not None
        users = insert_members(connection, tenant, row[0], count, name)

        def bound() -> bool:
            found = connection.execute(
                "SELECT count(*) FROM member_keys WHERE tenant_id = %s AND state = 'submitted'",
                (tenant,),
            ).fetchone()
            return found is not None and found[0] == 0

        wait_for(bound, 300, "the binding of every key", every=0.2)
    return [str(user) for user in users]


def insert_members(
    connection: psycopg.Connection, tenant: UUID, organisation: UUID, count: int, name: str
) -> list[UUID]:
    """Insert users and their submitted device keys, in one transaction; return their ids."""
    users = [uuid4() for _ in range(count)]
    with connection.transaction():
        _copy_users(connection, tenant, users, name)
        _copy_keys(connection, tenant, organisation, users)
    return users


def _copy_users(connection: psycopg.Connection, tenant: UUID, users: list[UUID], name: str) -> None:
    with (
        connection.cursor() as cursor,
        cursor.copy("COPY users (tenant_id, id, user_name, user_name_key) FROM STDIN") as copy,
    ):
        for number, user in enumerate(users):
            user_name = f"{name}.{number}@example.com"
            copy.write_row((tenant, user, user_name, user_name))


def _copy_keys(
    connection: psycopg.Connection, tenant: UUID, organisation: UUID, users: list[UUID]
) -> None:
    columns = (
        "tenant_id, key_id, member_id, suite, hpke_public_key, signing_public_key, possession_proof"
    )
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY member_keys ({columns}) FROM STDIN") as copy,
    ):
        for user in users:
            signing = Ed25519PrivateKey.generate()
            request = BindingRequest(
                organisation.bytes,
                user.bytes,
                Suite.XWING,
                make_public_key(),
                signing.public_key().public_bytes_raw(),
            )
            copy.write_row(
                (
                    tenant,
                    request.key_id,
                    user,
                    int(request.suite),
                    request.hpke_public_key,
                    request.signing_public_key,
                    signing.sign(request.message()),
                )
            )
