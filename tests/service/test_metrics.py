"""What Prometheus and an operator are told of a running service, and what they are not."""

import base64
import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from embedded.ports import free_port
from encryption_api import encryption_pb2 as pb
from groupseal.reasons import Reason
from tests.support.customer import Customer
from tests.support.devices import Device
from tests.support.metrics import Scraped, scrape
from tests.support.okta_api import OktaApi
from tests.support.service import ServiceProcess
from tests.support.vendor import Vendor, some_id
from tests.support.waiting import wait_for

PREFIX = "groupseal_service_"
# Every family of the service's own in mode `pin` without a membership source, and its type.
# The parser names a counter without its `_total`.
FAMILIES = {
    "build_info": "gauge",
    "trust_info": "gauge",
    "certificate_expiry_timestamp_seconds": "gauge",
    "certificate_fault": "gauge",
    "ledger_size": "gauge",
    "acknowledged_size": "gauge",
    "groups": "gauge",
    "groups_with_work": "gauge",
    "groups_between_epochs": "gauge",
    "bound_keys": "gauge",
    "waiting_keys": "gauge",
    "holds": "gauge",
    "halted": "gauge",
    "frozen": "gauge",
    "policy_fault": "gauge",
    "entries": "counter",
    "seals": "counter",
    "epochs_opened": "counter",
    "epochs_closed": "counter",
    "bind_refusals": "counter",
    "policy_reloads": "counter",
}
ORDINARY_LABELS = {"which", "reason", "type", "version", "mode", "membership_check"}


@dataclass(frozen=True, slots=True)
class Measured:
    """A service, its metrics, and a vendor that did something with it."""

    service: ServiceProcess
    metrics_port: int
    vendor: Vendor
    devices: list[Device]
    group: bytes

    def scrape(self) -> Scraped:
        return scrape(self.metrics_port)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measured]:
    """Five members in a group, one of whom left; one key that was refused."""
    port = free_port()
    folder = tmp_path_factory.mktemp("measured")
    environment = {"GROUPSEAL_SERVICE_METRICS_LISTEN": f"127.0.0.1:{port}"}
    with ServiceProcess(folder, environment=environment) as service, service.channel() as channel:
        vendor = Vendor(channel).read()
        devices = vendor.bound_devices(5)
        group = some_id()
        vendor.change(
            group, [device.member for device in devices], name=pb.GroupName(display_name="Finance")
        )
        vendor.read().change(group, removed=[devices[0].member])
        vendor.read()
        stranger = Device(vendor.organisation, member=devices[1].member)
        (refused,) = vendor.bind(stranger.binding())
        assert refused.outcome == pb.BINDING_OUTCOME_REFUSED
        vendor.read()
        yield Measured(service, port, vendor, [*devices, stranger], group)


def test_every_family_is_there_with_its_type(measured: Measured) -> None:
    """Names and types are what dashboards and alert rules are written against."""
    types = measured.scrape().types
    own = {name.removeprefix(PREFIX): kind for name, kind in types.items() if PREFIX in name}
    assert own == FAMILIES
    others = {name for name in types if not name.startswith(PREFIX)}
    assert all(name.startswith("process_") for name in others)


def test_the_numbers_are_the_ledgers(measured: Measured) -> None:
    """Five keys and then four were sealed to, in two epochs; one key was refused."""
    value, vendor = measured.scrape().value, measured.vendor
    assert value(f"{PREFIX}ledger_size") == vendor.range.size
    assert value(f"{PREFIX}groups") == 1
    assert value(f"{PREFIX}bound_keys") == 5
    assert value(f"{PREFIX}groups_with_work") == value(f"{PREFIX}groups_between_epochs") == 0
    assert value(f"{PREFIX}seals_total") == 5 + 4
    assert value(f"{PREFIX}epochs_opened_total") == 2
    assert value(f"{PREFIX}entries_total", type="key_bound") == 5
    assert value(f"{PREFIX}entries_total", type="key_refused") == 1
    assert value(f"{PREFIX}entries_total", type="approval") == 0
    reason = Reason.ANOTHER_KEY_IS_BOUND.value
    assert value(f"{PREFIX}bind_refusals_total", reason=reason) == 1
    assert value(f"{PREFIX}trust_info", mode="pin", membership_check="off") == 1
    assert value(f"{PREFIX}halted") == value(f"{PREFIX}frozen") == 0
    days = (value(f"{PREFIX}certificate_expiry_timestamp_seconds", which="server") or 0) / 86_400
    assert days == pytest.approx(time.time() / 86_400 + 30, abs=1)


def test_acknowledged_entries_are_counted(measured: Measured) -> None:
    """What the vendor says it has stored follows the ledger."""
    measured.vendor.read()
    wait_for(
        lambda: measured.scrape().value(f"{PREFIX}acknowledged_size") == measured.vendor.range.size,
        10,
        "the acknowledged size",
    )


