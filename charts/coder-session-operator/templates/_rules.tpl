{{/*
What the manager may do: the rules of config/rbac/role.yaml, each with the reasons of config/rbac/reasons.yaml. make
manifests copies both. From a dict: root, and namespaced for a Role, which cannot give access to namespaces and to what
configures admission, without which ResourceQuotas are of no use. The rules for the operator's own webhook configuration and
admission policies are in webhook_role.yaml and admission_policies.yaml: they have the name of the release.
*/}}
{{- define "operator.rules" -}}
{{- $reasons := .root.Files.Get "files/rbac/reasons.yaml" | fromYaml -}}
{{- range $rule := (.root.Files.Get "files/rbac/role.yaml" | fromYaml).rules -}}
{{- $resources := $rule.resources -}}
{{- if and $rule.resourceNames (has "admissionregistration.k8s.io" $rule.apiGroups) -}}{{- $resources = list -}}{{- end -}}
{{- if and (has "apps" $rule.apiGroups) (not $.root.Values.rbac.restart) -}}{{- $resources = list -}}{{- end -}}
{{- if and $.root.Values.clusterId (has "kube-system" ($rule.resourceNames | default list)) -}}{{- $resources = list -}}{{- end -}}
{{- if $.namespaced -}}
{{- $resources = without $resources "namespaces" "resourcequotas" -}}
{{- if has "admissionregistration.k8s.io" $rule.apiGroups -}}{{- $resources = list -}}{{- end -}}
{{- end -}}
{{- range $resources }}
{{- $key := printf "%s.%s" . (first $rule.apiGroups) | trimSuffix "." -}}
{{- with $rule.resourceNames }}{{ $key = printf "%s named %s" $key (join "," .) }}{{ end }}
# {{ $key }}: {{ required (printf "files/rbac/reasons.yaml does not say why the operator needs %s" $key) (get $reasons $key) }}
{{- end }}
{{- if $resources }}
- {{ toYaml (merge (dict "resources" $resources) $rule) | nindent 2 | trim }}
{{- end }}
{{- end -}}
{{- end }}
