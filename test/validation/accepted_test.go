// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/test/kube"
)

// wholeDeployment has every field of a spec.
const wholeDeployment = `
url: https://coder.example.com
proxyURL: http://proxy.example.com:3128
tls:
  clientCertificateSecretName: coder-mtls
  caBundle: {kind: ConfigMap, name: corp-ca, key: ca.crt}
  serverName: coder.internal
  insecureSkipVerify: false
headers:
  - name: CF-Access-Client-Id
    valueFrom: {secretKeyRef: {name: cf-access, key: id}}
  - name: X-Region
    valueFrom: {configMapKeyRef: {name: edge, key: region}}
  - name: X-Caller
    value: "coder-session-operator\twith a tab"
token:
  secretRef: {name: coder-operator-token, key: token}
  renew: {lifetime: 144h, before: 48h}
oauth:
  clientSecretName: coder-oauth-client
  scopes: ["coder:workspaces.access"]
verify: {interval: 5m, timeout: 10s, quietPeriod: 500ms, maxDelay: 5s}
access:
  - name: team-a
    namespaceSelector: {matchLabels: {team: a}}
    users: ["ci-*"]
    auth: [Mint, OAuth, Token, Certificate]
    scopes: ["coder:workspaces.access", "workspace:*"]
    maxLifetime: 24h
    shareClientCertificate: true
retention: {idleTimeout: 720h, maxSessions: 500}
rateLimit: {requestsPerMinute: 300}
`

// wholeSession has every field of a spec, but the other methods of auth.
const wholeSession = `
deploymentRef: {name: prod, namespace: coder}
auth:
  mint:
    user: ci-bot
    lifetime: 24h
    scopes: ["coder:workspaces.access"]
    allowList: ["workspace:*", "template:6f0e6f6e-0000-4000-8000-000000000001"]
rotation: {renewBefore: 8h, overlap: 5m}
secret:
  name: ci-coder
  includeClientCertificate: true
  labels: {team: a, example.com/stage: "", owner: team-a, app.kubernetes.io/managed-by: us}
  annotations: {example.com/note: "any text, of any form"}
  template: {".netrc": "machine {{ .Host }} login coder password {{ .Token }}"}
  deletionPolicy: Retain
restart:
  - {kind: Deployment, name: runner}
  - {kind: StatefulSet, name: queue}
  - {kind: DaemonSet, name: agent}
workspace: {owner: ada, name: dev}
paused: true
`

func TestAccepted(t *testing.T) {
	t.Parallel()
	namespace := kube.ForTest(t).Namespace(t, nil)
	for name, text := range map[string]string{
		"a whole deployment":           deployment(wholeDeployment),
		"a whole session":              session(wholeSession),
		"a plain http server":          deployment("url: http://coder.coder.svc:3000"),
		"an IPv6 address":              deployment(`url: "https://[2001:db8::1]:8443"`),
		"a proxy by SOCKS":             deployment(url + "proxyURL: socks5://proxy:1080"),
		"no trust and no CA":           deployment(url + "tls: {insecureSkipVerify: true}"),
		"an empty header":              deployment(url + `headers: [{name: X-Edge, value: ""}]`),
		"an Authorization header":      deployment(url + "headers: [{name: Authorization, value: Basic x}]"),
		"a cookie of an edge":          deployment(url + "headers: [{name: Cookie, value: _oauth2_proxy=x}]"),
		"a cap equal to quiet":         deployment(url + "verify: {quietPeriod: 5s, maxDelay: 5s}"),
		"quiet with a short cap":       deployment(url + "verify: {quietPeriod: 100ms, maxDelay: 0.2s}"),
		"access without minting":       deployment(url + "access: [{name: all, namespaceSelector: {}, auth: [Token]}]"),
		"the longest timeout":          deployment(url + "verify: {timeout: 1m}"),
		"only an idle timeout":         deployment(url + "retention: {idleTimeout: 2h}"),
		"only a number of sessions":    deployment(url + "retention: {maxSessions: 1}"),
		"renewal with the defaults":    deployment(url + "token: {secretRef: {name: operator}, renew: {}}"),
		"a minted session":             session(mint),
		"a supplied token":             session(ref + "auth: {token: {secretRef: {name: mine}}}"),
		"a source of the session name": session(ref + "auth: {token: {secretRef: {name: ci}}}\nsecret: {name: ci-coder}"),
		"a grant":                      session(ref + "auth: {oauth: {}}"),
		"a certificate":                session(ref + "auth: {certificate: {}}"),
		"a name of 63 characters": newManifest("CoderSession",
			"a23456789-123456789-123456789-123456789-123456789-123456789-123", mint),
		"a short life": session(ref + "auth: {mint: {user: ci-bot, lifetime: 1m}}\n" +
			"rotation: {renewBefore: 59s}"),
		"a life of mixed units":        session(ref + "auth: {mint: {user: ci-bot, lifetime: 1h30m0.5s}}"),
		"a name of capitals":           session(ref + "auth: {mint: {user: CI-Bot-2}}"),
		"renewal of what is no mint":   session(ref + "auth: {oauth: {}}\nrotation: {renewBefore: 1000h}"),
		"everything in the allow-list": session(ref + `auth: {mint: {user: ci-bot, allowList: ["*:*"]}}`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := createObject(t, text, namespace, client.DryRunAll); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSamplesAreAccepted(t *testing.T) {
	t.Parallel()
	namespace := kube.ForTest(t).Namespace(t, nil)
	root, err := kube.Root()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(root, "config", "samples", "coder*.yaml"))
	if err != nil || len(files) < 6 {
		t.Fatalf("the samples are %v (%v)", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, text := range strings.Split(string(content), "\n---\n") {
				if _, err := createObject(t, text, namespace, client.DryRunAll); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestAWholeSpecIsStoredAsWritten(t *testing.T) {
	t.Parallel()
	namespace := kube.ForTest(t).Namespace(t, nil)
	for name, text := range map[string]string{
		"deployment": deployment(wholeDeployment),
		"session":    session(wholeSession),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stored, err := createObject(t, text, namespace)
			if err != nil {
				t.Fatal(err)
			}
			expectSpec(t, stored, parseManifest(t, text, namespace))
		})
	}
}

func expectSpec(t *testing.T, got, want *unstructured.Unstructured) {
	t.Helper()
	if difference := cmp.Diff(want.Object["spec"], got.Object["spec"]); difference != "" {
		t.Errorf("the stored spec differs (-want +got):\n%s", difference)
	}
}