def test_a_freeze_shows_in_metrics_and_status(measured: Measured) -> None:
    """Who is held back counts under the reason, and no longer once the freeze is over."""
    service, vendor = measured.service, measured.vendor
    (device,) = vendor.bound_devices(1)
    service.run("freeze", "on")
    vendor.read().change(measured.group, [device.member])
    value = measured.scrape().value
    assert value(f"{PREFIX}frozen") == 1
    assert value(f"{PREFIX}holds", reason=Reason.FROZEN.value) == 1
    status = json.loads(service.run("status", "--json").stdout)
    assert status["frozen_by_command"] is True
    assert status["held"] == {Reason.FROZEN.value: 1}
    assert f"{Reason.FROZEN.value} 1" in service.run("status").stdout
    service.run("freeze", "off")
    members = {each.member for each in [*measured.devices[1:5], device]}
    vendor.read_until_granted(measured.group, members)
    assert measured.scrape().value(f"{PREFIX}frozen") == 0
    assert measured.scrape().value(f"{PREFIX}holds", reason=Reason.FROZEN.value) is None


def test_nobody_is_named(measured: Measured) -> None:
    """No id, key, fingerprint or secret of anybody is on the page; labels are few and known."""
    scraped = measured.scrape()
    assert {name for _, labels in scraped.samples for name, _ in labels} <= ORDINARY_LABELS
    identity = measured.service.identity()
    secret_and_personal = [
        measured.service.root_key_file.read_bytes().strip(),
        identity.organisation,
        identity.signing_public_key,
        measured.group,
        *(device.member for device in measured.devices),
        *(device.key_id for device in measured.devices),
    ]
    text = scraped.text.lower()
    for value in secret_and_personal:
        forms = {value.hex(), base64.b64encode(value).decode().lower()}
        if len(value) == 16:
            forms.add(str(uuid.UUID(bytes=value)))
        assert not any(form in text for form in forms)
    assert identity.fingerprint.lower() not in text
    assert "finance" not in text


def test_the_page_is_served_alone(measured: Measured) -> None:
    """Metrics and probes are two addresses: who may read one may not read the other by it."""
    assert measured.service.probe("/metrics") == 404
    assert [measured.service.probe(path) for path in ("/livez", "/readyz")] == [200, 200]


def test_without_an_address_there_are_no_metrics(own_service: ServiceProcess) -> None:
    """Off by default; a running service says of itself how it decides and until when it serves."""
    status = json.loads(own_service.run("status", "--json").stdout)
    assert status["running"] is True
    assert status["trust_mode"] == "pin"
    assert "vendor-trusted" in status["trust_mode_note"]
    assert status["membership_check"] == "off"
    assert "vendor-trusted" in status["membership_check_note"]
    assert status["certificate_days_left"] in {29, 30}
    assert status["certificate_fault"] is status["policy_fault"] is None
    own_service.stop()
    stopped = json.loads(own_service.run("status", "--json").stdout)
    assert stopped["running"] is False
    assert stopped["fingerprint"] == status["fingerprint"]
    assert "trust_mode" not in stopped


@pytest.mark.slow
def test_the_membership_check_is_measured(tmp_path: Path) -> None:
    """Who is held back, who was found to have left, and how the source answers."""
    port = free_port()
    environment = {"GROUPSEAL_SERVICE_METRICS_LISTEN": f"127.0.0.1:{port}"}
    with OktaApi() as okta, Customer(tmp_path, okta=okta, environment=environment) as customer:
        source = okta.add_group("Finance")
        for user in ("ada", "ben", "ghost"):
            okta.add_user(user)
        okta.join(source, "ada")
        okta.join(source, "ben")
        ada, ben, ghost = (customer.enrol(user) for user in ("ada", "ben", "ghost"))
        group = customer.group("Finance", ada.member, ben.member, ghost.member)
        customer.vendor.read_until_granted(group, {ada.member, ben.member})
        okta.leave(source, "ben")
        customer.vendor.read_until_granted(group, {ada.member})
        name = f"{PREFIX}membership_members_left_total"
        wait_for(lambda: scrape(port).value(name) == 1, 20, "the one who left")
        number = scrape(port).number
        assert number(f"{PREFIX}trust_info", mode="pin", membership_check="enforce") == 1
        assert number(f"{PREFIX}holds", reason=Reason.NOT_IN_SOURCE_GROUP.value) >= 1
        assert number(f"{PREFIX}membership_fault") == 0
        assert number(f"{PREFIX}membership_limit_remaining") > 0
        for what in ("last_success", "last_audit"):
            at = number(f"{PREFIX}membership_{what}_timestamp_seconds")
            assert at == pytest.approx(time.time(), abs=60)
        status = json.loads(customer.service.run("status", "--json").stdout)
        assert status["membership_source"] == "okta"
        assert status["membership_check"] == "enforce"
        assert status["membership_check_note"] is status["membership_fault"] is None

        okta.api_tokens.clear()
        another = customer.enrol("eve")
        customer.vendor.read().change(group, [another.member])
        wait_for(lambda: scrape(port).value(f"{PREFIX}membership_fault") == 1, 20, "the fault")
        assert customer.service.run("status", check=False).returncode == 1
        assert okta.api_token not in scrape(port).text
