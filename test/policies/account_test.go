// SPDX-License-Identifier: Apache-2.0

package policies_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const workload = `apiVersion: apps/v1
kind: KIND
metadata: {name: web, namespace: NS, labels: {app: web}}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}, annotations: {theirs: "1"}}
    spec: {containers: [{name: web, image: web}]}
`

const workloadAnnotations = "the operator's account may set the operator's own annotations of a pod template, " +
	"and no others"

const accountSentence = "the operator's account may change the annotations of a pod template and nothing else " +
	"of a workload"

// B139: the operator's account can restart a workload, and not change what runs in it.
func TestTheOperatorsAccountCannotChangeAPod(t *testing.T) {
	w := newEnv(t)
	operator := w.grantTo(w.operatorAccount(), w.rulesOf("role.yaml")...)
	const nothingElse = accountSentence
	const owners = "the operator's account may not change owners and finalizers of a workload"
	for _, kind := range []string{"Deployment", "StatefulSet", "DaemonSet"} {
		object := parse(t, w.fill(workload, kind))
		w.create(object.DeepCopy())
		restart := `spec: {template: {metadata: {annotations: {credentials.coder.com/restarted-at: "2030-01-02T03:04:05Z", ` +
			`restart.credentials.coder.com/ci: abc}}}}`
		w.expectAllowed(w.dryPatch(operator, object, restart))
		for patch, sentence := range map[string]string{
			"spec: {template: {spec: {containers: [{name: web, image: evil}]}}}":          nothingElse,
			"spec: {template: {spec: {serviceAccountName: admin}}}":                       nothingElse,
			"spec: {template: {spec: {hostNetwork: true}}}":                               nothingElse,
			"spec: {minReadySeconds: 9}":                                                  nothingElse,
			"spec: {revisionHistoryLimit: 0}":                                             nothingElse,
			"spec: {template: {metadata: {labels: {app: web, evil: x}}}}":                 nothingElse,
			"spec: {template: {metadata: {annotations: {theirs: null}}}}":                 workloadAnnotations,
			"spec: {template: {metadata: {annotations: {theirs: other}}}}":                workloadAnnotations,
			"spec: {template: {metadata: {annotations: {sidecar.example.com: inject}}}}":  workloadAnnotations,
			"metadata: {finalizers: [evil.example.com/stays]}":                            owners,
			"metadata: {ownerReferences: [{apiVersion: v1, kind: Pod, name: a, uid: b}]}": owners,
		} {
			w.expectRefused(w.dryPatch(operator, object, patch), sentence)
		}
		if kind != "DaemonSet" {
			w.expectRefused(w.dryPatch(operator, object, "spec: {replicas: 0}"), nothingElse)
		}
	}
	// Others are not meant.
	w.expectAllowed(w.dryPatch(w.user(allOf("apps", "deployments")), parse(t, w.fill(workload, "Deployment")),
		"spec: {replicas: 0}"))
}

// B139: the rights on Secrets are no way to the token of a service account, and not to the Secrets of
// others.
func TestTheOperatorsAccountAndSecrets(t *testing.T) {
	w := newEnv(t)
	operator := w.grantTo(w.operatorAccount(), w.rulesOf("role.yaml")...)
	const opaque = "the operator's account may write Secrets of the type Opaque only"
	const ofSessions = "the operator's account may create and delete the Secrets of sessions, and no others"
	const ofSession = "labels: {credentials.coder.com/session: ci}"
	updated := func(object *unstructured.Unstructured, change func(*unstructured.Unstructured)) error {
		changed := object.DeepCopy()
		w.must(w.cluster.Client.Get(t.Context(), client.ObjectKeyFromObject(object), changed))
		change(changed)
		return operator.Update(t.Context(), changed, client.DryRunAll)
	}
	try := func(lines string) error { return w.dryCreate(operator, w.secret(lines)) }
	w.expectRefused(try(ofSession+", annotations: {kubernetes.io/service-account.name: admin}}\n"+
		"type: kubernetes.io/service-account-token"), opaque)
	w.expectRefused(try(ofSession+"}\ntype: helm.sh/release.v1"), opaque)
	w.expectRefused(try("labels: {team: a}}"), ofSessions)
	w.expectAllowed(try(ofSession + "}\ntype: Opaque"))
	w.expectAllowed(try("labels: {credentials.coder.com/grant: ci}}"))

	theirs := w.secret("labels: {team: a}}\nstringData: {token: a}")
	w.create(theirs.DeepCopy())
	w.expectRefused(operator.Delete(t.Context(), theirs.DeepCopy(), client.DryRunAll), ofSessions)
	const taken = "the operator's account may not make a Secret of others that of a session"
	w.expectRefused(updated(theirs, func(o *unstructured.Unstructured) {
		o.SetLabels(map[string]string{"credentials.coder.com/session": "ci"})
	}), taken)
	w.expectRefused(updated(theirs, func(o *unstructured.Unstructured) {
		o.SetOwnerReferences([]metav1.OwnerReference{
			{APIVersion: ownGroup + "/v1alpha1", Kind: "CoderSession", Name: "ci", UID: "1"},
		})
	}), taken)
	// The renewal of the operator's own token.
	w.expectAllowed(updated(theirs, func(o *unstructured.Unstructured) {
		w.must(unstructured.SetNestedField(o.Object, "Yg==", "data", "token"))
	}))
	token := w.secret("annotations: {kubernetes.io/service-account.name: default}}\n" +
		"type: kubernetes.io/service-account-token")
	token.SetName("account")
	w.create(token.DeepCopy())
	w.expectRefused(updated(token, func(o *unstructured.Unstructured) {
		o.SetAnnotations(map[string]string{"kubernetes.io/service-account.name": "admin"})
	}), opaque)

	// In its own namespace it keeps Secrets of other kinds, and no tokens either.
	home := *w
	home.namespace = ownNamespace
	w.must(client.IgnoreAlreadyExists(w.cluster.Client.Create(t.Context(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ownNamespace}})))
	home.grantTo(w.operatorAccount(), rule("", "secrets", nil, "create"))
	w.expectAllowed(w.dryCreate(operator, home.secret("labels: {team: a}}")))
	w.expectRefused(w.dryCreate(operator, home.secret("annotations: {kubernetes.io/service-account.name: default}}\n"+
		"type: kubernetes.io/service-account-token")), opaque)

	own := w.secret(ofSession + "}")
	own.SetName("own")
	w.create(own.DeepCopy())
	w.expectAllowed(operator.Delete(t.Context(), own.DeepCopy(), client.DryRunAll))
}

