{{/*
What the manager may do: the rules of config/rbac/role.yaml, which make manifests copies.
*/}}
{{- define "operator.clusterRules" -}}
{{- toYaml (.Files.Get "files/rbac/role.yaml" | fromYaml).rules -}}
{{- end }}

{{/* The same for a Role, which cannot give access to namespaces. */}}
{{- define "operator.namespaceRules" -}}
{{- $rules := list -}}
{{- range $rule := (.Files.Get "files/rbac/role.yaml" | fromYaml).rules -}}
{{- with without $rule.resources "namespaces" -}}
{{- $rules = append $rules (merge (dict "resources" .) $rule) -}}
{{- end -}}
{{- end -}}
{{- toYaml $rules -}}
{{- end }}
