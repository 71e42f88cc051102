// SPDX-License-Identifier: Apache-2.0

package policies_test

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

const mergePatch = types.MergePatchType

// Roles of those who attack: S may create CoderSessions in a namespace and nothing else, D may create
// CoderDeployments.
var (
	mayCreateSessions    = rule(ownGroup, "codersessions", nil, "create")
	mayCreateDeployments = rule(ownGroup, "coderdeployments", nil, "create")
	mayWriteSecrets      = rule("", "secrets", nil, "create", "update")
)

// B132: a session that has the operator send its own token to the author's server.
func TestASessionWithTheOperatorsToken(t *testing.T) {
	w := newEnv(t)
	stolen := "auth: {token: {secretRef: {name: operator-token}}}"
	const refusal = "you may not get Secret NS/operator-token, which auth.token has the operator copy for you: " +
		"ask for the right to get it, or name another one"
	s := w.user(mayCreateSessions)
	w.expectRefused(w.dryCreate(s, w.session("evil", stolen)), refusal)

	// Nor by an update of a session that was good when it was created.
	w.create(w.session("good", "auth: {token: {secretRef: {name: mine}}}"))
	writer := w.user(allOf(ownGroup, "codersessions"), mayWriteSecrets, rule("", "secrets", []string{"mine"}, "get"))
	w.expectRefused(w.dryPatch(writer, w.session("good"), "spec: {"+stolen+"}"), refusal)
	w.expectAllowed(w.dryPatch(writer, w.session("good"), "spec: {auth: {token: {secretRef: {name: mine, key: other}}}}"))
}

// B132: what a deployment names goes to a server that its author has chosen.
func TestADeploymentThatSendsSecretsAway(t *testing.T) {
	w := newEnv(t)
	d := w.user(mayCreateDeployments)
	for name, spec := range map[string]string{
		"kubeconfig": "headers: [{name: X-Leak, valueFrom: {secretKeyRef: {name: kubeconfig, key: value}}}]",
		"tls": "tls: {clientCertificateSecretName: tls}\n" +
			"access: [{name: me, namespaceSelector: {}, auth: [Certificate], shareClientCertificate: true}]",
	} {
		w.expectRefused(w.dryCreate(d, w.deployment("evil", spec)), "you may not get Secret NS/"+name+
			", which the operator would read for you: ask for the right to get it, or name another one")
	}
	w.expectAllowed(w.dryCreate(d, w.deployment("honest")))
}

// B132: another url, proxy or authority, other headers, or a wider access send what the deployment
// names to others than those for whom it was named.
func TestADeploymentThatIsChanged(t *testing.T) {
	w := newEnv(t)
	w.create(w.deployment("prod", "token: {secretRef: {name: operator-token}}"))
	const refusal = "you may not get Secret NS/operator-token, which the operator would read for you: ask for the " +
		"right to get it, or name another one"
	const moved = "url, proxyURL and tls say where the tokens of sessions are sent, and you may not get Secrets in " +
		"namespace NS: ask for the right to get them, or create another CoderDeployment"
	writer := w.user(allOf(ownGroup, "coderdeployments"))
	reader := w.user(allOf(ownGroup, "coderdeployments"), rule("", "secrets", []string{"operator-token"}, "get"))
	editor := w.user(allOf(ownGroup, "coderdeployments"), rule("", "secrets", nil, "get"))
	try := func(as client.Client, change string) error {
		return w.dryPatch(as, w.deployment("prod"), "spec: {"+change+"}")
	}
	for _, change := range []string{
		"url: https://evil.example.com", "proxyURL: http://evil.example.com:3128", "tls: {insecureSkipVerify: true}",
		"tls: {serverName: evil.example.com}",
	} {
		w.expectRefused(try(writer, change), moved)
		w.expectRefused(try(reader, change), moved)
		w.expectAllowed(try(editor, change))
	}
	for _, change := range []string{
		"headers: [{name: Host-Of, value: evil}]", "oauth: {scopes: ['workspace:read']}",
		"access: [{name: me, namespaceSelector: {}, auth: [OAuth]}]",
		"token: {secretRef: {name: operator-token, key: other}}", "token: {secretRef: {name: operator-token}, renew: {}}",
	} {
		w.expectRefused(try(writer, change), refusal)
		w.expectAllowed(try(reader, change))
	}
	w.expectAllowed(try(writer, "verify: {interval: 1m}, rateLimit: {requestsPerMinute: 10}"))
}

