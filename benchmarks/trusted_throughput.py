"""The same with everything on that decides whom to trust: mode `oidc`, a policy, `enforce`.

Keys are bound by evidence of a real identity provider, the policy has rules of every kind, and who
is in the group is asked at a stand-in for Okta's API beforehand: the answers are in the cache.
"""

import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

from benchmarks.report import Report
from benchmarks.seal_throughput import Bare, processes
from encryption_api import encryption_pb2 as pb
from groupseal.trust import TrustMode
from tests.support.customer import Customer
from tests.support.devices import Device
from tests.support.identity_provider import IdentityProvider
from tests.support.okta_api import OktaApi
from tests.support.policies import Approver
from tests.support.waiting import wait_for

LARGE = 10_000
ROUNDS = 5
_AUDIT_SECONDS = 45


def run(report: Report) -> None:
    """Seals 10,000 members into a group that everything has been asked about."""
    approver = Approver("ana")
    policy = {
        "groups": {"allow": [{"name": "*"}], "deny": [{"name": "Secret*"}]},
        "approvers": [approver.entry()],
        "protected": [{"match": [{"name": "Finance*"}], "approvals": 1}],
        "limits": {"seals_per_hour": 10_000_000, "seals_per_hour_per_group": 1_000_000},
        "suites": ["xwing"],
    }
    count = processes()
    environment = {
        "GROUPSEAL_SERVICE_WRAP_PROCESSES": str(count),
        "GROUPSEAL_SERVICE_MEMBERSHIP_CACHE_SECONDS": "3600",
        "GROUPSEAL_SERVICE_MEMBERSHIP_AUDIT_SECONDS": str(_AUDIT_SECONDS),
    }
    with (
        tempfile.TemporaryDirectory() as folder,
        IdentityProvider() as provider,
        OktaApi(page=1_000) as okta,
        Bare(count) as bare,
    ):
        okta.limit = None
        customer = Customer(
            Path(folder),
            mode=TrustMode.OIDC,
            provider=provider,
            okta=okta,
            policy=policy,
            environment=environment,
        )
        with customer:
            devices = _enrol(report, customer, okta)
            bare.load([device.hpke_public_key for device in devices])
            _seal(report, customer, okta, devices, bare)


def _enrol(report: Report, customer: Customer, okta: OktaApi) -> list[Device]:
    """Members with a key that their identity provider vouches for."""
    devices = [customer.device() for _ in range(LARGE)]
    bindings = []
    for number, device in enumerate(devices):
        user = okta.add_user(f"user{number}")
        bindings.append(customer.binding(device, user))
    begin = time.perf_counter()
    answers = customer.vendor.bind(*bindings)
    seconds = time.perf_counter() - begin
    assert {answer.outcome for answer in answers} == {pb.BINDING_OUTCOME_BOUND}, answers[:3]
    report.add(f"bind {LARGE} keys by evidence", f"{seconds:.2f} s, {LARGE / seconds:.0f}/s")
    return devices


def _seal(
    report: Report, customer: Customer, okta: OktaApi, devices: list[Device], bare: Bare
) -> None:
    vendor = customer.vendor
    first, *others = [device.member for device in devices]
    groups = []
    for number in range(ROUNDS):
        source = okta.add_group(f"Everybody {number}", okta.users)
        groups.append((customer.group(f"Everybody {number}", first), source))
    for group, source in groups:
        vendor.read_until_granted(group, {first})
        # The first audit of each group reads its whole list.
        wait_for(partial(_was_listed, okta, source), 3 * _AUDIT_SECONDS, "the audit of the group")
    ratios, rotations = [], []
    for group, _ in groups:
        vendor.read()
        limit = bare.seal()
        seconds = _timed(customer, vendor.command(group, others))
        vendor.read()
        limit = (limit + bare.seal()) / 2
        ratios.append(limit / seconds)
        report.add(
            f"{LARGE} members into one group, checked", f"{seconds:.3f} s; bare {limit:.3f} s"
        )
        seconds = _timed(customer, vendor.command(group, removed=others[:1]))
        rotations.append(limit / seconds)
        report.add("... and one of them removed", f"{seconds:.3f} s")
    what = "share of bare sealing, policy and bindings on, check cached"
    report.ratio(what, statistics.median(ratios), at_least=0.75)
    report.add("share of bare sealing, group rotated", f"{statistics.median(rotations):.2f} x")


def _was_listed(okta: OktaApi, source: str) -> bool:
    """Every page of the group's list was asked for."""
    return okta.paths().count(f"/api/v1/groups/{source}/users") >= LARGE // okta.page


def _timed(customer: Customer, command: pb.GroupCommand) -> float:
    begin = time.perf_counter()
    (answer,) = customer.vendor.reconcile(command, timeout=120)
    seconds = time.perf_counter() - begin
    assert (answer.outcome, len(answer.refusals)) == (pb.OUTCOME_DONE, 0), answer
    return seconds
