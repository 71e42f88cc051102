// SPDX-License-Identifier: Apache-2.0

//go:build chart

package chart

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The checks of this package find faults in templates.
func TestBrokenTemplatesAreFound(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		file, old, new string // in the chart's templates
		values         string
		want           string // in what is found
	}{
		"misspelt field": {
			file: "../values.yaml", old: "readOnlyRootFilesystem", new: "readOnlyRootFileSystem", want: "readOnlyRootFileSystem",
		},
		"field at a wrong depth": {
			file: "pod_disruption_budget.yaml",
			old:  "  maxUnavailable: {{ .Values.podDisruptionBudget.maxUnavailable }}\n  selector",
			new:  "maxUnavailable: {{ .Values.podDisruptionBudget.maxUnavailable }}\nspec:\n  selector", want: "maxUnavailable",
		},
		"unknown version": {
			file: "pod_disruption_budget.yaml", old: "policy/v1", new: "policy/v1beta1", want: "PodDisruptionBudget",
		},
		"number as a text": {
			file: "deployment.yaml", old: "replicas: {{ int64 .Values.replicas }}", new: `replicas: "{{ .Values.replicas }}"`,
			want: "replicas",
		},
		"broken YAML":      {file: "serviceaccount.yaml", old: "kind:", new: "kind", want: "serviceaccount.yaml"},
		"unrestricted pod": {file: "../values.yaml", old: "drop: [ALL]", new: "drop: []", want: "restricted"},
		"root":             {file: "_pod.tpl", old: `"runAsNonRoot" true`, new: `"runAsNonRoot" false`, want: "runAsNonRoot"},
		"unknown flag": {
			file: "_args.tpl", old: "--webhook-name", new: "--webhook-service", want: "flag provided but not defined",
		},
		"another webhook": {
			file: "_args.tpl", old: `--webhook-name={{ include "operator.webhookName" . }}`, new: "--webhook-name=pods",
			want: "does not know of its webhook's name",
		},
		"selector of no pod": {
			file: "_labels.tpl", old: `{{- $own := include "operator.selectorLabels" . | fromYaml -}}`,
			new:  `{{- $own := dict "app" "operator" -}}`,
			want: "does not select the pods",
		},
		"port of no pod": {
			file: "webhook.yaml", old: "targetPort: webhook", new: "targetPort: webhooks", want: "no port webhooks",
		},
		"no Service's port": {
			file: "webhook.yaml", old: "      port: 443", new: "      port: 9443", want: "no such port of a Service",
		},
		"role of another name": {
			file: "webhook_role.yaml", old: `name: {{ include "operator.webhookName" . }}`, new: "name: webhook",
			want: "no Role webhook",
		},
		"rule without a reason": {
			file: "../files/rbac/reasons.yaml", old: "configmaps:", new: "configmap:",
			want: "does not say why the operator needs configmaps",
		},
		"field that cert-manager does not know": {
			file: "webhook_certificate.yaml", old: "dnsNames:", new: "hostNames:",
			values: "{webhook: {certificates: CertManager}}", want: "Certificate",
		},
		"field that Prometheus does not know": {
			file: "service_monitor.yaml", old: "bearerTokenFile:", new: "tokenFile:",
			values: "{metrics: {serviceMonitor: {enabled: true}}}", want: "tokenFile",
		},
		"metrics that cannot be told from others": {
			file: "metrics.yaml", old: `"labels" $labels `, new: "", values: "{metrics: {serviceMonitor: {enabled: true}}}",
			want: "ServiceMonitor selects",
		},
		"route to a port that is none": {
			file: "oauth_callback.yaml", old: "port: {{ int64 $callback.service.port }}\n{{- end }}\n",
			new:    "port: http\n{{- end }}\n",
			values: everything, want: "HTTPRoute",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found := findFaults(t, brokenChart(t, test.file, test.old, test.new), test.values)
			if !strings.Contains(strings.Join(found, "\n"), test.want) || len(found) == 0 {
				t.Errorf("want %q in: %q", test.want, found)
			}
		})
	}
}

// brokenChart is a copy of the chart in which something is replaced.
func brokenChart(t *testing.T, file, was, is string) string {
	t.Helper()
	folder, err := root()
	if err != nil {
		t.Fatal(err)
	}
	chart := filepath.Join(t.TempDir(), filepath.Base(chartFolder))
	if err := os.CopyFS(chart, os.DirFS(filepath.Join(folder, chartFolder))); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(chart, "templates", file)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	broken := strings.Replace(string(text), was, is, 1)
	if broken == string(text) {
		t.Fatalf("%s has no %q", file, was)
	}
	if err := os.WriteFile(path, []byte(broken), 0o600); err != nil {
		t.Fatal(err)
	}
	return chart
}
