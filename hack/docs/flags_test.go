// SPDX-License-Identifier: Apache-2.0

package main

import (
	"maps"
	"slices"
	"testing"
)

func TestHelpIsRead(t *testing.T) {
	t.Parallel()
	help := "Usage of coder-session-operator:\n" +
		"  -burst int\n    \trequests at once (default 400)\n" +
		"  -grace duration\n    \thow long it waits (default 10m0s)\n" +
		"  -name string\n    \tname of it (default \"a-b\")\n" +
		"  -namespace string\n    \tnamespace of it; default: the pod's own. Needs a Role\n" +
		"  -version\n    \tprint the version,\n    \tand exit\n"
	want := []managerFlag{
		{"burst", "requests at once", "`400`"},
		{"grace", "how long it waits", "`10m`"},
		{"name", "name of it", "`a-b`"},
		{"namespace", "namespace of it. Needs a Role", "the pod's own"},
		{"version", "print the version, and exit", "`false`"},
	}
	if got := parseHelp(help); !slices.Equal(got, want) {
		t.Errorf("flags = %+v, want %+v", got, want)
	}
}

func TestValuesOfTheChartAreFound(t *testing.T) {
	t.Parallel()
	template := `{{- define "operator.args" -}}
- --leader-elect
- --probes=:8081
- {{ printf "--address=%s" .Values.metrics.bindAddress | quote }}
- --secure={{ .Values.metrics.secure }}
{{- with .Values.watchNamespaces }}
- --namespaces={{ join "," . }}
{{- end }}
{{- if .Values.webhook.enabled }}
- --webhooks
- --name={{ include "operator.webhookName" . }}
{{- if eq .Values.webhook.certificates "CertManager" }}
- --folder=/etc/certificates
{{- end }}
{{- end }}
{{- end }}
`
	want := map[string]string{
		"leader-elect": "always set",
		"probes":       "always `:8081`",
		"address":      "`metrics.bindAddress`",
		"secure":       "`metrics.secure`",
		"namespaces":   "`watchNamespaces`",
		"webhooks":     "`webhook.enabled`",
		"name":         "the release's name",
		"folder":       "`/etc/certificates`, with `webhook.certificates`",
	}
	if got := chartValues(template); !maps.Equal(got, want) {
		t.Errorf("values = %v, want %v", got, want)
	}
}
