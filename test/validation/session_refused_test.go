// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"strings"
	"testing"
)

const (
	mint = "deploymentRef: {name: prod}\nauth: {mint: {user: ci-bot}}\n"
	ref  = "deploymentRef: {name: prod}\n"
)

func TestRefusedAuth(t *testing.T) {
	t.Parallel()
	const one = "write exactly one of mint, token, oauth and certificate"
	expectRefused(t, map[string]fault{
		"none":          {session(ref + "auth: {}"), one},
		"two":           {session(ref + "auth: {mint: {user: ci-bot}, certificate: {}}"), one},
		"two empty":     {session(ref + "auth: {oauth: {}, certificate: {}}"), one},
		"no auth":       {session(ref), "spec.auth: Required value"},
		"no deployment": {session("auth: {certificate: {}}"), "spec.deploymentRef: Required value"},
		"a namespaced name": {
			session("deploymentRef: {name: coder/prod}\nauth: {certificate: {}}"), "write the object's name",
		},
		"a namespace": {
			session("deploymentRef: {name: prod, namespace: My Team}\nauth: {certificate: {}}"), "write the object's name",
		},
		"no source": {session(ref + "auth: {token: {}}"), "secretRef: Required value"},
		"the source itself": {
			session(ref + "auth: {token: {secretRef: {name: ci}}}"),
			"would overwrite the one that auth.token.secretRef names: write another secret.name",
		},
		"the source by name": {
			session(ref + "auth: {token: {secretRef: {name: mine}}}\nsecret: {name: mine}"), "write another secret.name",
		},
		"a long name": {
			newManifest("CoderSession", strings.Repeat("a", 64), mint), "write a name of at most 63 characters",
		},
		"an overlap of two days": {
			session(ref + "auth: {mint: {user: ci-bot, lifetime: 72h}}\nrotation: {overlap: 48h}"), "at most 24h",
		},
		"an overlap beyond the lifetime": {
			session(ref + "auth: {mint: {user: ci-bot, lifetime: 1h}}\nrotation: {overlap: 2h}"), "not longer than auth.mint",
		},
		"a consent of an address": {
			session(ref + "auth: {oauth: {user: ada@example.com}}"), "no e-mail address",
		},
		"a grant of all": {session(ref + "auth: {oauth: {scopes: [all]}}"), "the alias all is written coder:all"},
	})
}

func TestRefusedMinting(t *testing.T) {
	t.Parallel()
	minting := func(text string) string { return session(ref + "auth: {mint: {user: ci-bot, " + text + "}}") }
	expectRefused(t, map[string]fault{
		"no user":           {session(ref + "auth: {mint: {}}"), "user: Required value"},
		"an e-mail address": {session(ref + "auth: {mint: {user: ci@example.com}}"), "no e-mail address"},
		"a hyphen too many": {session(ref + "auth: {mint: {user: ci--bot}}"), "groups joined by single hyphens"},
		"a user too long":   {session(ref + "auth: {mint: {user: " + strings.Repeat("a", 33) + "}}"), "Too long"},
		"a life in days":    {minting("lifetime: 1d"), "write a positive duration"},
		"no unit":           {minting(`lifetime: "3600"`), "write a positive duration"},
		"seconds":           {minting("lifetime: 30s"), "write a lifetime of at least 1m"},
		"the scope all":     {minting("scopes: [all]"), "the alias all is written coder:all"},
		"a scope's case":    {minting(`scopes: ["Workspace:read"]`), "write a scope such as coder:all"},
		"a scope twice":     {minting(`scopes: ["workspace:read", "workspace:read"]`), "Duplicate value"},
		"a type without id": {minting("allowList: [workspace]"), "write a resource type and an id, such as workspace:*"},
		"a name for an id":  {minting(`allowList: ["workspace:dev"]`), "write a resource type and an id"},
		"an id in capitals": {
			minting(`allowList: ["workspace:6F0E6F6E-0000-4000-8000-000000000001"]`), "write a resource type and an id",
		},
		"too many resources": {
			minting("allowList: [" + strings.Join(numberedWords(65), `:*, `) + `:*]`), "must have at most 64 items",
		},
	})
}

func TestRefusedRotation(t *testing.T) {
	t.Parallel()
	const shorter = "write a rotation.renewBefore that is shorter than auth.mint.lifetime"
	expectRefused(t, map[string]fault{
		"as long as it lives": {
			session(ref + "auth: {mint: {user: ci-bot, lifetime: 8h}}\nrotation: {renewBefore: 8h}"), shorter,
		},
		"longer than the default": {session(mint + "rotation: {renewBefore: 48h}"), shorter},
		"in days":                 {session(mint + "rotation: {renewBefore: 1d}"), "write a positive duration"},
		"of a life in days": {
			session(ref + "auth: {mint: {user: ci-bot, lifetime: 2d}}\nrotation: {renewBefore: 8h}"),
			"write a positive duration",
		},
		"an overlap below zero": {session(mint + "rotation: {overlap: -5m}"), "write a positive duration"},
	})
}