const accountSessions = "the operator's account may change the finalizers of CoderDeployments and CoderSessions, " +
	"and keep sessions of single pods as perPod asks for them, and no more"

// B139: what people ask for is theirs.
func TestTheOperatorsAccountCannotAskForCredentials(t *testing.T) {
	w := newEnv(t)
	operator := w.grantTo(w.operatorAccount(), append([]rbacv1.PolicyRule{allOf(ownGroup, "codersessions")},
		w.rulesOf("role.yaml")...)...)
	const sentence = accountSessions
	w.create(w.session("ci", minted), w.deployment("prod"))
	w.expectRefused(w.dryCreate(operator, w.session("more", minted)), sentence)
	for _, patch := range []string{
		"spec: {paused: true}", "spec: {auth: {mint: {user: admin}}}", "metadata: {labels: {shard: b}}",
		"metadata: {annotations: {credentials.coder.com/renew-requested-at: now}}",
	} {
		w.expectRefused(w.dryPatch(operator, w.session("ci"), patch), sentence)
	}
	w.expectRefused(w.dryPatch(operator, w.deployment("prod"), "spec: {url: https://evil.example.com}"), sentence)
	w.expectAllowed(w.dryPatch(operator, w.session("ci"), "metadata: {finalizers: [credentials.coder.com/session]}"))
	w.expectRefused(operator.Delete(t.Context(), w.session("ci"), client.DryRunAll), sentence)
	w.expectAllowed(w.dryPatch(operator, w.deployment("prod"),
		"metadata: {finalizers: [credentials.coder.com/deployment]}"))
}

// ofPod makes a session that of a pod, as the operator creates it.
func ofPod(session *unstructured.Unstructured, change ...func(*metav1.OwnerReference)) *unstructured.Unstructured {
	owner := metav1.OwnerReference{APIVersion: "v1", Kind: "Pod", Name: "job", UID: "1", Controller: ptr.To(true)}
	for _, c := range change {
		c(&owner)
	}
	session.SetOwnerReferences([]metav1.OwnerReference{owner})
	session.SetLabels(map[string]string{"credentials.coder.com/parent": "ci"})
	session.SetAnnotations(map[string]string{"credentials.coder.com/pod": "job"})
	return session
}

