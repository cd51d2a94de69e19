{{/*
What the schema cannot say with a remedy. Not in the schema also because `helm lint` must
pass on the chart as it is shipped, with the required values still empty.
*/}}
{{- define "encryption-service.checks" -}}
{{- if not .Values.rootKey.existingSecret }}
{{- fail "rootKey.existingSecret is empty: name the Secret that holds the root key. To make one: head -c 32 /dev/urandom > root.key && kubectl create secret generic groupseal-root-key --from-file=root.key; keep a copy of root.key in a safe place, then --set rootKey.existingSecret=groupseal-root-key" }}
{{- end }}
{{- if not .Values.tls.clientCA.existingSecret }}
{{- fail "tls.clientCA.existingSecret is empty: name the Secret that holds the vendor's client CA certificate. To make one from the file you got from the vendor: kubectl create secret generic groupseal-vendor-ca --from-file=ca.crt, then --set tls.clientCA.existingSecret=groupseal-vendor-ca" }}
{{- end }}
{{- if not .Values.tls.allowedClientIdentities }}
{{- fail "tls.allowedClientIdentities is empty, so no client could ever connect: give the identity of your tenant that you got from the vendor, for example --set 'tls.allowedClientIdentities={spiffe://groupseal/tenant/<tenant id>}'" }}
{{- end }}
{{- if and .Values.tls.existingSecret (not .Values.tls.serverName) }}
{{- fail (printf "tls.serverName is empty, but tls.existingSecret names a certificate (Secret %s): set tls.serverName to a DNS name in that certificate, which the vendor's workers will check" .Values.tls.existingSecret) }}
{{- end }}
{{- include "encryption-service.trustChecks" . }}
{{- if ge (int .Values.drainSeconds) (int .Values.terminationGracePeriodSeconds) }}
{{- fail (printf "drainSeconds (%d) must be less than terminationGracePeriodSeconds (%d), which includes it: raise the latter" (int .Values.drainSeconds) (int .Values.terminationGracePeriodSeconds)) }}
{{- end }}
{{- if and (eq .Values.image.tag "latest") (not .Values.image.digest) }}
{{- fail "image.tag is \"latest\", which names another image from day to day: give a version, or image.digest" }}
{{- end }}
{{- $own := list }}
{{- range (include "encryption-service.env" . | fromYamlArray) }}
{{- $own = append $own .name }}
{{- end }}
{{- range .Values.extraEnv }}
{{- if has .name $own }}
{{- fail (printf "extraEnv sets %s, which the chart sets itself: use the value for it (see README.md)" .name) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "encryption-service.trustChecks" -}}
{{- if and (eq .Values.trust.mode "oidc") (not (and .Values.trust.oidc.issuer .Values.trust.oidc.clientId)) }}
{{- fail "trust.mode is oidc, but trust.oidc.issuer or trust.oidc.clientId is empty: register a client for this alone at your identity provider (docs/deploy-encryption-service.md, \"Choose who vouches for keys\"), and set both" }}
{{- end }}
{{- with .Values.membership }}
{{- if and (not .source) (has .check (list "observe" "enforce")) }}
{{- fail (printf "membership.check is %s, but membership.source is empty: set it to okta or entra, with a read-only credential" .check) }}
{{- end }}
{{- if and .source (not .credential.existingSecret) }}
{{- fail (printf "membership.source is %s, but membership.credential.existingSecret is empty: put the read-only credential into a file named credential, then kubectl create secret generic groupseal-membership --from-file=credential and --set membership.credential.existingSecret=groupseal-membership" .source) }}
{{- end }}
{{- if and (eq .source "okta") (not .okta.url) }}
{{- fail "membership.okta.url is empty: set it to your organisation's address, such as https://example.okta.com" }}
{{- end }}
{{- if and (eq .source "entra") (not (and .entra.tenantId .entra.clientId)) }}
{{- fail "membership.entra.tenantId or membership.entra.clientId is empty: set both to those of the app registration" }}
{{- end }}
{{- end }}
{{- if and .Values.policy.inline .Values.policy.existingConfigMap }}
{{- fail "policy.inline and policy.existingConfigMap are both set: keep one of them" }}
{{- end }}
{{- if and .Values.metrics.enabled (eq (int .Values.metrics.port) (int .Values.health.port)) }}
{{- fail (printf "metrics.port and health.port are both %d: give them two ports" (int .Values.health.port)) }}
{{- end }}
{{- end }}
