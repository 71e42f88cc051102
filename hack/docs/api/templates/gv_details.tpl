{{- define "gvDetails" -}}
{{- $gv := . -}}
API version `{{ $gv.GroupVersionString }}`. `kubectl explain cdep.spec` and `kubectl explain cses.spec` show the same
descriptions. All names of Secrets and ConfigMaps are those of objects in the namespace of the resource that names them.
{{- range $gv.SortedKinds }}

{{ template "type" ($gv.TypeForKind .) }}
{{- end }}

## Types
{{- range $gv.SortedTypes }}
{{- if not .GVK }}

{{ template "type" . }}
{{- end }}
{{- end }}
{{ end -}}