// B139, B153: the operator's account creates, changes and deletes the sessions of pods, and such as a
// session with perPod can ask for only. It can make none of them one of another kind, and no other
// session one of a pod.
func TestTheOperatorsAccountAndSessionsOfPods(t *testing.T) {
	w := newEnv(t)
	operator := w.grantTo(w.operatorAccount(), append([]rbacv1.PolicyRule{allOf(ownGroup, "codersessions")},
		w.operatorRules()...)...)
	w.expectAllowed(w.dryCreate(operator, ofPod(w.session("job", minted, "secret: {template: {a: b}}"))))
	for _, asks := range []string{
		"auth: {token: {secretRef: {name: coder-operator-token}}}", certificate,
		minted + "\nrestart: [{kind: Deployment, name: web}]", minted + "\nsecret: {name: theirs}",
		minted + "\nsecret: {deletionPolicy: Retain}", minted + "\nworkspace: {owner: ada, name: dev}",
		minted + "\nperPod: {}",
	} {
		w.expectRefused(w.dryCreate(operator, ofPod(w.session("job", asks))), accountSessions)
	}
	for _, change := range []func(*metav1.OwnerReference){
		func(o *metav1.OwnerReference) { o.Kind = "Node" },
		func(o *metav1.OwnerReference) { o.APIVersion = "apps/v1" },
		func(o *metav1.OwnerReference) { o.Controller = nil },
	} {
		w.expectRefused(w.dryCreate(operator, ofPod(w.session("job", minted), change)), accountSessions)
	}
	unlabelled := ofPod(w.session("job", minted))
	unlabelled.SetLabels(nil)
	w.expectRefused(w.dryCreate(operator, unlabelled), accountSessions)

	w.create(ofPod(w.session("job", minted)), w.session("ci", minted))
	job := w.session("job")
	renew := "metadata: {annotations: {credentials.coder.com/renew-requested-at: now}}"
	w.expectAllowed(w.dryPatch(operator, job, "{"+renew+", spec: {auth: {mint: {lifetime: 1h}}}}"))
	for _, patch := range []string{
		"spec: {workspace: {owner: ada, name: dev}}", "metadata: {ownerReferences: null}",
		"metadata: {labels: {credentials.coder.com/parent: other}}",
	} {
		w.expectRefused(w.dryPatch(operator, job, patch), accountSessions)
	}
	adopt := "{metadata: {labels: {credentials.coder.com/parent: a}, ownerReferences: " +
		"[{apiVersion: v1, kind: Pod, name: pod, uid: '1', controller: true}]}, spec: {auth: {mint: {user: admin}}}}"
	w.expectRefused(w.dryPatch(operator, w.session("ci"), adopt), accountSessions)
	w.expectAllowed(operator.Delete(t.Context(), job, client.DryRunAll))
}

// B139, B155: whatever a person who may write the sessions of pods puts into one, the operator can change and
// delete it, and label and owners are the operator's: with them it is deleted with its pod, and counted.
func TestWhatOthersWriteIntoSessionsOfPods(t *testing.T) {
	w := newEnv(t)
	operator := w.grantTo(w.operatorAccount(), w.operatorRules()...)
	editor := w.user(w.editorRules()...)
	const sentence = "the label credentials.coder.com/parent and the owners of a session that has it are written by the " +
		"operator alone: leave them as they are, and create a pod to get a session for it"
	w.expectRefused(w.dryCreate(editor, ofPod(w.session("job", minted))), sentence)
	w.create(ofPod(w.session("job", minted)), w.session("ci", minted))
	job, owned := w.session("job"), "{apiVersion: v1, kind: Pod, name: job, uid: '1', controller: true}"
	second := "{apiVersion: v1, kind: ConfigMap, name: x, uid: '2'}"
	for _, patch := range []string{
		"metadata: {labels: null}", "metadata: {labels: {credentials.coder.com/parent: other}}",
		"metadata: {ownerReferences: [" + owned + ", " + second + "]}", "metadata: {ownerReferences: [" + second + "]}",
		"metadata: {ownerReferences: [{apiVersion: v1, kind: Pod, name: job, uid: '1'}]}",
	} {
		w.expectRefused(w.dryPatch(editor, job, patch), sentence)
	}
	forge := "metadata: {labels: {credentials.coder.com/parent: ci}}"
	w.expectRefused(w.dryPatch(editor, w.session("ci"), forge), sentence)
	// The garbage collector removes owners that are gone.
	w.expectAllowed(w.dryPatch(editor, job, "metadata: {ownerReferences: null}"))
	w.expectAllowed(w.dryPatch(editor, job, "{metadata: {labels: {team: a}}, spec: {auth: {mint: {lifetime: 2h}}}}"))
	w.expectAllowed(editor.Delete(t.Context(), job, client.DryRunAll))

	// What the policy for people cannot prevent, because an administrator may do it.
	hostile := ofPod(w.session("hostile", minted+"\nrestart: [{kind: Deployment, name: web}]"))
	hostile.SetOwnerReferences(append(hostile.GetOwnerReferences(),
		metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: "x", UID: "2"}))
	w.create(hostile)
	for _, patch := range []string{
		"metadata: {annotations: {credentials.coder.com/renew-requested-at: now}}",
		"{metadata: {annotations: {credentials.coder.com/renew-requested-at: now}}, spec: {restart: null}}",
		"metadata: {finalizers: [credentials.coder.com/session]}",
	} {
		w.expectAllowed(w.dryPatch(operator, hostile, patch))
	}
	w.expectAllowed(operator.Delete(t.Context(), hostile, client.DryRunAll))
}
