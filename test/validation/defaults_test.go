// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"testing"

	"github.com/coder-session-operator/coder-session-operator/test/kube"
)

func TestDefaults(t *testing.T) {
	t.Parallel()
	namespace := kube.ForTest(t).Namespace(t, nil)
	for name, tc := range map[string]struct{ written, stored string }{
		"a deployment's": {
			written: newManifest("CoderDeployment", "minimal", "url: https://coder.example.com"),
			stored: newManifest("CoderDeployment", "minimal", `
url: https://coder.example.com
verify: {interval: 5m, timeout: 10s, quietPeriod: 500ms, maxDelay: 5s}
rateLimit: {requestsPerMinute: 300}`),
		},
		"what a deployment names": {
			written: newManifest("CoderDeployment", "names", `
url: https://coder.example.com
tls: {caBundle: {kind: Secret, name: corp-ca}}
token: {secretRef: {name: operator}, renew: {}}
verify: {interval: 1h}`),
			stored: newManifest("CoderDeployment", "names", `
url: https://coder.example.com
tls: {caBundle: {kind: Secret, name: corp-ca, key: ca.crt}}
token: {secretRef: {name: operator, key: token}, renew: {lifetime: 144h, before: 48h}}
verify: {interval: 1h, timeout: 10s, quietPeriod: 500ms, maxDelay: 5s}
rateLimit: {requestsPerMinute: 300}`),
		},
		"a minted session's": {
			written: newManifest("CoderSession", "minted", mint+"rotation: {}\nsecret: {}"),
			stored: newManifest("CoderSession", "minted", `
deploymentRef: {name: prod}
auth: {mint: {user: ci-bot, lifetime: 24h}}
rotation: {overlap: 5m}
secret: {deletionPolicy: Delete}`),
		},
		"a supplied token's": {
			written: newManifest("CoderSession", "supplied", ref+"auth: {token: {secretRef: {name: mine}}}"),
			stored:  newManifest("CoderSession", "supplied", ref+"auth: {token: {secretRef: {name: mine, key: token}}}"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stored, err := createObject(t, tc.written, namespace)
			if err != nil {
				t.Fatal(err)
			}
			expectSpec(t, stored, parseManifest(t, tc.stored, namespace))
		})
	}
}
