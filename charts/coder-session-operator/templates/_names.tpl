{{/* The name of the chart's objects: the release's, and the chart's where that is not in it. */}}
{{- define "operator.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" (.Release.Name | trunc 17 | trimSuffix "-") .Chart.Name -}}
{{- end -}}
{{- end }}

{{- define "operator.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "operator.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end }}

{{/* By which the Deployment and the Services find the pods: never to be changed. */}}
{{- define "operator.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: manager
{{- end }}

{{- define "operator.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: {{ .Chart.Name }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 }}
{{- end }}

{{- define "operator.subjects" -}}
- kind: ServiceAccount
  name: {{ include "operator.serviceAccountName" . }}
  namespace: {{ .Release.Namespace | quote }}
{{- end }}

{{/* The port of the metrics; empty where they are switched off. */}}
{{- define "operator.metricsPort" -}}
{{- if ne .Values.metrics.bindAddress "0" -}}
{{- .Values.metrics.bindAddress | splitList ":" | last -}}
{{- end -}}
{{- end }}
