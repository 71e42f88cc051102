{{/* The chart's own, in which each field of podSpec takes the place of the chart's. */}}
{{- define "operator.podSpec" -}}
{{- $own := include "operator.ownPodSpec" . -}}
{{- if .Values.podSpec -}}
{{- $spec := fromYaml $own -}}
{{- range $field, $value := .Values.podSpec -}}
{{- $_ := set $spec $field $value -}}
{{- end -}}
{{- toYaml $spec -}}
{{- else -}}
{{- $own -}}
{{- end -}}
{{- end }}

{{- define "operator.ownPodSpec" -}}
serviceAccountName: {{ include "operator.serviceAccountName" . }}
automountServiceAccountToken: {{ .Values.automountServiceAccountToken }}
terminationGracePeriodSeconds: {{ int64 .Values.terminationGracePeriodSeconds }}
securityContext:
  {{- $always := dict "runAsNonRoot" true "seccompProfile" (dict "type" "RuntimeDefault") }}
  {{- toYaml (merge $always (.Values.podSecurityContext | default dict)) | nindent 2 }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .Values.hostNetwork }}
hostNetwork: true
{{- end }}
{{- with .Values.dnsPolicy | default (ternary "ClusterFirstWithHostNet" "" .Values.hostNetwork) }}
dnsPolicy: {{ . }}
{{- end }}
{{- range $field := list "priorityClassName" "dnsConfig" "hostAliases" "nodeSelector" "tolerations" "affinity" }}
{{- with index $.Values $field }}
{{- toYaml (dict $field .) | nindent 0 }}
{{- end }}
{{- end }}
{{- with .Values.topologySpreadConstraints }}
topologySpreadConstraints:
{{- range . }}
{{- $selector := .labelSelector | default (dict "matchLabels" (include "operator.selectorLabels" $ | fromYaml)) }}
- {{ toYaml (set (deepCopy .) "labelSelector" $selector) | nindent 2 | trim }}
{{- end }}
{{- end }}
containers:
- {{ include "operator.container" . | nindent 2 | trim }}
{{- with .Values.extraContainers }}
{{ toYaml . }}
{{- end }}
{{- with include "operator.volumes" . }}
volumes:
{{ . }}
{{- end }}
{{- end }}

{{- define "operator.volumes" -}}
{{- if and .Values.webhook.enabled (eq .Values.webhook.certificates "CertManager") }}
- name: webhook-certificate
  secret:
    secretName: {{ include "operator.webhookSecretName" . }}
{{- end }}
{{- if and .Values.metrics.secure .Values.metrics.certificateSecretName }}
- name: metrics-certificate
  secret:
    secretName: {{ .Values.metrics.certificateSecretName }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "operator.volumeMounts" -}}
{{- if and .Values.webhook.enabled (eq .Values.webhook.certificates "CertManager") }}
- name: webhook-certificate
  mountPath: /etc/coder-session-operator/webhook
  readOnly: true
{{- end }}
{{- if and .Values.metrics.secure .Values.metrics.certificateSecretName }}
- name: metrics-certificate
  mountPath: /etc/coder-session-operator/metrics
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}
