"""The sets of values over which the chart's rules are checked."""

from tests.charts.rendering import Values, merged

IDENTITY = "spiffe://groupseal/tenant/0b5a2c1e-7d40-4d0c-9a52-3f6e0a9c1d11"
OTHER_IDENTITY = "spiffe://groupseal/tenant/5d1f0c52-1f0e-4f0f-8a67-62f1a0b7c9d2"
DIGEST = "sha256:" + "5e" * 32

MINIMAL: Values = {
    "rootKey": {"existingSecret": "the-root-key"},
    "tls": {
        "clientCA": {"existingSecret": "the-vendor-ca"},
        "allowedClientIdentities": [IDENTITY],
    },
}

OWN_CERTIFICATE: Values = {
    "tls": {
        "existingSecret": "the-server-certificate",
        "caKey": "issuer.pem",
        "serverName": "sealing.example.com",
        "clientCA": {"key": "vendor.pem"},
        "allowedClientIdentities": [IDENTITY, OTHER_IDENTITY, "dns:worker.example.com"],
    },
    "rootKey": {"key": "root"},
}

POLICY_TEXT = """\
version: 1
freeze: false
"""

OKTA: Values = {
    "trust": {
        "mode": "oidc",
        "oidc": {
            "issuer": "https://example.okta.com",
            "clientId": "0oa1evidence",
            "subjectClaim": "uid",
        },
    },
    "membership": {
        "source": "okta",
        "credential": {"existingSecret": "the-okta-credential", "key": "okta.pem"},
        "okta": {"url": "https://example.okta.com", "clientId": "0oa1membership"},
        "cacheSeconds": 60,
        "auditSeconds": 300,
        "recheckSeconds": 30,
    },
    "policy": {"inline": POLICY_TEXT, "key": "ours.yaml"},
    "outbound": {
        "allowPrivateAddresses": True,
        "ca": {"existingConfigMap": "the-proxy-ca", "key": "proxy.pem"},
    },
    "metrics": {"enabled": True, "port": 9100},
}

OKTA_TOKEN: Values = {
    "membership": {
        "source": "okta",
        "check": "observe",
        "credential": {"existingSecret": "the-okta-credential"},
        "okta": {"url": "https://example.okta.com"},
    },
    "policy": {"existingConfigMap": "the-policy"},
}

ENTRA: Values = {
    "trust": {"mode": "approve"},
    "membership": {
        "source": "entra",
        "credential": {"existingSecret": "the-entra-credential"},
        "entra": {
            "tenantId": "9d0c7a52-0f4e-4f8b-a1f5-6f5f4d0b7c11",
            "clientId": "1b5e4f0a-7c1d-4d52-8c3f-2a9e6d0f4b22",
            "graphUrl": "https://graph.microsoft.us",
            "loginUrl": "https://login.microsoftonline.us",
        },
    },
}

EVERYTHING: Values = {
    "global": {"imagePullSecrets": [{"name": "mirror"}], "unknownToThisChart": {"a": 1}},
    "enabled": True,
    "nameOverride": "sealing",
    "commonLabels": {"team": "identity", "app.kubernetes.io/name": "not-this"},
    "image": {"registry": "mirror.example:5000", "tag": "0.1.0", "digest": DIGEST},
    "imagePullSecrets": [{"name": "mirror"}, {"name": "own"}],
    "serviceAccount": {"annotations": {"example.com/role": "sealing"}},
    "service": {"type": "LoadBalancer", "port": 443, "annotations": {"example.com/a": "b"}},
    "health": {"port": 9000},
    "storage": {"sqlite": {"size": "8Gi", "storageClassName": "fast", "retain": False}},
    "logLevel": "debug",
    "wrapProcesses": 4,
    "podAnnotations": {"example.com/a": "b"},
    "podLabels": {"team": "sealing", "app.kubernetes.io/instance": "not-this"},
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "dedicated", "operator": "Exists"}],
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [
                    {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}
                ]
            }
        }
    },
    "priorityClassName": "high",
    "drainSeconds": 0,
    "terminationGracePeriodSeconds": 90,
    "extraEnv": [{"name": "TZ", "value": "UTC"}],
    "extraVolumes": [{"name": "extra", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "extra", "mountPath": "/extra"}],
    "tls": {"serverName": "sealing.example.com"},
}

CASES: dict[str, Values] = {
    "minimal": MINIMAL,
    "own certificate": merged(MINIMAL, OWN_CERTIFICATE),
    "existing claim": merged(MINIMAL, {"storage": {"sqlite": {"existingClaim": "the-claim"}}}),
    "everything": merged(MINIMAL, EVERYTHING),
    "default service account": merged(MINIMAL, {"serviceAccount": {"create": False}}),
    "okta by key": merged(MINIMAL, OKTA),
    "okta by token": merged(MINIMAL, OKTA_TOKEN),
    "entra": merged(MINIMAL, ENTRA),
    "full name given": merged(MINIMAL, {"fullnameOverride": "groupseal"}),
}

# On platforms that choose the ids themselves the contexts are taken out.
NO_GROUP: Values = merged(MINIMAL, {"podSecurityContext": {"fsGroup": None}})
NO_CONTEXTS: Values = merged(MINIMAL, {"podSecurityContext": None, "securityContext": None})
