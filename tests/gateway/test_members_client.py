"""The reference client at the real member API: enrol, endorse, replace, remove, over HTTP."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from werkzeug.serving import make_server

from directory.credentials import create_code
from directory.tenancy import TenantScope
from directory.unit_of_work import UnitOfWork
from groupseal.bindings import BindingRequest
from groupseal.identifiers import fingerprint
from groupseal.key_removal import KeyRemoval
from member_client.client import MemberClient
from tests.support.made_tenant import MadeTenant
from tests.support.scim_client import ScimClient


@pytest.fixture
def address(app: Flask) -> Iterator[str]:
    """The application behind a real server."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


class Ada:
    """A member with devices at the gateway; the organisation is made by the test."""

    def __init__(self, scim: ScimClient, address: str, folder: Path) -> None:
        self.scim, self.address, self.folder = scim, address, folder
        self.id = scim.create_user("ada@example.com")
        self.made = MadeTenant(scim)
        self.made.copy()

    def device(self, name: str, *, replaces: bool = False) -> MemberClient:
        """An enrolled one, whose key waits."""
        with UnitOfWork(self.scim.wiring.engine) as uow:
            scope = TenantScope(uow.connection, self.scim.tenant_id)
            code, _ = create_code(scope, UUID(self.id), timedelta(hours=1))
            uow.commit()
        client = MemberClient(self.folder / name)
        right = fingerprint(self.made.org.public_key)
        done = client.enrol(self.address, code, fingerprint=right, replaces=replaces)
        assert (done.device.state, done.organisation.confirmed) == ("submitted", True)
        return client

    def stored(self, client: MemberClient) -> Any:
        """What the vendor keeps of a device's key."""
        statement = "SELECT * FROM member_keys WHERE key_id = :key"
        return self.scim.rows(statement, key=client.key_id)[0]

    def request(self, client: MemberClient, *, replaces: bool = False) -> BindingRequest:
        keys = client._context.keys
        return BindingRequest(
            self.made.org.id,
            UUID(self.id).bytes,
            keys.suite,
            keys.hpke_public_key,
            keys.signing_public_key,
            replaces,
        )

    def bind(self, client: MemberClient) -> None:
        """As the service would, with the proof and the endorsement that the vendor keeps."""
        key = self.stored(client)
        self.made.org.bind(
            self.request(client, replaces=key.replaces),
            bytes(key.possession_proof),
            None if key.endorsing_key_id is None else bytes(key.endorsing_key_id),
            None if key.endorsement is None else bytes(key.endorsement),
        )
        self.made.copy()


@pytest.fixture
def ada(scim: ScimClient, address: str, tmp_path: Path) -> Ada:
    return Ada(scim, address, tmp_path)


def test_an_endorsement_reaches_the_vendor_and_the_ledger_accepts_it(ada: Ada) -> None:
    """The old device hands in again what the gateway shows of the new one, and its signature."""
    old = ada.device("old")
    ada.bind(old)
    new = ada.device("new")
    old.endorse(old.pending_device(new.key_id.hex()[:16]))
    ada.bind(new)
    views = {view.key_id: view for view in new.device_views()}
    bound = views[new.key_id].bound
    assert bound is not None
    assert bound.endorsing_key_id == old.key_id
    assert [device.state for device in new.devices()] == ["bound", "bound"]


def test_a_replacement_is_told_apart_from_another_device(ada: Ada) -> None:
    """Proven under its own label; one that waited as another device becomes one."""
    waiting = ada.device("first")
    assert ada.stored(waiting).replaces is False
    waiting.replace()
    assert ada.stored(waiting).replaces is True
    proof = bytes(ada.stored(waiting).possession_proof)
    ada.request(waiting, replaces=True).verify_possession(proof)
    assert ada.stored(ada.device("second", replaces=True)).replaces is True


def test_a_removal_is_passed_on_as_it_was_signed(ada: Ada) -> None:
    old = ada.device("old")
    ada.bind(old)
    new = ada.device("new")
    ada.bind(new)
    removal = new.remove_device(new.find_bound(old.key_id.hex()[:16]))
    assert (removal.key_id, removal.removal) == (old.key_id, "submitted")
    statement = "SELECT signature FROM key_removals WHERE key_id = :key"
    (stored,) = ada.scim.rows(statement, key=old.key_id)
    KeyRemoval(ada.made.org.id, UUID(ada.id).bytes, old.key_id).verify(
        new._context.keys.signing_public_key, bytes(stored.signature)
    )
    views = {view.key_id: view for view in new.device_views()}
    offered = views[old.key_id].offered
    assert offered is not None
    assert offered.removal == "submitted"
