{{- define "operator.name" -}}
{{- .Values.nameOverride | default .Chart.Name -}}
{{- end }}

{{/* The name of the chart's objects: the release's, and the chart's where that is not in it. */}}
{{- define "operator.fullname" -}}
{{- $name := include "operator.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" (.Release.Name | trunc 17 | trimSuffix "-") $name -}}
{{- end -}}
{{- end }}

{{/* Of the operator's pods and of all that belongs to them. */}}
{{- define "operator.namespace" -}}
{{- .Values.namespaceOverride | default .Release.Namespace -}}
{{- end }}

{{- define "operator.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "operator.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end }}

{{/* Of the Service and of the MutatingWebhookConfiguration, as the manager expects. */}}
{{- define "operator.webhookName" -}}
{{- include "operator.fullname" . }}-webhook
{{- end }}

{{/* The Secret with the webhook's certificate: the operator's own, or cert-manager's. */}}
{{- define "operator.webhookSecretName" -}}
{{- include "operator.webhookName" . }}-{{ ternary "tls" "cert" (eq .Values.webhook.certificates "CertManager") }}
{{- end }}

{{/* The metrics' port; empty where they are switched off. */}}
{{- define "operator.metricsPort" -}}
{{- if ne .Values.metrics.bindAddress "0" -}}
{{- .Values.metrics.bindAddress | splitList ":" | last -}}
{{- end -}}
{{- end }}

{{/*
Metadata of an object, from a dict: root, the suffix of its name (or all of its name), and where it has them labels and
annotations of its own, another namespace than the operator's, or clusterWide.
*/}}
{{- define "operator.metadata" -}}
name: {{ .name | default (printf "%s%s" (include "operator.fullname" .root) (.suffix | default "")) }}
{{- if not .clusterWide }}
namespace: {{ .namespace | default (include "operator.namespace" .root) | quote }}
{{- end }}
labels:
  {{- include "operator.labels" . | nindent 2 }}
{{- with .annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "operator.subjects" -}}
- kind: ServiceAccount
  name: {{ include "operator.serviceAccountName" . }}
  namespace: {{ include "operator.namespace" . | quote }}
{{- end }}

{{/* Of a Service's spec. */}}
{{- define "operator.ipFamilies" -}}
{{- range $field := list "ipFamilyPolicy" "ipFamilies" }}
{{- with index $.Values.service $field }}
{{- toYaml (dict $field .) | nindent 0 }}
{{- end }}
{{- end }}
{{- end }}
