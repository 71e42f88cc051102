{{- /* A field. What its type says by itself is said there. */ -}}
{{- define "type_members" -}}
{{- $field := . -}}
{{- $type := ternary .Type.UnderlyingType .Type (and (ne .Type.UnderlyingType nil) (not .Type.IsAlias)) -}}
{{- $rules := "kubebuilder:validation:XValidation" -}}
`{{ .Name }}`<br>{{ markdownRenderType .Type }}
{{- if not (has "Optional: {}" .Validation) }}<br>required{{ end }} |
{{- if eq .Name "metadata" }} Name, namespace, labels and annotations.
{{- else }} {{ template "text" .Doc }}
{{- $limits := list -}}
{{- range .Validation }}{{ if not (has . (append $type.Validation "Optional: {}")) }}{{ $limits = append $limits . }}{{ end }}{{ end -}}
{{- template "limits" $limits -}}
{{- if ne (toJson (index .Markers $rules)) (toJson (index $type.Markers $rules)) -}}
{{- range index .Markers $rules }}<br>Rule: {{ template "text" .Message }}.{{ end -}}
{{- end -}}
{{- end }} | {{ with .Default }}`{{ replace "{  }" "{}" . }}`{{ end }}
{{- end -}}
