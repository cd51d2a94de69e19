{{/*
Names are at most 43 characters: a StatefulSet's pods carry a label made of its name and an
11-character revision hash (63 at most), and the headless Service appends "-headless".
*/}}
{{- define "encryption-service.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 43 | trimSuffix "-" }}
{{- end }}

{{- define "encryption-service.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 43 | trimSuffix "-" }}
{{- else }}
{{- $name := include "encryption-service.name" . }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 43 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 43 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{/* Immutable once installed: never add to these. */}}
{{- define "encryption-service.selectorLabels" -}}
app.kubernetes.io/name: {{ include "encryption-service.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* The chart's own labels win over commonLabels, so that selectors always match. */}}
{{- define "encryption-service.labels" -}}
{{- $own := include "encryption-service.selectorLabels" . | fromYaml }}
{{- $own = merge $own (dict
  "app.kubernetes.io/component" "encryption-service"
  "app.kubernetes.io/managed-by" .Release.Service
  "app.kubernetes.io/part-of" "groupseal"
  "app.kubernetes.io/version" .Chart.AppVersion
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")) }}
{{- toYaml (merge $own (default dict .Values.commonLabels)) }}
{{- end }}

{{/* No chart version here: it would restart the pod at every release of the chart. */}}
{{- define "encryption-service.podLabels" -}}
{{- $own := include "encryption-service.selectorLabels" . | fromYaml }}
{{- $own = merge $own (dict
  "app.kubernetes.io/component" "encryption-service"
  "app.kubernetes.io/part-of" "groupseal") }}
{{- toYaml (merge $own (default dict .Values.podLabels) (default dict .Values.commonLabels)) }}
{{- end }}

{{- define "encryption-service.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "encryption-service.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "encryption-service.image" -}}
{{- $repository := .Values.image.repository }}
{{- with .Values.image.registry }}
{{- $repository = printf "%s/%s" . $repository }}
{{- end }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" $repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{- define "encryption-service.membershipCheck" -}}
{{- .Values.membership.check | default (ternary "enforce" "off" (ne .Values.membership.source "")) }}
{{- end }}

{{/* The ConfigMap that holds the policy; empty: there is none. */}}
{{- define "encryption-service.policyConfigMap" -}}
{{- if .Values.policy.existingConfigMap }}
{{- .Values.policy.existingConfigMap }}
{{- else if .Values.policy.inline }}
{{- printf "%s-policy" (include "encryption-service.fullname" .) }}
{{- end }}
{{- end }}

{{- define "encryption-service.membershipEnv" }}
{{- $credential := printf "/etc/groupseal/membership/%s" .Values.membership.credential.key }}
- name: GROUPSEAL_SERVICE_MEMBERSHIP_SOURCE
  value: {{ .Values.membership.source | quote }}
{{- if eq .Values.membership.source "okta" }}
- name: GROUPSEAL_SERVICE_OKTA_URL
  value: {{ .Values.membership.okta.url | quote }}
{{- if .Values.membership.okta.clientId }}
- name: GROUPSEAL_SERVICE_OKTA_CLIENT_ID
  value: {{ .Values.membership.okta.clientId | quote }}
- name: GROUPSEAL_SERVICE_OKTA_PRIVATE_KEY_FILE
  value: {{ $credential | quote }}
{{- else }}
- name: GROUPSEAL_SERVICE_OKTA_TOKEN_FILE
  value: {{ $credential | quote }}
{{- end }}
{{- else }}
- name: GROUPSEAL_SERVICE_ENTRA_TENANT_ID
  value: {{ .Values.membership.entra.tenantId | quote }}
- name: GROUPSEAL_SERVICE_ENTRA_CLIENT_ID
  value: {{ .Values.membership.entra.clientId | quote }}
- name: GROUPSEAL_SERVICE_ENTRA_CLIENT_SECRET_FILE
  value: {{ $credential | quote }}
{{- with .Values.membership.entra.graphUrl }}
- name: GROUPSEAL_SERVICE_ENTRA_GRAPH_URL
  value: {{ . | quote }}
{{- end }}
{{- with .Values.membership.entra.loginUrl }}
- name: GROUPSEAL_SERVICE_ENTRA_LOGIN_URL
  value: {{ . | quote }}
{{- end }}
{{- end }}
- name: GROUPSEAL_SERVICE_MEMBERSHIP_CACHE_SECONDS
  value: {{ int .Values.membership.cacheSeconds | quote }}
- name: GROUPSEAL_SERVICE_MEMBERSHIP_AUDIT_SECONDS
  value: {{ int .Values.membership.auditSeconds | quote }}
- name: GROUPSEAL_SERVICE_MEMBERSHIP_RECHECK_SECONDS
  value: {{ int .Values.membership.recheckSeconds | quote }}
{{- end }}

{{/* Paths, names and numbers only: secrets are files, never variables. */}}
{{- define "encryption-service.env" -}}
# A folder of its own below the mount: the mount point belongs to root, and may hold lost+found.
- name: GROUPSEAL_SERVICE_DATA_DIR
  value: /var/lib/groupseal/service
- name: GROUPSEAL_SERVICE_LISTEN
  value: "0.0.0.0:8443"
- name: GROUPSEAL_SERVICE_HEALTH_LISTEN
  value: {{ printf "0.0.0.0:%d" (int .Values.health.port) | quote }}
- name: GROUPSEAL_SERVICE_ROOT_KEY_FILE
  value: {{ printf "/etc/groupseal/root-key/%s" .Values.rootKey.key | quote }}
- name: GROUPSEAL_SERVICE_VENDOR_CA_FILE
  value: {{ printf "/etc/groupseal/vendor-ca/%s" .Values.tls.clientCA.key | quote }}
- name: GROUPSEAL_SERVICE_ALLOWED_CLIENT_IDENTITIES
  value: {{ join "," .Values.tls.allowedClientIdentities | quote }}
{{- if .Values.tls.existingSecret }}
- name: GROUPSEAL_SERVICE_SERVER_CERTIFICATE_FILE
  value: /etc/groupseal/server-tls/tls.crt
- name: GROUPSEAL_SERVICE_SERVER_KEY_FILE
  value: /etc/groupseal/server-tls/tls.key
- name: GROUPSEAL_SERVICE_SERVER_CA_FILE
  value: {{ printf "/etc/groupseal/server-tls/%s" .Values.tls.caKey | quote }}
{{- end }}
{{- with .Values.tls.serverName }}
- name: GROUPSEAL_SERVICE_SERVER_NAME
  value: {{ . | quote }}
{{- end }}
# Said openly, so that another default of a later version cannot change it unseen.
- name: GROUPSEAL_SERVICE_TRUST_MODE
  value: {{ .Values.trust.mode | quote }}
{{- if eq .Values.trust.mode "oidc" }}
- name: GROUPSEAL_SERVICE_OIDC_ISSUER
  value: {{ .Values.trust.oidc.issuer | quote }}
- name: GROUPSEAL_SERVICE_OIDC_CLIENT_ID
  value: {{ .Values.trust.oidc.clientId | quote }}
- name: GROUPSEAL_SERVICE_OIDC_SUBJECT_CLAIM
  value: {{ .Values.trust.oidc.subjectClaim | quote }}
{{- end }}
- name: GROUPSEAL_SERVICE_MEMBERSHIP_CHECK
  value: {{ include "encryption-service.membershipCheck" . | quote }}
{{- if .Values.membership.source }}
{{- include "encryption-service.membershipEnv" . }}
{{- end }}
{{- if include "encryption-service.policyConfigMap" . }}
- name: GROUPSEAL_SERVICE_POLICY_FILE
  value: {{ printf "/etc/groupseal/policy/%s" .Values.policy.key | quote }}
{{- end }}
- name: GROUPSEAL_SERVICE_OUTBOUND_ALLOW_PRIVATE
  value: {{ .Values.outbound.allowPrivateAddresses | quote }}
{{- if .Values.outbound.ca.existingConfigMap }}
- name: GROUPSEAL_SERVICE_OUTBOUND_CA_FILE
  value: {{ printf "/etc/groupseal/outbound-ca/%s" .Values.outbound.ca.key | quote }}
{{- end }}
{{- if .Values.metrics.enabled }}
- name: GROUPSEAL_SERVICE_METRICS_LISTEN
  value: {{ printf "0.0.0.0:%d" (int .Values.metrics.port) | quote }}
{{- end }}
- name: GROUPSEAL_SERVICE_LOG_LEVEL
  value: {{ .Values.logLevel | quote }}
- name: GROUPSEAL_SERVICE_WRAP_PROCESSES
  value: {{ int .Values.wrapProcesses | quote }}
{{- end }}
