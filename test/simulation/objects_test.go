// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

func simPair(generation int) (id, key string) {
	return fmt.Sprintf("edge-id-%d", generation), fmt.Sprintf("edgekey-%dsentinelsentinelsent", generation)
}

func key(namespace, name string) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: name}
}

func (w *simWorld) populate() {
	for _, ns := range []string{"coder", "builds"} {
		w.put(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns, Labels: map[string]string{"team": ns}}})
	}
	for generation := range 100 {
		_, value := simPair(generation)
		w.know(value, "header of the edge")
	}
	for _, name := range simSettings {
		w.write(name, w.valid(name))
	}
	for _, name := range []string{"prod", "gate"} {
		w.put(w.newDeployment(name))
	}
	if w.features.rollouts {
		w.createWorkloads()
	}
	if w.features.workspaces {
		w.createReaders()
	}
	for _, name := range w.features.sessions() {
		w.put(w.newSession(name))
	}
}

// put creates or replaces an object.
func (w *simWorld) put(object client.Object) {
	r := refOf(object)
	if live := w.api.objects[r]; live != nil {
		object.SetResourceVersion(live.GetResourceVersion())
		object.SetFinalizers(live.GetFinalizers())
		w.must(nil, w.api.update(object))
		return
	}
	w.must(nil, w.api.create(object))
}

func (w *simWorld) deployment(name string) *v1alpha1.CoderDeployment {
	d, _ := w.api.objects[ref{kindDeployment, key("coder", name)}].(*v1alpha1.CoderDeployment)
	return d
}

// sessions lists the existing sessions.
func (w *simWorld) sessions() (found []*v1alpha1.CoderSession) {
	for _, r := range sortedRefs(w.api.objects) {
		if s, ok := w.api.objects[r].(*v1alpha1.CoderSession); ok {
			found = append(found, s)
		}
	}
	return found
}

func (w *simWorld) secretOf(s *v1alpha1.CoderSession) *corev1.Secret {
	found, _ := w.api.objects[ref{kindSecret, key(s.Namespace, s.SecretName())}].(*corev1.Secret)
	return found
}

// serves returns the server at the deployment's URL.
func (w *simWorld) serves(d *v1alpha1.CoderDeployment) *simCoder {
	for _, c := range w.coders {
		if d != nil && d.Spec.URL == c.http.URL {
			return c
		}
	}
	return w.coders[0]
}

func (w *simWorld) newDeployment(name string) *v1alpha1.CoderDeployment {
	from := func(kind, name, field string) *v1alpha1.HeaderSource {
		if kind == kindSecret {
			ref := &v1alpha1.SecretKeyRef{Name: v1alpha1.ObjectName(name), Key: v1alpha1.DataKey(field)}
			return &v1alpha1.HeaderSource{SecretKeyRef: ref}
		}
		ref := &v1alpha1.ConfigMapKeyRef{Name: v1alpha1.ObjectName(name), Key: v1alpha1.DataKey(field)}
		return &v1alpha1.HeaderSource{ConfigMapKeyRef: ref}
	}
	d := &v1alpha1.CoderDeployment{ObjectMeta: metav1.ObjectMeta{Namespace: "coder", Name: name}}
	d.Spec.URL = w.coders[0].http.URL
	d.Spec.Headers = []v1alpha1.Header{
		{Name: "X-Deployment", Value: &name},
		{Name: "X-Edge-Id", ValueFrom: from(kindConfigMap, "edge-id", "id")},
		{Name: "X-Edge-Key", ValueFrom: from(kindSecret, "edge-key", "key")},
	}
	d.Spec.RateLimit.RequestsPerMinute = 600
	d.Spec.Verify.Timeout = "5m" // it is measured in real time, and the machine may be slow
	if name == "gate" {
		d.Spec.URL = w.coders[1].http.URL
		user := simOperatorID
		d.Spec.Headers = append(d.Spec.Headers, v1alpha1.Header{Name: "X-Edge-User", Value: &user})
		return d
	}
	d.Spec.Token = &v1alpha1.OperatorToken{SecretRef: v1alpha1.TokenSecretRef{Name: "own", Key: "token"}}
	if w.renews {
		d.Spec.Token.Renew = &v1alpha1.TokenRenewal{
			Lifetime: *v1alpha1.DurationOf(simOwnLifetime), Before: *v1alpha1.DurationOf(simOwnBefore),
		}
	}
	if w.retains {
		d.Spec.Retention = retention(2, "6h")
	}
	d.Spec.Access = []v1alpha1.AccessRule{simAccess()}
	return d
}

func simAccess() v1alpha1.AccessRule {
	return v1alpha1.AccessRule{
		Name:              "guests",
		NamespaceSelector: metav1.LabelSelector{MatchLabels: map[string]string{"team": "builds"}},
		Users:             []string{"bot-*"}, Auth: []v1alpha1.AuthMethod{v1alpha1.AuthMint},
	}
}

