{{/* The manager's command line. Of a flag that is there twice the last one counts. */}}
{{- define "operator.args" -}}
- --leader-elect
- --leader-election-namespace=$(POD_NAMESPACE)
- --health-probe-bind-address=:{{ int64 .Values.probes.bindPort }}
- {{ printf "--metrics-bind-address=%s" .Values.metrics.bindAddress | quote }}
- --metrics-secure={{ .Values.metrics.secure }}
{{- if and .Values.metrics.secure .Values.metrics.certificateSecretName }}
- --metrics-cert-dir=/etc/coder-session-operator/metrics
{{- end }}
- --zap-log-level={{ .Values.logLevel }}
{{- with .Values.watchNamespaces }}
- --watch-namespaces={{ join "," . }}
{{- end }}
{{- with .Values.watchLabelSelector }}
- {{ printf "--watch-label-selector=%s" . | quote }}
{{- end }}
{{- with .Values.deniedAddresses }}
- --denied-addresses={{ join "," . }}
{{- end }}
{{- with .Values.allowedAddresses }}
- --allowed-addresses={{ join "," . }}
{{- end }}
{{- with .Values.clusterId }}
- --cluster-id={{ . }}
{{- end }}
- --revocation-timeout={{ .Values.revocationTimeout }}
- --orphan-grace={{ .Values.orphanGrace }}
- --max-concurrent-reconciles={{ int64 .Values.maxConcurrentReconciles }}
- --kube-api-qps={{ .Values.kubeAPI.qps }}
- --kube-api-burst={{ int64 .Values.kubeAPI.burst }}
{{- if .Values.oauthCallback.enabled }}
- --oauth-callback-bind-address=:{{ int64 .Values.oauthCallback.bindPort }}
{{- with .Values.oauthCallback.url }}
- {{ printf "--oauth-callback-url=%s" . | quote }}
{{- end }}
{{- end }}
{{- if .Values.admissionPolicies.enabled }}
- --admission-policies={{ include "operator.fullname" . }}
{{- end }}
{{- if .Values.webhook.enabled }}
- --enable-webhooks
- --webhook-bind-address=:{{ int64 .Values.webhook.bindPort }}
- --webhook-name={{ include "operator.webhookName" . }}
- --webhook-unknown-session={{ .Values.webhook.unknownSession }}
{{- if .Values.webhook.perPod }}
- --pod-sessions
{{- end }}
{{- if eq .Values.webhook.certificates "CertManager" }}
- --webhook-cert-dir=/etc/coder-session-operator/webhook
{{- end }}
{{- end }}
{{- with .Values.extraArgs }}
{{ toYaml . }}
{{- end }}
{{- end }}
