{{- define "operator.image" -}}
{{- .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- with .Values.image.digest }}@{{ . }}{{ end }}
{{- end }}

{{- define "operator.container" -}}
name: manager
image: {{ include "operator.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args:
{{ include "operator.args" . }}
env:
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: CONTAINER_MEMORY_LIMIT
  valueFrom:
    resourceFieldRef:
      resource: limits.memory
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
ports:
{{- with include "operator.metricsPort" . }}
- name: metrics
  containerPort: {{ . }}
{{- end }}
- name: probes
  containerPort: {{ int64 .Values.probes.bindPort }}
{{- if .Values.oauthCallback.enabled }}
- name: callback
  containerPort: {{ int64 .Values.oauthCallback.bindPort }}
{{- end }}
{{- if .Values.webhook.enabled }}
- name: webhook
  containerPort: {{ int64 .Values.webhook.bindPort }}
{{- end }}
livenessProbe:
  httpGet:
    path: /healthz
    port: probes
  {{- toYaml .Values.probes.liveness | nindent 2 }}
readinessProbe:
  httpGet:
    path: /readyz
    port: probes
  {{- toYaml .Values.probes.readiness | nindent 2 }}
lifecycle:
  preStop:
    # What still sends requests here learns meanwhile that the pod is going.
    sleep:
      seconds: 5
{{- with .Values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.containerSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "operator.volumeMounts" . }}
volumeMounts:
{{ . }}
{{- end }}
{{- end }}
