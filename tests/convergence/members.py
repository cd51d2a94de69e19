"""Members with real device keys, who keep every secret that they ever opened."""

import base64
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from groupseal.bindings import BindingRequest
from groupseal.labels import Label
from groupseal.projection import Projection
from member_client.answers import Fields, ServedGrant
from member_client.group_secrets import EpochKeys, GroupSecret
from member_client.key_file import DeviceKeys, Identity
from member_client.opening import open_grant
from tests.support.world import World


@dataclass
class Member:
    """A user of the tenant, the person's devices, and what they have learnt."""

    world: World
    id: UUID
    active: bool = True
    devices: list[DeviceKeys] = field(default_factory=list)
    # (group, epoch) -> secret; nothing is ever forgotten.
    secrets: dict[tuple[bytes, int], GroupSecret] = field(default_factory=dict)

    def identity(self, keys: DeviceKeys) -> Identity:
        return Identity(self.world.organisation, self.id.bytes, keys)

    def submit_device(self) -> None:
        """The first device, or another one that the first endorses."""
        keys = DeviceKeys.make()
        request = self.identity(keys).binding_request()
        body = _submission(request, keys)
        if self.devices:
            endorser = self.devices[0]
            body["endorsing_key_id"] = _text(endorser.key_id)
            body["endorsement"] = _text(endorser.sign(request.message(Label.ENDORSEMENT)))
        status, answer = self.request("POST", "/devices", body)
        assert status == 202, answer
        self.devices.append(keys)

    def submit_again(self) -> None:
        """The answer to the last submission was lost: the device repeats it."""
        keys = self.devices[-1]
        body = _submission(self.identity(keys).binding_request(), keys)
        status, answer = self.request("POST", "/devices", body)
        assert status == 202, answer

    def request(self, method: str, path: str, body: object = None, **query: str) -> tuple[int, Any]:
        token = self.world.member_token(self.id)
        return self.world.member_request(token, method, path, body, **query)

    def served(self, group: UUID, keys: DeviceKeys) -> ServedGrant | None:
        """What the vendor serves to one of the member's devices."""
        status, answer = self.request("GET", f"/groups/{group}/grant", key_id=keys.key_id.hex())
        if status == 200:
            return ServedGrant.parse(Fields(answer))
        assert status in {401, 404, 409}, answer
        return None

    def opens(self, group: UUID, keys: DeviceKeys, projection: Projection) -> int | None:
        """The epoch that a device opens, everything verified; None where nothing is served."""
        served = self.served(group, keys)
        if served is None:
            return None
        opened = open_grant(self.identity(keys), projection, group.bytes, served)
        self.secrets[group.bytes, opened.epoch] = opened.secret
        return opened.epoch

    def derives(self, group: bytes, epoch: int) -> set[bytes]:
        """Public keys that the member's secrets of earlier epochs yield for a later one."""
        return {
            EpochKeys(secret, self.world.organisation, group, epoch).public_key
            for (of, known), secret in self.secrets.items()
            if of == group and known < epoch
        }


def _submission(request: BindingRequest, keys: DeviceKeys) -> dict[str, Any]:
    return {
        "suite": int(request.suite),
        "hpke_public_key": _text(request.hpke_public_key),
        "signing_public_key": _text(request.signing_public_key),
        "possession_proof": _text(keys.sign(request.message())),
    }


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