// B132: a CoderDeployment that is deleted stays until its last session is gone. Without its finalizer, another one
// of its name, at another url, would get their tokens.
func TestADeploymentThatIsReplaced(t *testing.T) {
	w := newEnv(t)
	deployment := w.deployment("prod")
	deployment.SetFinalizers([]string{v1alpha1.DeploymentFinalizer, "example.com/audit"})
	w.create(deployment)
	const refusal = "the finalizer credentials.coder.com/deployment keeps a CoderDeployment until its sessions are " +
		"gone, because another one of its name would get their tokens, and you may not get Secrets in namespace NS: delete " +
		"the sessions, or ask for the right to get them"
	writer := w.user(allOf(ownGroup, "coderdeployments"))
	reader := w.user(allOf(ownGroup, "coderdeployments"), rule("", "secrets", []string{"operator-token"}, "get"))
	editor := w.user(allOf(ownGroup, "coderdeployments"), rule("", "secrets", nil, "get"))
	try := func(as client.Client, finalizers string) error {
		return w.dryPatch(as, w.deployment("prod"), "metadata: {finalizers: "+finalizers+"}")
	}
	refuse := func(finalizers ...string) {
		t.Helper()
		for _, released := range finalizers {
			w.expectRefused(try(writer, released), refusal)
			w.expectRefused(try(reader, released), refusal)
		}
	}
	refuse("null", "[]", "[example.com/audit]", "[credentials.coder.com/deployment2]")
	w.expectAllowed(try(editor, "null"))
	w.expectAllowed(try(writer, "[credentials.coder.com/deployment]"))

	w.expectAllowed(writer.Delete(t.Context(), deployment.DeepCopy()))
	refuse("null", "[]", "[example.com/audit]")
	w.expectAllowed(try(w.user(w.operatorRules()...), "[example.com/audit]"))
	w.expectAllowed(editor.Patch(t.Context(), deployment, client.RawPatch(mergePatch,
		[]byte(`{"metadata":{"finalizers":null}}`))))
}

// B132: a template that fails depending on a secret value tells it to those who see the status.
func TestATemplateOfAnAuthorWhoMayNotReadTheSecret(t *testing.T) {
	w := newEnv(t)
	probe := `secret: {name: mine, template: {probe: '{{ index .Headers "X-Edge" }}'}}`
	const refusal = "you may not get Secret NS/mine, whose values secret.template can use: ask for the right to get " +
		"it, or remove secret.template"
	s := w.user(mayCreateSessions, mayWriteSecrets)
	w.expectRefused(w.dryCreate(s, w.session("ci", minted, probe)), refusal)
	w.expectAllowed(w.dryCreate(s, w.session("ci", minted, "secret: {name: mine}")))
	may := rule("", "secrets", []string{"mine"}, "get")
	w.expectAllowed(w.dryCreate(w.user(mayCreateSessions, mayWriteSecrets, may), w.session("ci", minted, probe)))

	w.create(w.session("ci", minted, "secret: {name: mine}"))
	writer := w.user(allOf(ownGroup, "codersessions"), mayWriteSecrets)
	w.expectRefused(w.dryPatch(writer, w.session("ci"), "spec: {secret: {template: {probe: '{{ .Token }}'}}}"), refusal)
}

// B139: the operator writes no Secret for those who may not do so themselves.
func TestASessionOfAnAuthorWhoMayNotWriteSecrets(t *testing.T) {
	w := newEnv(t)
	const create = "you may not create Secrets in namespace NS, which the operator would do for you: ask for the " +
		"right to create them"
	const update = "you may not update Secret NS/ci, which the operator would do for you: ask for the right to update " +
		"it, or write another secret.name"
	w.expectRefused(w.dryCreate(w.user(mayCreateSessions), w.session("ci", minted)), create)
	w.expectRefused(w.dryCreate(w.user(mayCreateSessions, rule("", "secrets", nil, "create")),
		w.session("ci", minted)), update)
	w.expectRefused(w.dryCreate(w.user(mayCreateSessions, rule("", "secrets", nil, "update")),
		w.session("ci", minted)), create)
	w.expectAllowed(w.dryCreate(w.user(mayCreateSessions, mayWriteSecrets), w.session("ci", minted)))
}

// B139, B153: the Secrets of pods have random names, so that the author of a session with perPod may write
// all Secrets, and read all where a template is filled in.
func TestASessionForPodsOfAnAuthorWithFewRights(t *testing.T) {
	w := newEnv(t)
	const update = "you may not update Secrets in namespace NS, which the operator would do for you: ask for the right " +
		"to update them, or remove perPod"
	const get = "you may not get Secrets in namespace NS, whose values secret.template can use: ask for the right to " +
		"get them, or remove secret.template"
	own := rule("", "secrets", []string{"ci"}, "get", "update")
	few := w.user(mayCreateSessions, own, rule("", "secrets", nil, "create"))
	w.expectAllowed(w.dryCreate(few, w.session("ci", minted)))
	w.expectRefused(w.dryCreate(few, w.session("ci", minted, "perPod: {}")), update)
	template := "secret: {template: {probe: '{{ .Token }}'}}"
	writer := w.user(allOf(ownGroup, "codersessions"), mayWriteSecrets, own)
	w.expectAllowed(w.dryCreate(writer, w.session("ci", minted, template)))
	w.expectAllowed(w.dryCreate(writer, w.session("ci", minted, "perPod: {}")))
	w.expectRefused(w.dryCreate(writer, w.session("ci", minted, "perPod: {}", template)), get)

	// It is asked about when a session turns into one for pods, too.
	w.create(w.session("ci", minted, template))
	w.expectRefused(w.dryPatch(writer, w.session("ci"), "spec: {perPod: {}}"), get)
}

