// SPDX-License-Identifier: Apache-2.0

//go:build chart

package chart

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/util/jsonpath"
)

// Values reach the objects that they are for.
func TestValuesTakeEffect(t *testing.T) {
	t.Parallel()
	everywhere := renderChart(t, "operators", everything)
	for name, test := range map[string]struct {
		values string // default: everything
		kind   string
		name   string // default: the release's full name
		want   map[string]string
	}{
		"image": {kind: "Deployment", want: map[string]string{
			"{.spec.template.spec.containers[0].image}": "registry.example.com/coder/operator:v1.2.3@" +
				"sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
			"{.spec.template.spec.containers[0].imagePullPolicy}": "Always",
			"{.spec.template.spec.imagePullSecrets[*].name}":      "registry",
		}},
		"image of the chart's version": {values: "{}", kind: "Deployment", want: map[string]string{
			"{.spec.template.spec.containers[0].image}": "coder-session-operator:0.2.0",
		}},
		"pods": {kind: "Deployment", want: map[string]string{
			"{.spec.replicas}{.spec.revisionHistoryLimit}": "30",
			"{.spec.strategy.rollingUpdate.maxSurge}":      "0",
			`{.metadata.annotations.example\.com/reload}`:  "true",
			`{.metadata.labels.example\.com/team}`:         "platform",
			// By which kubectl coder check finds the operator.
			`{.metadata.labels.app\.kubernetes\.io/part-of}`:                                 "coder-session-operator",
			`{.spec.template.metadata.labels.example\.com/team}`:                             "platform",
			`{.spec.template.metadata.labels.example\.com/b}`:                                "2",
			`{.spec.template.metadata.labels.app\.kubernetes\.io/name}`:                      "operator",
			`{.spec.template.metadata.annotations.example\.com/a}`:                           "true",
			"{.spec.template.spec.terminationGracePeriodSeconds}":                            "90",
			"{.spec.template.spec.schedulerName} {.spec.template.spec.enableServiceLinks}":   "other false",
			"{.spec.template.spec.containers[*].name}":                                       "manager proxy",
			"{.spec.template.spec.containers[0].securityContext.capabilities.add}":           `["NET_BIND_SERVICE"]`,
			"{.spec.template.spec.containers[0].securityContext.capabilities.drop}":          `["ALL"]`,
			"{.spec.template.spec.containers[0].securityContext.allowPrivilegeEscalation}":   "false",
			"{.spec.template.spec.containers[0].securityContext.readOnlyRootFilesystem}":     "",
			"{.spec.template.spec.priorityClassName}":                                        "system-cluster-critical",
			"{.spec.template.spec.dnsPolicy} {.spec.template.spec.dnsConfig.nameservers[0]}": "None 10.0.0.53",
			"{.spec.template.spec.hostAliases[0].hostnames[0]}":                              "coder.internal",
			"{.spec.template.spec.tolerations[0].key}":                                       "dedicated",
			"{.spec.template.spec.topologySpreadConstraints[*].labelSelector.matchLabels}":   `{"example.com/b":"2"}`,
			"{.spec.template.spec.securityContext.runAsUser}":                                "1000",
			"{.spec.template.spec.securityContext.runAsGroup}":                               "",
			"{.spec.template.spec.securityContext.runAsNonRoot}":                             "true",
			"{.spec.template.spec.affinity.podAntiAffinity..topologyKey}":                    "kubernetes.io/hostname",

			"{.spec.template.spec.containers[0].env[*].name}": "POD_NAMESPACE CONTAINER_MEMORY_LIMIT " +
				"HTTPS_PROXY NO_PROXY",
			"{.spec.template.spec.containers[0].livenessProbe.failureThreshold}": "10",
			"{.spec.template.spec.containers[0].livenessProbe.periodSeconds}":    "20",
			"{.spec.template.spec.containers[0].readinessProbe.periodSeconds}":   "1",
			"{.spec.template.spec.volumes[*].name}":                              "webhook-certificate roots",
			"{.spec.template.spec.volumes[0].secret.secretName}":                 "tokens-operator-webhook-tls",
			"{.spec.template.spec.containers[0].volumeMounts[*].mountPath}": "/etc/coder-session-operator/webhook " +
				"/etc/ssl/certs",
			"{.spec.template.spec.containers[0].resources.requests.memory}": "256Mi",
		}},
		"a user of OpenShift": {
			values: "{podSecurityContext: {runAsUser: 1000650000}, podSpec: {hostname: operator}}", kind: "Deployment",
			want: map[string]string{
				"{.spec.template.spec.securityContext.runAsUser} {.spec.template.spec.hostname}": "1000650000 operator",
			},
		},
		"container by default": {values: "{}", kind: "Deployment", want: map[string]string{
			"{.spec.template.spec.containers[0].securityContext}": `{"allowPrivilegeEscalation":false,` +
				`"capabilities":{"drop":["ALL"]},"readOnlyRootFilesystem":true}`,
		}},
		"families of addresses": {
			values: "{service: {ipFamilyPolicy: RequireDualStack, ipFamilies: [IPv6, IPv4]}}",
			kind:   "Service", name: "operators/" + fullName + "-webhook",
			want: map[string]string{"{.spec.ipFamilyPolicy} {.spec.ipFamilies[*]}": "RequireDualStack IPv6 IPv4"},
		},
		"families of addresses by default": {
			values: "{}", kind: "Service", name: "operators/" + fullName + "-metrics",
			want: map[string]string{"{.spec.ipFamilyPolicy}{.spec.ipFamilies}": ""},
		},
		"namespace": {
			values: "{namespaceOverride: elsewhere}", kind: "MutatingWebhookConfiguration", name: "/" + fullName + "-webhook",
			want: map[string]string{
				"{.webhooks[0].clientConfig.service.namespace}":               "elsewhere",
				"{.webhooks[0].namespaceSelector.matchExpressions[0].values}": `["kube-system","elsewhere"]`,
			},
		},
		"spread by default": {values: "{}", kind: "Deployment", want: map[string]string{
			`{.spec.template.spec.topologySpreadConstraints[*].labelSelector.matchLabels` +
				`.app\.kubernetes\.io/instance}`: "tokens tokens",
		}},
		"network of the node": {values: "{hostNetwork: true}", kind: "Deployment", want: map[string]string{
			"{.spec.template.spec.hostNetwork}": "true",
			"{.spec.template.spec.dnsPolicy}":   "ClusterFirstWithHostNet",
			"{.spec.strategy.rollingUpdate.maxSurge} {.spec.strategy.rollingUpdate.maxUnavailable}": "0 1",
			"{.spec.template.spec.containers[0].ports[*].containerPort}":                            "8443 8081 9443",
		}},
		"network of the node, settings of one's own": {
			values: "{hostNetwork: true, dnsPolicy: Default, updateStrategy: {type: Recreate}}", kind: "Deployment",
			want: map[string]string{
				"{.spec.template.spec.dnsPolicy} {.spec.strategy}": `Default {"type":"Recreate"}`,
			},
		},
		"network of the pods": {values: "{}", kind: "Deployment", want: map[string]string{
			"{.spec.template.spec.hostNetwork}{.spec.template.spec.dnsPolicy}{.spec.strategy}": "",
		}},
		"no token": {values: "{automountServiceAccountToken: false}", kind: "Deployment", want: map[string]string{
			"{.spec.template.spec.automountServiceAccountToken}": "false",
		}},
		"budget": {kind: "PodDisruptionBudget", want: map[string]string{"{.spec.maxUnavailable}": "50%"}},
		"webhook": {kind: "MutatingWebhookConfiguration", name: "/tokens-operator-webhook", want: map[string]string{
			"{.webhooks[0].failurePolicy} {.webhooks[0].timeoutSeconds}":    "Ignore 30",
			"{.webhooks[0].objectSelector.matchLabels}":                     `{"credentials.coder.com/inject":"true"}`,
			"{.webhooks[0].namespaceSelector.matchLabels}":                  `{"team":"a"}`,
			"{.webhooks[0].namespaceSelector.matchExpressions[0].values}":   `["kube-system","operators"]`,
			"{.webhooks[0].namespaceSelector.matchExpressions[*].operator}": "NotIn DoesNotExist",
			`{.metadata.annotations.cert-manager\.io/inject-ca-from}`:       "operators/tokens-operator-webhook",
		}},
		"webhook by default": {
			values: "{}", kind: "MutatingWebhookConfiguration", name: "/" + fullName + "-webhook",
			want: map[string]string{
				"{.webhooks[0].failurePolicy} {.webhooks[0].timeoutSeconds}":                   "Fail 10",
				"{.webhooks[0].reinvocationPolicy} {.webhooks[0].sideEffects}":                 "IfNeeded None",
				"{.webhooks[0].clientConfig.service.path}{.webhooks[0].clientConfig.caBundle}": "/mutate-v1-pod",
				"{.metadata.annotations}": "",
			},
		},
		"webhook of some namespaces": {
			values: "{watchNamespaces: [a, b], clusterId: prod0001}",
			kind:   "MutatingWebhookConfiguration", name: "/" + fullName + "-webhook",
			want: map[string]string{
				"{.webhooks[0].namespaceSelector.matchExpressions[*].operator}": "NotIn In",
				"{.webhooks[0].namespaceSelector.matchExpressions[1].values}":   `["a","b"]`,
			},
		},
		"certificate": {kind: "Certificate", name: "operators/tokens-operator-webhook", want: map[string]string{
			"{.spec.issuerRef.kind} {.spec.issuerRef.name}": "ClusterIssuer internal",
			"{.spec.duration} {.spec.renewBefore}":          "720h 240h",
			"{.spec.dnsNames[0]}":                           "tokens-operator-webhook.operators.svc",
			"{.spec.secretName}":                            "tokens-operator-webhook-tls",
		}},
		"certificate of an own CA": {
			values: "{webhook: {certificates: CertManager}}", kind: "Certificate", name: "operators/" + fullName + "-webhook",
			want: map[string]string{"{.spec.issuerRef.kind} {.spec.issuerRef.name}": "Issuer " + fullName + "-webhook-ca"},
		},
		"monitor": {kind: "ServiceMonitor", name: "operators/tokens-operator-metrics", want: map[string]string{
			"{.metadata.labels.release}": "prometheus",
			"{.spec.endpoints[0].port} {.spec.endpoints[0].interval} {.spec.endpoints[0].scrapeTimeout}": "http 30s 10s",
			"{.spec.endpoints[0].bearerTokenFile}{.spec.endpoints[0].tlsConfig}":                         "",
			"{.spec.endpoints[0].metricRelabelings[0].action}":                                           "keep",
		}},
		"monitor of secure metrics": {
			values: "{metrics: {serviceMonitor: {enabled: true}}}", kind: "ServiceMonitor",
			name: "operators/" + fullName + "-metrics",
			want: map[string]string{
				"{.spec.endpoints[0].port} {.spec.endpoints[0].scheme}": "https https",
				"{.spec.endpoints[0].tlsConfig.insecureSkipVerify}":     "true",
			},
		},
		"monitor with credentials": {
			values: "{metrics: {serviceMonitor: {enabled: true, authorization: {credentials: {name: scraper, key: token}}}}}",
			kind:   "ServiceMonitor", name: "operators/" + fullName + "-metrics",
			want: map[string]string{
				"{.spec.endpoints[0].authorization.credentials.name}{.spec.endpoints[0].bearerTokenFile}": "scraper",
				// The namespace in the metrics is that of a CoderDeployment.
				"{.spec.endpoints[0].honorLabels}": "true",
			},
		},
		"certificate of the metrics": {
			values: "{metrics: {certificateSecretName: metrics-tls}}", kind: "Deployment",
			want: map[string]string{
				"{.spec.template.spec.volumes[*].secret.secretName}":            "metrics-tls",
				"{.spec.template.spec.containers[0].volumeMounts[*].mountPath}": "/etc/coder-session-operator/metrics",
			},
		},
		"alerts": {
			values: "{metrics: {prometheusRule: {enabled: true, labels: {release: prometheus}, alertLabels: {team: a}, " +
				"disabled: [CoderTokenNotRenewed], thresholds: {suppliedTokenSeconds: 3600}}}}",
			kind: "PrometheusRule", name: "operators/" + fullName,
			want: map[string]string{
				"{.metadata.labels.release}":                 "prometheus",
				"{.spec.groups[0].rules[0].alert}":           "CoderSuppliedTokenEnds",
				"{.spec.groups[0].rules[0].labels.team}":     "a",
				"{.spec.groups[0].rules[0].labels.severity}": "warning",
				`{.spec.groups[0].rules[0].expr}`: "min by (namespace, deployment) (coder_session_operator_published_token_" +
					`expiration_timestamp_seconds{renewed="false"}) - time() < 3600`,
			},
		},
		"dashboard": {
			values: "{metrics: {dashboard: {enabled: true, annotations: {grafana_folder: Coder}}}}",
			kind:   "ConfigMap", name: "operators/" + fullName + "-dashboard",
			want: map[string]string{
				"{.metadata.labels.grafana_dashboard} {.metadata.annotations.grafana_folder}": "1 Coder",
			},
		},
		"ingress": {kind: "Ingress", name: "operators/tokens-operator-oauth-callback", want: map[string]string{
			"{.spec.ingressClassName} {.spec.tls[0].secretName}":              "public callback-tls",
			"{.spec.rules[0].host}{.spec.rules[0].http.paths[0].path}":        "callback.example.com/coder/oauth",
			"{.spec.tls[0].hosts[0]} {.spec.rules[0].http.paths[0].pathType}": "callback.example.com Exact",
			"{.spec.rules[0].http.paths[0].backend.service.name}":             "tokens-operator-oauth-callback",
		}},
		"route": {kind: "HTTPRoute", name: "operators/tokens-operator-oauth-callback", want: map[string]string{
			"{.spec.hostnames[0]}{.spec.rules[0].matches[0].path.value}": "callback.example.com/coder/oauth",
			"{.spec.parentRefs[0].namespace}":                            "gateways",
		}},
		"policy": {kind: "NetworkPolicy", want: map[string]string{
			"{.spec.policyTypes[*]}":                  "Ingress Egress",
			"{.spec.ingress[*].ports[*].port}":        "callback metrics probes webhook",
			"{.spec.ingress[3].from[0].ipBlock.cidr}": "10.0.0.1/32",
			"{.spec.egress[0].ports[*].protocol}":     "UDP UDP TCP TCP",
			"{.spec.egress[0].ports[*].port}":         "53 5353 53 5353",
			"{.spec.egress[1].to[0].ipBlock.cidr}":    "10.0.0.1/32",
			"{.spec.egress[2].ports[*].port}":         "443 8443",
			"{.spec.egress[3].ports[*].port}":         "3128",
		}},
		"policy for what goes in": {
			values: "{networkPolicy: {enabled: true, egress: {enabled: false}}}", kind: "NetworkPolicy",
			want: map[string]string{
				"{.spec.policyTypes[*]}{.spec.egress}": "Ingress",
				"{.spec.ingress[*].ports[*].port}":     "metrics probes webhook",
			},
		},
		"further objects": {kind: "ConfigMap", name: "operators/roots", want: map[string]string{"{.data.release}": release}},
		"service account": {kind: "ServiceAccount", name: "operators/tokens", want: map[string]string{
			`{.metadata.annotations.example\.com/role}`: "1",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			objects, full := everywhere, "operators/"+release+"-operator"
			if test.values != "" {
				objects, full = renderChart(t, "operators", test.values), "operators/"+fullName
			}
			if test.name != "" {
				full = test.name
			}
			object := ofKind(objects, test.kind)[full]
			if object == nil {
				t.Fatalf("no %s %s among %q", test.kind, full, sortedNames(ofKind(objects, test.kind)))
			}
			got := map[string]string{}
			for path := range test.want {
				got[path] = evaluatePath(t, object, path)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// With namespaceOverride nothing is left in the release's namespace, or refers to it.
func TestNothingIsLeftInTheReleasesNamespace(t *testing.T) {
	t.Parallel()
	values := "{namespaceOverride: elsewhere, networkPolicy: {enabled: true}, webhook: {certificates: CertManager}, " +
		"metrics: {serviceMonitor: {enabled: true}}, oauthCallback: {enabled: true, service: {enabled: true}}}"
	text, err := runHelm(t, values, "template", release, chartFolder, "--namespace=a-namespace-like-no-other")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text, "a-namespace-like-no-other") {
		t.Errorf("the namespace of the release is in the manifests:\n%s", text)
	}
}

// evaluatePath returns what a JSON path finds; empty if it finds nothing.
func evaluatePath(t *testing.T, object *unstructured.Unstructured, path string) string {
	t.Helper()
	parsed := jsonpath.New("test").AllowMissingKeys(true)
	if err := parsed.Parse(path); err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := parsed.Execute(&text, object.Object); err != nil {
		t.Fatal(err)
	}
	return text.String()
}