// simSessions by name; builds/out needs an access rule.
var simSessions = []string{"coder/ci", "coder/cd", "builds/out", "coder/mine", "coder/cert", "coder/gated"}

func (w *simWorld) newSession(full string) *v1alpha1.CoderSession {
	namespace, name, _ := strings.Cut(full, "/")
	s := &v1alpha1.CoderSession{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	s.Spec.DeploymentRef = v1alpha1.DeploymentRef{Name: "prod", Namespace: "coder"}
	mint := func(user string, lifetime v1alpha1.Duration) {
		s.Spec.Auth.Mint = &v1alpha1.MintAuth{User: user, Lifetime: lifetime}
	}
	switch full {
	case "coder/ci":
		mint("bot-1", "24h")
	case "coder/cd":
		mint("bot-2", "2h")
	case "builds/out":
		mint("bot-1", "8h")
	case "coder/mine":
		s.Spec.Auth.Token = &v1alpha1.SuppliedTokenAuth{
			SecretRef: v1alpha1.TokenSecretRef{Name: "mine-token", Key: "token"},
		}
	case "coder/cert":
		s.Spec.DeploymentRef.Name = "gate"
		s.Spec.Auth.Certificate = &v1alpha1.CertificateAuth{}
	case "coder/gated":
		s.Spec.DeploymentRef.Name = "gate"
		mint("bot-2", "24h")
	case "coder/roll":
		mint("bot-1", "4h")
		s.Spec.Restart = restarts()
	case "coder/dev":
		mint("bot-1", "6h")
	case "coder/ide":
		s.Spec.Auth.Token = &v1alpha1.SuppliedTokenAuth{
			SecretRef: v1alpha1.TokenSecretRef{Name: "mine-token", Key: "token"},
		}
	case "coder/box":
		s.Spec.DeploymentRef.Name = "gate"
		s.Spec.Auth.Certificate = &v1alpha1.CertificateAuth{}
	case simParent:
		s.Spec.DeploymentRef.Name = "gate"
		mint("bot-2", "24h")
		s.Spec.PerPod = &v1alpha1.PerPod{MaxPods: simPodLimit}
	case "coder/login":
		s.Spec.Auth.OAuth = &v1alpha1.OAuthAuth{}
	case "coder/dash":
		s.Spec.DeploymentRef.Name = "gate"
		s.Spec.Auth.OAuth = &v1alpha1.OAuthAuth{}
	}
	if ref, bound := simBindings[full]; bound {
		s.Spec.Workspace = &ref
	}
	return s
}

// simSettings are the objects that deployments and sessions refer to, in the namespace coder.
var simSettings = []string{"edge-id", "edge-key", "own", "mine-token"}

// valid returns the currently valid content of a settings object.
func (w *simWorld) valid(name string) string {
	id, secret := simPair(w.pair)
	server := w.serves(w.deployment("prod"))
	return map[string]string{
		"edge-id": id, "edge-key": secret, "own": w.ownToken(server), "mine-token": server.supply,
	}[name]
}

// write writes a settings object, or deletes it if the value is empty.
func (w *simWorld) write(name, value string) {
	w.count.writes++
	at := metav1.ObjectMeta{
		Namespace: "coder", Name: name, Annotations: map[string]string{"write": fmt.Sprint(w.count.writes)},
	}
	field := map[string]string{"edge-id": "id", "edge-key": "key", "own": "token", "mine-token": "token"}[name]
	var object client.Object = &corev1.Secret{ObjectMeta: at, Data: map[string][]byte{field: []byte(value)}}
	if name == "edge-id" {
		object = &corev1.ConfigMap{ObjectMeta: at, Data: map[string]string{field: value}}
	}
	if value == "" {
		_ = w.api.remove(refOf(object), nil)
		return
	}
	w.put(object)
}

// content returns the content of a settings object; empty if it does not exist.
func (w *simWorld) content(name string) string {
	if object, found := w.api.objects[ref{kindSecret, key("coder", name)}].(*corev1.Secret); found {
		for _, value := range object.Data {
			return string(value)
		}
	}
	if object, ok := w.api.objects[ref{kindConfigMap, key("coder", name)}].(*corev1.ConfigMap); ok {
		return object.Data["id"]
	}
	return ""
}

var errNoSuch = errors.New("no such object")

// edit changes an object, if it exists.
func edit[T client.Object](w *simWorld, r ref, change func(T)) error {
	live, ok := w.api.objects[r].(T)
	if !ok {
		return errNoSuch
	}
	next := copyOf(live).(T)
	change(next)
	return w.api.update(next)
}

// at schedules a function.
func (w *simWorld) at(d time.Duration, do func()) {
	w.script = append(w.script, scripted{w.clock.Now().Add(d), do})
	slices.SortStableFunc(w.script, func(a, b scripted) int { return a.at.Compare(b.at) })
}
