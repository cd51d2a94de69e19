"""The composition of the embedded stack: what starts, and in which order."""

import dataclasses
import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from embedded.components import CustomerSide, DataFolder, Ports, VendorSide
from embedded.databases import Databases
from embedded.errors import EmbeddedError
from embedded.first_start import make_authority, make_root_key, make_tenant, pair
from embedded.local_tenant import LocalTenant
from embedded.ports import LOOPBACK, PortBook
from embedded.private_files import make_private_folder
from embedded.ready_file import ReadyFile
from embedded.settings import EmbeddedSettings
from embedded.supervisor import ProcessIds, Supervisor


@dataclass(kw_only=True)
class Stack:
    """The embedded stack over one data folder. `run` starts it and returns when it has ended.

    `console` gets the components' output, line by line in short form; `on_ready` what the ready
    file says, once everything serves.
    """

    settings: EmbeddedSettings
    console: Callable[[str], None]
    on_ready: Callable[[ReadyFile], None]
    _ready: ReadyFile | None = field(default=None, init=False)

    def run(self) -> None:
        """Start everything and supervise it until a signal.

        Raises EmbeddedError; everything that ran has then been stopped.
        """
        data = DataFolder(self.settings.data.absolute())
        make_private_folder(data.root)
        with (
            _sole_user_of(data),
            self._ready_file_removed(),
            Supervisor(data.logs, self.console, self._note_processes) as supervisor,
        ):
            self._ready = self._start(data, supervisor)
            self._note_processes(supervisor.process_ids)
            self.on_ready(self._ready)
            supervisor.run()

    def _start(self, data: DataFolder, supervisor: Supervisor) -> ReadyFile:
        book = PortBook(data.ports)
        ports = Ports(
            gateway=book.port_for("gateway", self.settings.port),
            service=book.port_for("encryption-service", self.settings.service_port),
            service_health=book.port_for("encryption-service-health"),
        )
        databases = Databases(data, book, self.settings)
        supervisor.launch(*databases.children)
        tenant = LocalTenant.read(data.tenant)
        paired = tenant is not None and tenant.fingerprint is not None
        if tenant is not None and paired:  # then the service can start beside the databases
            supervisor.launch(_customer(tenant, data, ports).service())
        supervisor.await_ready(*databases.children)
        databases.settle()

        vendor = VendorSide(
            data=data,
            database_url=databases.database_url,
            redis_url=databases.redis_url,
            ports=ports,
        )
        supervisor.call(vendor.command("migrate", "migrate"))
        make_authority(data, vendor, supervisor)
        tenant = make_tenant(data, vendor, supervisor)
        customer = _customer(tenant, data, ports)
        make_root_key(data, customer, supervisor)
        if not paired:
            supervisor.launch(customer.service())
        children = [vendor.gateway(), *vendor.workers(self.settings.workers), vendor.sweeper()]
        supervisor.launch(*children)
        supervisor.await_ready(customer.service())
        tenant = pair(tenant, data, vendor, customer, supervisor)
        supervisor.await_ready(*children)

        base = f"http://{LOOPBACK}:{ports.gateway}"
        return ReadyFile(
            tenant_id=tenant.tenant_id,
            scim_base_url=f"{base}/scim/v2",
            scim_token=tenant.scim_token,
            member_api_url=base,
            fingerprint=tenant.fingerprint or "",
            database_url=databases.database_url,
            redis_url=databases.redis_url,
            service_data=str(data.service),
            processes=supervisor.process_ids,
        )

    def _note_processes(self, ids: ProcessIds) -> None:
        if self._ready is None:
            return  # a child was replaced before everything served
        self._ready = dataclasses.replace(self._ready, processes=dict(ids))
        if self.settings.ready_file is not None:
            self._ready.write(self.settings.ready_file.absolute())

    @contextmanager
    def _ready_file_removed(self) -> Iterator[None]:
        """See that the file is there only while everything serves."""
        path = self.settings.ready_file
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
        try:
            yield
        finally:
            if path is not None:
                path.unlink(missing_ok=True)


def _customer(tenant: LocalTenant, data: DataFolder, ports: Ports) -> CustomerSide:
    return CustomerSide(data=data, ports=ports, tenant_id=tenant.tenant_id)


@contextmanager
def _sole_user_of(data: DataFolder) -> Iterator[None]:
    """Hold the folder's lock; raise EmbeddedError if another process does."""
    with data.lock.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EmbeddedError(
                f"The data folder {data.root} is in use by another `groupseal up`. "
                "Stop that one, or choose another folder with --data."
            ) from None
        yield