func TestRefusedSecrets(t *testing.T) {
	t.Parallel()
	secret := func(text string) string { return session(mint + "secret: {" + text + "}") }
	expectRefused(t, map[string]fault{
		"no name": {secret(`name: ""`), "write the object's name"},
		"a name": {
			secret("name: CI_Coder"), "write the object's name: lower-case letters, digits, '-' and '.'",
		},
		"the key session": {secret("template: {session: x}"), "are the operator's own keys: write another key"},
		"the key tls.key": {secret("template: {tls.key: x}"), "are the operator's own keys"},
		"a path": {
			secret("template: {etc/netrc: x}"), "write template keys of letters, digits, '-', '_' and '.'",
		},
		"a huge template": {
			secret("template: {big: " + strings.Repeat("x", 65537) + "}"), "write templates of at most 64 KiB",
		},
		"an own label": {
			secret("labels: {credentials.coder.com/session: x}"), "are the operator's own: use another prefix",
		},
		"an own annotation": {
			secret("annotations: {credentials.coder.com/serial: x}"), "are the operator's own: use another prefix",
		},
		"a label's key":   {secret("labels: {a b: x}"), "write label keys such as team or example.com/team"},
		"a label's value": {secret("labels: {team: a b}"), "write label values of at most 63 letters"},
		"a long label": {
			secret("labels: {team: " + strings.Repeat("a", 64) + "}"), "Too long: may not be more than 63",
		},
		"an annotation's key": {secret("annotations: {a/b/c: x}"), "write annotation keys such as note or example.com/note"},
		"a policy of no kind": {secret("deletionPolicy: Orphan"), `supported values: "Delete", "Retain"`},
		"too many annotations": {
			secret("annotations: {" + strings.Join(numberedWords(33), ": v, ") + ": v}"), "must have at most 32 items",
		},
	})
}

func TestRefusedTargets(t *testing.T) {
	t.Parallel()
	expectRefused(t, map[string]fault{
		"a kind that cannot roll": {
			session(mint + "restart: [{kind: Pod, name: runner}]"), `supported values: "Deployment", "StatefulSet", "DaemonSet"`,
		},
		"no name": {session(mint + `restart: [{kind: Deployment, name: ""}]`), "write the object's name"},
		"a workspace's owner": {
			session(mint + "workspace: {owner: ada@example.com, name: dev}"), "write the username of the workspace's owner",
		},
		"an owner in the name": {
			session(mint + "workspace: {owner: ada, name: ada/dev}"), "write the workspace's name, without its owner",
		},
	})
}

// numberedWords returns that many different words.
func numberedWords(count int) []string {
	words := make([]string, count)
	for i := range words {
		words[i] = strings.Repeat("k", i+1)
	}
	return words
}

// B138: what other controllers act on. Each entry of the lists in the API has a case here.
func TestRefusedForOtherControllers(t *testing.T) {
	t.Parallel()
	faults := map[string]fault{
		"Helm's releases": {session(mint + "secret: {labels: {owner: helm, name: web}}"), "remove the label owner: helm"},
	}
	for _, name := range []string{"sh.helm.release.v1.web.v1", "bootstrap-token-abcdef"} {
		const advice = "write a name that does not begin with sh.helm.release. or bootstrap-token-"
		faults[name] = fault{session(mint + "secret: {name: " + name + "}"), advice}
		faults["session "+name] = fault{newManifest("CoderSession", name, mint), advice}
	}
	for _, key := range []string{
		"argocd.argoproj.io/secret-type", "argocd.argoproj.io/instance", "argocd.argoproj.io/tracking-id",
		"istio/multiCluster", "meta.helm.sh/release-name", "kubernetes.io/service-account.name",
		"cert-manager.io/allow-direct-injection", "cluster.x-k8s.io/cluster-name",
		"sealedsecrets.bitnami.com/sealed-secrets-key", "replicator.v1.mittwald.de/replicate-to",
		"reflector.v1.k8s.emberstack.com/reflection-auto-enabled",
	} {
		for _, field := range []string{"labels", "annotations"} {
			faults[field+" "+key] = fault{session(mint + "secret: {" + field + ": {a: b, " + key + ": x}}"),
				"remove the labels and annotations that other controllers act on"}
		}
	}
	expectRefused(t, faults)
}