// B139: restart rolls no workload for those who may not do so themselves.
func TestARestartByThoseWhoMayNotPatch(t *testing.T) {
	w := newEnv(t)
	const refusal = "you may not patch deployments NS/payments, which restart has the operator do for you: ask for " +
		"the right to patch it, or remove it from restart"
	restarts := "restart: [{kind: Deployment, name: mine}, {kind: Deployment, name: payments}]"
	s := w.user(mayCreateSessions, mayWriteSecrets, rule("apps", "deployments", []string{"mine"}, "patch"))
	w.expectRefused(w.dryCreate(s, w.session("ci", certificate, restarts)), refusal)

	w.create(w.session("mine", certificate, "restart: [{kind: Deployment, name: mine}]"))
	w.create(w.session("theirs", certificate, "restart: [{kind: Deployment, name: payments}]"))
	writer := w.user(allOf(ownGroup, "codersessions"), mayWriteSecrets,
		rule("apps", "deployments", []string{"mine"}, "patch"))
	w.expectRefused(w.dryPatch(writer, w.session("mine"), "spec: {"+restarts+"}"), refusal)
	// What was there before is the responsibility of those who wrote it.
	w.expectAllowed(w.dryPatch(writer, w.session("theirs"), "spec: {"+restarts+"}"))
	w.expectAllowed(w.dryPatch(writer, w.session("theirs"), "spec: {restart: []}"))
}

// The most that specs can name is within what the API server lets a policy cost.
func TestTheLargestObjects(t *testing.T) {
	w := newEnv(t)
	headers := func(n int) string {
		lines := []string{"headers:"}
		for i := range n {
			lines = append(lines, fmt.Sprintf("- {name: H-%d, valueFrom: {secretKeyRef: {name: s-%d, key: k}}}", i, i))
		}
		return strings.Join(lines, "\n")
	}
	names := func(prefix string, n int) []string {
		found := make([]string, n)
		for i := range found {
			found[i] = fmt.Sprintf("%s-%d", prefix, i)
		}
		return found
	}
	d := w.user(allOf(ownGroup, "coderdeployments"), rule("", "secrets", names("s", 32), "get"))
	w.expectAllowed(w.dryCreate(d, w.deployment("prod", headers(24))))
	w.expectRefused(w.dryCreate(d, w.deployment("prod", headers(25))), "more than 24 different Secrets and ConfigMaps "+
		"are named: put several values into one of them, under keys of their own")
	same := headers(32)
	for i := range 32 {
		same = strings.Replace(same, fmt.Sprintf("name: s-%d,", i), fmt.Sprintf("name: s-%d,", i%23), 1)
	}
	w.expectAllowed(w.dryCreate(d, w.deployment("prod", same)))
	same = strings.Replace(same, "name: s-0,", "name: not-mine,", 1)
	w.expectRefused(w.dryCreate(d, w.deployment("prod", same)), "you may not get Secret NS/not-mine, which the operator "+
		"would read for you: ask for the right to get it, or name another one")
	// A move is one question more.
	w.create(w.deployment("prod", headers(24)))
	w.expectAllowed(w.dryPatch(w.user(allOf(ownGroup, "coderdeployments"), rule("", "secrets", nil, "get")),
		w.deployment("prod"), "spec: {url: https://coder2.example.com}"))

	lines := []string{"auth: {token: {secretRef: {name: s-0}}}", "secret: {template: {a: '{{ .Token }}'}}", "restart:"}
	for i := range 16 {
		lines = append(lines, fmt.Sprintf("- {kind: StatefulSet, name: w-%d}", i))
	}
	s := w.user(mayCreateSessions, mayWriteSecrets, rule("", "secrets", []string{"s-0", "ci"}, "get"),
		rule("apps", "statefulsets", names("w", 16), "patch"))
	w.expectAllowed(w.dryCreate(s, w.session("ci", lines...)))
	lines[len(lines)-1] = "- {kind: StatefulSet, name: not-mine}"
	w.expectRefused(w.dryCreate(s, w.session("ci", lines...)), "you may not patch statefulsets NS/not-mine, which "+
		"restart has the operator do for you: ask for the right to patch it, or remove it from restart")
}
