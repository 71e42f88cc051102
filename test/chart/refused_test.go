// SPDX-License-Identifier: Apache-2.0

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
		"podSpec's containers": {"{podSpec: {containers: []}}", "'/podSpec/containers'"},
		"podSpec's volumes":    {"{podSpec: {volumes: []}}", "'/podSpec/volumes'"},
		"a second manager":     {"{extraContainers: [{name: manager, image: a}]}", "'/extraContainers/0/name'"},
		"family of addresses":  {"{service: {ipFamilies: [ipv6]}}", "'/service/ipFamilies/0'"},
		"no such namespace": {
			"{namespaceOverride: A_B}", `namespaceOverride is "A_B": write the name of a namespace`,
		},
		"unknown key":            {"{replica: 1}", "'replica'"},
		"unknown nested key":     {"{image: {name: x}}", "'name'"},
		"unknown affinity":       {"{affinity: {podsAffinity: {}}}", "'podsAffinity'"},
		"text for a number":      {`{replicas: "2"}`, "'/replicas'"},
		"fraction of a replica":  {"{replicas: 1.5}", "'/replicas'"},
		"fewer than no replicas": {"{replicas: -1}", "'/replicas'"},
		"no reconciles":          {"{maxConcurrentReconciles: 0}", "'/maxConcurrentReconciles'"},
		"text for a truth":       {`{metrics: {secure: "false"}}`, "'/metrics/secure'"},
		"no port": {
			"{metrics: {bindAddress: localhost}}", `metrics.bindAddress is "localhost": write an address with a port`,
		},
		"duration without a unit": {`{orphanGrace: "10"}`, `orphanGrace is "10": write a duration such as 90s`},
		"negative duration":       {"{revocationTimeout: -1s}", `revocationTimeout is "-1s": write a duration`},
		"pull policy":             {"{image: {pullPolicy: Sometimes}}", "'/image/pullPolicy'"},
		"no repository":           {`{image: {repository: ""}}`, "'/image/repository'"},
		"log level":               {"{logLevel: chatty}", "write debug, info, error"},
		"long cluster id":         {"{clusterId: production}", "write 8 characters of a-z and 0-9"},
		"namespaces as text":      {"{watchNamespaces: a, clusterId: prod0001}", "'/watchNamespaces'"},
		"a namespace twice":       {"{watchNamespaces: [a, a], clusterId: prod0001}", "'/watchNamespaces'"},
		"no namespace's name": {
			"{watchNamespaces: [A_B], clusterId: prod0001}", `watchNamespaces is "A_B": write names of namespaces`,
		},
		"no flag":             {"{extraArgs: [verbose]}", `extraArgs is "verbose": write flags of the manager`},
		"a number as a label": {"{podLabels: {a: 1}}", "'/podLabels/a'"},
		"callback over http": {
			"{oauthCallback: {enabled: true, url: http://example.com/callback}}",
			`oauthCallback.url is "http://example.com/callback": write an https URL`,
		},
		"callback without a path": {
			"{oauthCallback: {enabled: true, url: https://example.com}}", "write an https URL with a host and a path",
		},
		"callback with a query": {
			"{oauthCallback: {enabled: true, url: 'https://example.com/callback?a=b'}}", "without a query",
		},
		"callback as an address": {"{oauthCallback: {enabled: true, bindPort: ':8082'}}", "'/oauthCallback/bindPort'"},
		"port beyond all ports":  {"{oauthCallback: {enabled: true, bindPort: 65536}}", "'/oauthCallback/bindPort'"},
		"callback switched off":  {"{oauthCallback: {url: 'https://example.com/callback'}}", "oauthCallback.enabled"},
		"port as a text":         {`{webhook: {bindPort: "9443"}}`, "'/webhook/bindPort'"},
		"webhook's policy":       {"{webhook: {failurePolicy: Warn}}", "'/webhook/failurePolicy'"},
		"webhook's patience":     {"{webhook: {timeoutSeconds: 60}}", "'/webhook/timeoutSeconds'"},
		"unknown sessions":       {"{webhook: {unknownSession: refuse}}", "'/webhook/unknownSession'"},
		"certificates":           {"{webhook: {certificates: cert-manager}}", "'/webhook/certificates'"},
		"issuer without a name": {
			"{webhook: {certManager: {issuerRef: {kind: ClusterIssuer}}}}", "'/webhook/certManager/issuerRef'",
		},
		"issuer's name misspelt":  {"{webhook: {certManager: {issuerRef: {nam: x}}}}", "'nam'"},
		"selector of pods":        {"{webhook: {objectSelector: {}}}", "'objectSelector'"},
		"no digest":               {"{image: {digest: latest}}", "write sha256: and 64 hexadecimal digits"},
		"budget of nothing":       {"{podDisruptionBudget: {maxUnavailable: 0}}", "'/podDisruptionBudget/maxUnavailable'"},
		"budget of no percent":    {"{podDisruptionBudget: {maxUnavailable: 0%}}", "write at least 1, or a percentage"},
		"short grace":             {"{terminationGracePeriodSeconds: 30}", "'/terminationGracePeriodSeconds'"},
		"root":                    {"{podSecurityContext: {runAsUser: 0}}", "'/podSecurityContext/runAsUser'"},
		"root after all":          {"{podSecurityContext: {runAsNonRoot: false}}", "'runAsNonRoot'"},
		"long full name":          {"{fullnameOverride: a123456789b123456789c123456789d1234567890}", "'/fullnameOverride'"},
		"full name of a file":     {"{fullnameOverride: a.b}", "write lower-case letters, digits and '-'"},
		"spread without a reason": {"{topologySpreadConstraints: [{maxSkew: 1}]}", "'topologyKey'"},
		"strategy":                {"{updateStrategy: {type: OnDelete}}", "'/updateStrategy/type'"},
		"probe":                   {"{probes: {liveness: {periodSecond: 1}}}", "'periodSecond'"},
		"startup probe":           {"{probes: {startup: {}}}", "'startup'"},
		"all ports":               {"{networkPolicy: {egress: {coder: {ports: []}}}}", "'/networkPolicy/egress/coder/ports'"},
		"unknown port's peers":    {"{networkPolicy: {ingress: {health: []}}}", "'health'"},
		"the operator's variable": {"{extraEnv: [{name: POD_NAMESPACE, value: x}]}", "'/extraEnv/0/name'"},
		"variable of a map":       {"{extraEnv: {HTTPS_PROXY: x}}", "'/extraEnv'"},
		"the operator's volume":   {"{extraVolumes: [{name: webhook-certificate, emptyDir: {}}]}", "'/extraVolumes/0/name'"},
		"object of no kind":       {"{extraObjects: [{apiVersion: v1, metadata: {name: x}}]}", "'kind'"},
		"monitor without metrics": {`{metrics: {bindAddress: "0", serviceMonitor: {enabled: true}}}`, "metrics.bindAddress"},
		"monitor, no Service": {
			"{metrics: {service: {enabled: false}, serviceMonitor: {enabled: true}}}", "metrics.service.enabled",
		},
		"threshold in words": {
			"{metrics: {prometheusRule: {thresholds: {operatorTokenSeconds: 1d}}}}",
			"'/metrics/prometheusRule/thresholds/operatorTokenSeconds'",
		},
		"the metrics' volume": {"{extraVolumes: [{name: metrics-certificate, emptyDir: {}}]}", "'/extraVolumes/0/name'"},
		"monitor's interval":  {"{metrics: {serviceMonitor: {interval: 30}}}", "'/metrics/serviceMonitor/interval'"},
		"ingress without a URL": {
			"{oauthCallback: {enabled: true, service: {enabled: true}, ingress: {enabled: true}}}", "need oauthCallback.url",
		},
		"ingress, no Service": {
			"{oauthCallback: {enabled: true, url: 'https://a.example.com/b', ingress: {enabled: true}}}",
			"oauthCallback.service.enabled",
		},
		"route to nothing": {"{oauthCallback: {httpRoute: {enabled: true}}}", "oauthCallback.enabled"},
		"route without a Gateway": {
			"{oauthCallback: {enabled: true, url: 'https://a.example.com/b', service: {enabled: true}, " +
				"httpRoute: {enabled: true}}}", "parentRefs is empty",
		},
		"a port twice": {"{probes: {bindPort: 9443}}", "probes.bindPort and webhook.bindPort both have port 9443"},
		"the port of the metrics twice": {
			"{oauthCallback: {enabled: true, bindPort: 8443}}", "metrics.bindAddress and oauthCallback.bindPort both",
		},
		"policy of nothing":     {"{hostNetwork: true, networkPolicy: {enabled: true}}", "no effect with hostNetwork"},
		"names of the cluster":  {"{hostNetwork: true, dnsPolicy: ClusterFirst}", "write ClusterFirstWithHostNet"},
		"namespaces without id": {"{watchNamespaces: [a]}", "clusterId is required with watchNamespaces"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := runHelm(t, test.values, "template", release, chartFolder)
			if err == nil {
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("want %q in: %v", test.want, err)
			}
			if strings.Contains(err.Error(), "does not match pattern") {
				t.Errorf("a regular expression is no advice: %v", err)
			}
		})
	}
}
