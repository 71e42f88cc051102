//go:build chart

package chart

import (
	"strings"
	"testing"
)

// Wrong values are refused, with the name of the value.
func TestWrongValuesAreRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ values, want string }{
		"unknown key":             {"{replica: 1}", "'replica'"},
		"unknown nested key":      {"{image: {name: x}}", "'name'"},
		"unknown affinity":        {"{affinity: {podsAffinity: {}}}", "'podsAffinity'"},
		"text for a number":       {`{replicas: "2"}`, "'/replicas'"},
		"fraction of a replica":   {"{replicas: 1.5}", "'/replicas'"},
		"fewer than no replicas":  {"{replicas: -1}", "'/replicas'"},
		"no reconciles":           {"{maxConcurrentReconciles: 0}", "'/maxConcurrentReconciles'"},
		"text for a truth":        {`{metrics: {secure: "false"}}`, "'/metrics/secure'"},
		"no port":                 {"{metrics: {bindAddress: localhost}}", "'/metrics/bindAddress'"},
		"duration without a unit": {`{orphanGrace: "10"}`, "'/orphanGrace'"},
		"negative duration":       {"{revocationTimeout: -1s}", "'/revocationTimeout'"},
		"pull policy":             {"{image: {pullPolicy: Sometimes}}", "'/image/pullPolicy'"},
		"no repository":           {`{image: {repository: ""}}`, "'/image/repository'"},
		"log level":               {"{logLevel: chatty}", "'/logLevel'"},
		"long cluster id":         {"{clusterId: production}", "'/clusterId'"},
		"namespaces as text":      {"{watchNamespaces: a, clusterId: prod0001}", "'/watchNamespaces'"},
		"a namespace twice":       {"{watchNamespaces: [a, a], clusterId: prod0001}", "'/watchNamespaces'"},
		"no namespace's name":     {"{watchNamespaces: [A_B], clusterId: prod0001}", "'/watchNamespaces/0'"},
		"no flag":                 {"{extraArgs: [verbose]}", "'/extraArgs/0'"},
		"a number as a label":     {"{podLabels: {a: 1}}", "'/podLabels/a'"},
		"callback over http":      {"{oauthCallback: {enabled: true, url: http://example.com/callback}}", "'/oauthCallback/url'"},
		"callback without a path": {"{oauthCallback: {enabled: true, url: https://example.com}}", "'/oauthCallback/url'"},
		"callback with a query":   {"{oauthCallback: {enabled: true, url: 'https://example.com/callback?a=b'}}", "'/oauthCallback/url'"},
		"callback as an address":  {"{oauthCallback: {enabled: true, bindPort: ':8082'}}", "'/oauthCallback/bindPort'"},
		"port beyond all ports":   {"{oauthCallback: {enabled: true, bindPort: 65536}}", "'/oauthCallback/bindPort'"},
		"callback switched off":   {"{oauthCallback: {url: 'https://example.com/callback'}}", "oauthCallback.enabled"},
		"namespaces without id":   {"{watchNamespaces: [a]}", "clusterId is required with watchNamespaces"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := helm(t, test.values, "template", release)
			if err == nil {
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("want %q in: %v", test.want, err)
			}
		})
	}
}
