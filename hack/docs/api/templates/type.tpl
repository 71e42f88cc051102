{{- define "type" -}}
{{- $type := . -}}
{{ if $type.GVK }}##{{ else }}###{{ end }} {{ $type.Name }}

{{ template "doc" $type.Doc }}
{{- if $type.IsAlias }}

A {{ markdownRenderTypeLink $type.UnderlyingType }}.{{ template "limits" $type.Validation }}
{{- end }}
{{- range index $type.Markers "kubebuilder:validation:XValidation" }}

Rule: {{ template "text" .Message }}.
{{- end }}
{{- if and $type.References (not $type.GVK) }}

Used by: {{ range $i, $reference := $type.SortedReferences }}{{ if $i }}, {{ end }}{{ markdownRenderTypeLink $reference }}{{ end }}.
{{- end }}
{{- if $type.Members }}

| field | description | default |
| --- | --- | --- |
{{- if $type.GVK }}
| `apiVersion`<br>string | `{{ $type.GVK.Group }}/{{ $type.GVK.Version }}` | |
| `kind`<br>string | `{{ $type.GVK.Kind }}` | |
{{- end }}
{{- range $type.Members }}
| {{ template "type_members" . }} |
{{- end }}
{{- end }}
{{- if $type.EnumValues }}

| value | description |
| --- | --- |
{{- range $type.EnumValues }}
| `{{ .Name }}` | {{ template "text" .Doc }} |
{{- end }}
{{- end }}
{{- end -}}

{{- /* Paragraphs as they are, but for what Markdown would take for HTML. */ -}}
{{- define "doc" -}}
{{ . | trim | replace "<" "&lt;" | replace "*" "\\*" }}
{{- end -}}

{{- /* The same on one line, for a cell of a table. */ -}}
{{- define "text" -}}
{{ . | trim | replace "<" "&lt;" | replace "*" "\\*" | replace "|" "\\|" | replace "\n\n" "<br>" | replace "\n" " " }}
{{- end -}}

{{- /* What the schema says of a value without a rule: a sentence for each, after a space. How
   many there may be, how high a number may be, and the rules of items are in the descriptions (test/docs). */ -}}
{{- define "limits" -}}
{{- $sentences := dict
	"MaxLength" "Characters: %s at most." "MinLength" "Characters: %s at least."
	"items:MaxLength" "Characters of an item: %s at most." "items:MinLength" "Characters of an item: %s at least."
	"Enum" "One of %s." -}}
{{- $described := list "MaxItems" "MinItems" "MaxProperties" "Maximum" "Minimum" "Optional" "Required" -}}
{{- $all := list -}}
{{- range . -}}
{{- $name := regexFind "^.*:" . | trimSuffix ":" -}}
{{- $value := trimPrefix (printf "%s: " $name) . -}}
{{- if hasKey $sentences $name -}}
{{- if eq $name "Enum" }}{{ $value = $value | trimAll "[]" | splitList " " | join "`, `" | printf "`%s`" }}{{ end -}}
{{- $all = append $all (printf (get $sentences $name) $value) -}}
{{- else if not (or (has $name $described) (hasPrefix "items:XValidation:" .)) -}}
{{- fail (printf "the template type.tpl has no sentence for %q" .) -}}
{{- end -}}
{{- end -}}
{{- range $all }} {{ . }}{{ end -}}
{{- end -}}
