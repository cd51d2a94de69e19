"""A customer: its encryption service, its identity provider and groups there, and a vendor's hand.

Everything is real but Okta's API, which is a stand-in that speaks its protocol. The vendor is
whoever holds the channel: tests send through it whatever a hostile one could.
"""

import os
from pathlib import Path
from typing import Any

import grpc

from encryption_api import encryption_pb2 as pb
from groupseal.evidence import Evidence, evidence_info, evidence_nonce
from groupseal.trust import TrustMode
from member_client import hpke
from tests.support.devices import Device
from tests.support.identity_provider import IdentityProvider
from tests.support.okta_api import OktaApi
from tests.support.policies import PolicyOnDisk
from tests.support.service import ServiceProcess
from tests.support.vendor import Vendor, some_id

# Short, so that nothing in a test waits for what takes minutes in life.
_INTERVALS = {
    "MEMBERSHIP_CACHE_SECONDS": "1",
    "MEMBERSHIP_AUDIT_SECONDS": "2",
    "MEMBERSHIP_RECHECK_SECONDS": "0.5",
}


def service_settings(
    folder: Path,
    policy: PolicyOnDisk,
    *,
    mode: TrustMode,
    provider: IdentityProvider | None = None,
    okta: OktaApi | None = None,
    check: str = "enforce",
) -> dict[str, str]:
    """Variables of a service that trusts so; a credential for Okta is written into the folder."""
    settings = {
        "TRUST_MODE": mode.name.lower(),
        "POLICY_FILE": str(policy.path),
        "OUTBOUND_ALLOW_PRIVATE": "true",
    }
    if provider is not None:
        settings |= {"OIDC_ISSUER": provider.issuer, "OIDC_CLIENT_ID": provider.client_id}
    if okta is not None:
        token_file = folder / "okta-token"
        token_file.write_text(okta.api_token)
        settings |= {
            "MEMBERSHIP_CHECK": check,
            "MEMBERSHIP_SOURCE": "okta",
            "OKTA_URL": okta.url,
            "OKTA_TOKEN_FILE": str(token_file),
            **_INTERVALS,
        }
    return {f"GROUPSEAL_SERVICE_{name}": value for name, value in settings.items()}


class Customer:
    """One organisation. `start` it, and use `vendor`."""

    def __init__(
        self,
        folder: Path,
        *,
        mode: TrustMode = TrustMode.PIN,
        provider: IdentityProvider | None = None,
        okta: OktaApi | None = None,
        check: str = "enforce",
        policy: dict[str, Any] | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.mode = mode
        self.provider = provider
        self.okta = okta
        self.policy = PolicyOnDisk(folder / "policy.yaml", **(policy or {}))
        settings = service_settings(
            folder, self.policy, mode=mode, provider=provider, okta=okta, check=check
        )
        self.service = ServiceProcess(
            folder / "service", environment={**settings, **(environment or {})}
        )
        self._channel: grpc.Channel | None = None

    def start(self) -> "Customer":
        self.service.start()
        self._channel = self.service.channel()
        self.vendor = Vendor(self._channel).read()
        described = self.vendor.stub.GetOrganisation(pb.GetOrganisationRequest(), timeout=10)
        self.evidence_public_key = described.evidence_public_key
        return self

    def stop(self) -> None:
        """Ends it and checks its store."""
        if self._channel is not None:
            self._channel.close()
        found = self.service.run("fsck", check=False)
        self.service.kill()
        assert found.returncode == 0, found.stdout + found.stderr

    def __enter__(self) -> "Customer":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # Members

    def device(self, member: bytes | None = None) -> Device:
        """A device with keys that nobody knows yet."""
        return Device(self.vendor.organisation, member or some_id())

    def nonce(self, device: Device, salt: bytes, *, replaces: bool = False) -> str:
        """What the member's client asks its identity provider to vouch for."""
        assert self.provider is not None
        request = device.request_to_bind(replaces=replaces)
        return evidence_nonce(
            self.vendor.public_key,
            self.provider.issuer,
            self.provider.client_id,
            request,
            salt,
        )

    def evidence(
        self, device: Device, user: str, *, replaces: bool = False, **changes: object
    ) -> bytes:
        """Sealed evidence with a token that the provider's keys sign; `changes`: of its claims."""
        salt = os.urandom(32)
        nonce = self.nonce(device, salt, replaces=replaces)
        return self.seal(device, salt, self.provider_token(user, nonce, **changes))

    def provider_token(self, user: str, nonce: str, **changes: object) -> str:
        """One that the provider's keys sign."""
        assert self.provider is not None
        return self.provider.mint(self.provider.claims(user, nonce, **changes))

    def seal(self, device: Device, salt: bytes, token: str) -> bytes:
        """The evidence document on its way through the vendor."""
        info = evidence_info(device.organisation, device.member, device.key_id)
        return hpke.seal(Evidence(salt, token).to_bytes(), self.evidence_public_key, info)

    def binding(
        self,
        device: Device,
        user: str,
        *,
        replaces: bool = False,
        endorser: Device | None = None,
        **changes: object,
    ) -> pb.KeyBinding:
        """What an honest vendor sends for this device of this person, in the customer's mode."""
        binding = device.binding(
            endorser, replaces=replaces, external_id=user, user_name=f"{user}@example.com"
        )
        if self.mode is TrustMode.OIDC:
            binding.sealed_evidence = self.evidence(device, user, replaces=replaces, **changes)
        return binding

    def enrol(self, user: str, member: bytes | None = None) -> Device:
        """A bound device of this person."""
        device = self.device(member)
        (answer,) = self.vendor.bind(self.binding(device, user))
        if self.mode is TrustMode.APPROVE:
            assert answer.outcome == pb.BINDING_OUTCOME_WAITING, answer
            self.service.run("keys", "approve", device.member_text, device.key_id.hex())
        else:
            assert answer.outcome == pb.BINDING_OUTCOME_BOUND, answer
        return device

    def group(self, name: str, *members: bytes) -> bytes:
        """A group that the vendor pushes under this name, with these members."""
        group = some_id()
        self.vendor.change(group, members, name=pb.GroupName(display_name=name))
        return group
