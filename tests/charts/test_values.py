"""The chart's values: none without effect, none without documentation."""

import pytest
import yaml

from tests.charts.matrix import ENTRA, EVERYTHING, MINIMAL, OKTA, OKTA_TOKEN, OWN_CERTIFICATE
from tests.charts.rendering import CHART, Values, merged, render_text

pytestmark = pytest.mark.tools

DEFAULTS: Values = yaml.safe_load((CHART / "values.yaml").read_text())
# Kubernetes' own objects, and maps whose keys are the user's: one value each.
WHOLE = {"podSecurityContext", "securityContext", "resources"}
# What must be set besides, so that a value can make a difference.
NEEDS: dict[str, Values] = {
    "tls.existingSecret": {"tls": {"serverName": "sealing.example.com"}},
    "tls.caKey": OWN_CERTIFICATE,
    **dict.fromkeys(("trust.oidc.issuer", "trust.oidc.clientId", "trust.oidc.subjectClaim"), OKTA),
    **{
        f"membership.{name}": OKTA
        for name in (
            "check",
            "credential.existingSecret",
            "credential.key",
            "okta.url",
            "okta.clientId",
            "cacheSeconds",
            "auditSeconds",
            "recheckSeconds",
        )
    },
    **{
        f"membership.entra.{name}": ENTRA
        for name in ("tenantId", "clientId", "graphUrl", "loginUrl")
    },
    "policy.key": OKTA,
    "outbound.ca.key": OKTA,
    "metrics.port": OKTA,
}
# Another value for those keys that the matrix's richest case does not set.
OTHERS: dict[str, Values] = {
    "fullnameOverride": {"fullnameOverride": "groupseal"},
    "image.repository": {"image": {"repository": "mirror/encryption-service"}},
    "image.tag": {"image": {"tag": "1.2.3"}},
    "image.digest": {"image": {"digest": EVERYTHING["image"]["digest"]}},
    "image.pullPolicy": {"image": {"pullPolicy": "Always"}},
    "serviceAccount.create": {"serviceAccount": {"create": False}},
    "serviceAccount.name": {"serviceAccount": {"name": "sealing"}},
    "serviceAccount.automountServiceAccountToken": {
        "serviceAccount": {"automountServiceAccountToken": True}
    },
    "rootKey.existingSecret": {"rootKey": {"existingSecret": "another"}},
    "rootKey.key": {"rootKey": {"key": "root"}},
    "tls.existingSecret": {"tls": {"existingSecret": "the-server-certificate"}},
    "tls.caKey": {"tls": {"caKey": "another.pem"}},
    "tls.clientCA.existingSecret": {"tls": {"clientCA": {"existingSecret": "another"}}},
    "tls.clientCA.key": {"tls": {"clientCA": {"key": "vendor.pem"}}},
    "tls.allowedClientIdentities": {"tls": {"allowedClientIdentities": ["spiffe://other/x"]}},
    "trust.mode": {"trust": {"mode": "approve"}},
    "trust.oidc.issuer": {"trust": {"oidc": {"issuer": "https://login.example.com"}}},
    "trust.oidc.clientId": {"trust": {"oidc": {"clientId": "another"}}},
    "trust.oidc.subjectClaim": {"trust": {"oidc": {"subjectClaim": "oid"}}},
    "membership.check": {"membership": {"check": "observe"}},
    "membership.source": OKTA_TOKEN,
    "membership.credential.existingSecret": {
        "membership": {"credential": {"existingSecret": "another"}}
    },
    "membership.credential.key": {"membership": {"credential": {"key": "another.pem"}}},
    "membership.okta.url": {"membership": {"okta": {"url": "https://another.okta.com"}}},
    "membership.okta.clientId": {"membership": {"okta": {"clientId": ""}}},
    "membership.entra.tenantId": {"membership": {"entra": {"tenantId": "another"}}},
    "membership.entra.clientId": {"membership": {"entra": {"clientId": "another"}}},
    "membership.entra.graphUrl": {"membership": {"entra": {"graphUrl": ""}}},
    "membership.entra.loginUrl": {"membership": {"entra": {"loginUrl": ""}}},
    "membership.cacheSeconds": {"membership": {"cacheSeconds": 90}},
    "membership.auditSeconds": {"membership": {"auditSeconds": 90}},
    "membership.recheckSeconds": {"membership": {"recheckSeconds": 90}},
    "policy.inline": {"policy": {"inline": "freeze: true\n"}},
    "policy.existingConfigMap": {"policy": {"existingConfigMap": "the-policy"}},
    "policy.key": {"policy": {"key": "another.yaml"}},
    "outbound.allowPrivateAddresses": {"outbound": {"allowPrivateAddresses": True}},
    "outbound.ca.existingConfigMap": {"outbound": {"ca": {"existingConfigMap": "the-ca"}}},
    "outbound.ca.key": {"outbound": {"ca": {"key": "another.pem"}}},
    "metrics.enabled": {"metrics": {"enabled": True}},
    "metrics.port": {"metrics": {"port": 9101}},
    "storage.sqlite.existingClaim": {"storage": {"sqlite": {"existingClaim": "the-claim"}}},
    "podSecurityContext": {"podSecurityContext": {"fsGroup": 1}},
    "securityContext": {"securityContext": {"readOnlyRootFilesystem": False}},
    "resources": {"resources": {"limits": {"memory": "1Gi"}}},
}


def leaves(values: Values, above: str = "") -> list[str]:
    """The dotted names of all values; an empty map or a raw Kubernetes object is one value."""
    found: list[str] = []
    for key, value in values.items():
        name = f"{above}{key}"
        if isinstance(value, dict) and value and name not in WHOLE:
            found += leaves(value, f"{name}.")
        else:
            found.append(name)
    return found


def only(values: Values, name: str) -> Values:
    """`values` reduced to the one of the dotted `name`."""
    key, _, below = name.partition(".")
    return {key: only(values[key], below) if below else values[key]}


@pytest.mark.parametrize("name", sorted(set(leaves(DEFAULTS)) - {"replicaCount"}))
def test_every_value_has_an_effect(name: str) -> None:
    """Changing any value changes what is rendered: there is no dead key."""
    base = merged(MINIMAL, NEEDS.get(name, {}))
    change = OTHERS[name] if name in OTHERS else only(EVERYTHING, name)
    assert render_text(merged(base, change)) != render_text(base)


def test_every_value_is_documented() -> None:
    """The chart's README names every value and no other."""
    rows = [
        line.split("|")[1].strip().strip("`")
        for line in (CHART / "README.md").read_text().splitlines()
        if line.startswith("| `")
    ]
    assert sorted(rows) == sorted(leaves(DEFAULTS))
