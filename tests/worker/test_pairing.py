"""Connecting a tenant: by the right fingerprint, with a certificate of its own, or not at all."""

import json
import stat
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from tests.support.ledger_maker import FakeService
from tests.worker.parts import AUTHORITY, Bench, Tenant
from worker.client_certificates import Authority, tenant_identity
from worker.errors import AuthorityError


def connect(
    tenant: Tenant, service: FakeService, *options: str, document: str | None = None
) -> subprocess.CompletedProcess[str]:
    """`groupseal tenant connect` as an operator calls it; the document on standard input."""
    return subprocess.run(
        [
            Path(sys.executable).with_name("groupseal"),
            *("tenant", "connect", "--tenant", str(tenant.id), "--address", service.address),
            *("--identity", "-", "--json", *options),
        ],
        env=tenant.bench.environment(),
        input=service.identity.to_json() if document is None else document,
        capture_output=True,
        text=True,
        check=False,
    )


def state(tenant: Tenant) -> str:
    return str(tenant.one("SELECT state FROM tenants WHERE id = %s"))


def test_the_right_fingerprint_connects(bench: Bench, service: FakeService) -> None:
    tenant = bench.tenant()
    result = connect(tenant, service, "--fingerprint", service.identity.fingerprint.lower())
    assert result.returncode == 0, result.stderr
    shown = json.loads(result.stdout)
    assert shown["fingerprint"] == service.identity.fingerprint
    assert shown["client_identity"] == tenant_identity(tenant.id)
    assert shown["trust_mode"] == "pin"
    assert state(tenant) == "connected"


def test_another_fingerprint_is_refused(bench: Bench, service: FakeService) -> None:
    tenant = bench.tenant()
    wrong = "00000-" + service.identity.fingerprint[6:]
    result = connect(tenant, service, "--fingerprint", wrong)
    assert result.returncode == 3
    assert service.identity.fingerprint in result.stderr
    assert state(tenant) == "new"


def test_a_changed_document_is_refused(bench: Bench, service: FakeService) -> None:
    """Another certificate authority under the same fingerprint does not verify."""
    tenant = bench.tenant()
    changed = replace(service.identity, server_name="elsewhere").to_json()
    fingerprint = service.identity.fingerprint
    result = connect(tenant, service, "--fingerprint", fingerprint, document=changed)
    assert result.returncode == 3
    assert "signature_invalid" in result.stderr
    assert state(tenant) == "new"


def test_a_service_that_is_away_is_connected_offline_only(
    bench: Bench, service: FakeService
) -> None:
    tenant = bench.tenant()
    service.stop()
    options = ("--fingerprint", service.identity.fingerprint)
    result = connect(tenant, service, *options)
    assert result.returncode == 4
    assert "--offline" in result.stderr
    assert state(tenant) == "new"
    assert connect(tenant, service, *options, "--offline").returncode == 0
    assert state(tenant) == "connected"


def test_one_service_serves_one_tenant(bench: Bench, service: FakeService) -> None:
    first, second = bench.tenant(), bench.tenant()
    options = ("--fingerprint", service.identity.fingerprint)
    assert connect(first, service, *options).returncode == 0
    assert connect(second, service, *options).returncode == 3
    assert state(second) == "new"


def test_a_ledger_is_never_mixed_with_another_organisations(bench: Bench, tenant: Tenant) -> None:
    tenant.reconcile()
    with FakeService(bench.vendor_ca) as other:
        result = connect(tenant, other, "--fingerprint", other.identity.fingerprint)
        assert result.returncode == 3
        assert "another organisation" in result.stderr


def test_connecting_again_ends_a_halt(tenant: Tenant, service: FakeService) -> None:
    tenant.run("UPDATE tenants SET halted_reason = 'ledger_forked', service_failures = 3")
    assert connect(tenant, service, "--fingerprint", service.identity.fingerprint).returncode == 0
    query = "SELECT halted_reason, service_failures FROM tenants WHERE id = %s"
    assert tenant.one(query) == (None, 0)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--tenant", "not-an-id", "--address", "a:1", "--identity", "-", "--fingerprint", "x"],
        ["--tenant", "6f1b1f9e-3f5c-4f0e-9a53-0d8c8c1f4b11", "--address", "a:1", "--identity", "-"],
    ],
)
def test_wrong_use_ends_with_2(bench: Bench, arguments: list[str]) -> None:
    program = str(Path(sys.executable).with_name("groupseal"))
    command = [program, "tenant", "connect", *arguments]
    result = subprocess.run(
        command, env=bench.environment(), input="{}", capture_output=True, text=True, check=False
    )
    assert result.returncode == 2, result.stderr


def test_an_authority_is_made_once_and_its_key_is_private(tmp_path: Path) -> None:
    program, folder = str(Path(sys.executable).with_name("groupseal")), tmp_path / "made"
    command = [program, "authority", "create", "--out", str(folder)]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    assert stat.S_IMODE((folder / "ca.key").stat().st_mode) == 0o600
    again = subprocess.run(command, check=False, capture_output=True, text=True)
    assert again.returncode == 1
    assert "already" in again.stderr


def test_certificates_name_the_tenant_and_are_renewed_in_time(bench: Bench) -> None:
    tenant = bench.tenant()
    first = bench.authority.certificate_for(tenant.id)
    parsed = x509.load_pem_x509_certificate(first.certificate)
    names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [tenant_identity(tenant.id)]
    assert first.not_after - datetime.now(UTC) < timedelta(days=91)
    assert "PRIVATE" not in repr(first)
    assert bench.authority.certificate_for(tenant.id) == first
    key = bench.folder / AUTHORITY / "tenants" / f"{tenant.id}.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_without_a_key_of_the_authority_certificates_must_be_there(bench: Bench) -> None:
    """A worker may be given certificates alone; it says what is missing."""
    tenant, other = bench.tenant(), bench.tenant()
    made = bench.authority.certificate_for(tenant.id)
    (bench.folder / AUTHORITY / "ca.key").unlink()
    assert Authority(bench.folder / AUTHORITY).certificate_for(tenant.id) == made
    with pytest.raises(AuthorityError, match=r"no ca\.key"):
        bench.authority.certificate_for(other.id)
