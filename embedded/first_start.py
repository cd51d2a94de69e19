"""What is done once per data folder. Each step leaves its file last, so that a start that was
interrupted goes on where it stopped."""

import json
import secrets

from embedded.components import CustomerSide, DataFolder, VendorSide
from embedded.errors import StartFailedError
from embedded.local_tenant import LocalTenant
from embedded.private_files import make_private_folder, write_private
from embedded.supervisor import Supervisor
from groupseal.pairing import open_identity


def make_authority(data: DataFolder, vendor: VendorSide, supervisor: Supervisor) -> None:
    """Make the vendor's authority for client certificates, if there is none."""
    if not (data.authority / "ca.crt").exists():
        out = str(data.authority)
        supervisor.call(vendor.command("authority", "authority", "create", "--out", out))


def make_tenant(data: DataFolder, vendor: VendorSide, supervisor: Supervisor) -> LocalTenant:
    """Return the local tenant; create it at the first call."""
    tenant = LocalTenant.read(data.tenant)
    if tenant is None:
        try:
            tenant = _create_tenant(vendor, supervisor, "local")
        except StartFailedError:
            # The name is taken if a start was interrupted before the token was kept, or if the
            # database is shared with another data folder. The token cannot be read back.
            tenant = _create_tenant(vendor, supervisor, f"local-{secrets.token_hex(3)}")
        tenant.write(data.tenant)
    return tenant


def _create_tenant(vendor: VendorSide, supervisor: Supervisor, name: str) -> LocalTenant:
    command = vendor.command("tenant-create", "tenant", "create", "--name", name, "--json")
    answer = json.loads(supervisor.call(command))
    return LocalTenant(tenant_id=answer["tenant_id"], scim_token=answer["scim_token"])


def make_root_key(data: DataFolder, customer: CustomerSide, supervisor: Supervisor) -> None:
    """Make the encryption service's folder and root key, if they are missing."""
    make_private_folder(data.service)
    if not data.service_root_key.exists():
        out = str(data.service_root_key)
        supervisor.call(customer.command("root-key", "root-key", "create", "--out", out))


def pair(
    tenant: LocalTenant,
    data: DataFolder,
    vendor: VendorSide,
    customer: CustomerSide,
    supervisor: Supervisor,
) -> LocalTenant:
    """Connect the tenant with the running service; again if the service's address changed.

    Both are ours here, so the fingerprint that a person would compare is passed on.
    """
    if tenant.fingerprint is not None and tenant.service_address == customer.address:
        return tenant
    document = supervisor.call(customer.command("identity", "identity", "--json"))
    write_private(data.service_identity, document)
    fingerprint = open_identity(document.decode()).fingerprint
    supervisor.call(
        vendor.command(
            "tenant-connect",
            *("tenant", "connect", "--tenant", tenant.tenant_id, "--address", customer.address),
            *("--identity", str(data.service_identity), "--fingerprint", fingerprint),
        )
    )
    tenant = tenant.connected(fingerprint=fingerprint, service_address=customer.address)
    tenant.write(data.tenant)
    return tenant
