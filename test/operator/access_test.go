// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/kube"
)

// guest is a session in another namespace that refers to the world's deployment.
func (w *world) guest(namespace, name string, auth v1alpha1.Auth, changes ...func(*v1alpha1.CoderSessionSpec)) *v1alpha1.CoderSession {
	s := w.session(name, auth, changes...)
	s.Namespace = namespace
	s.Spec.DeploymentRef.Namespace = v1alpha1.ObjectName(w.namespace)
	return s
}

// in looks at things in another namespace.
func (w *world) in(namespace string) *world {
	other := *w
	other.namespace = namespace
	return &other
}

func withAccess(rules ...v1alpha1.AccessRule) func(*v1alpha1.CoderDeploymentSpec) {
	return func(spec *v1alpha1.CoderDeploymentSpec) { spec.Access = rules }
}

// B31: another namespace gets exactly what the access rules allow.
func TestAnotherNamespaceGetsWhatTheRulesAllow(t *testing.T) {
	mint := func(user string, lifetime v1alpha1.Duration, scopes ...v1alpha1.Scope) v1alpha1.Auth {
		return v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: user, Lifetime: lifetime, Scopes: scopes}}
	}
	withKey := func(spec *v1alpha1.CoderSessionSpec) {
		spec.Secret = &v1alpha1.GeneratedSecret{IncludeClientCertificate: true}
	}
	w := newWorld(t, mTLS)
	guests := w.cluster.Namespace(t, nil)
	strangers := w.cluster.Namespace(t, nil)
	w.startOperator(guests, strangers)
	limit := v1alpha1.Duration("2h")
	w.create(w.deployment("prod", withAccess(v1alpha1.AccessRule{
		Name:              "guests",
		NamespaceSelector: metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": guests}},
		Users:             []string{"ci-*"}, Auth: []v1alpha1.AuthMethod{v1alpha1.AuthMint},
		Scopes: []v1alpha1.Scope{"workspace:*"}, MaxLifetime: &limit,
	})))
	g := w.in(guests)
	w.create(
		w.guest(guests, "allowed", mint("ci-bot", "1h", "workspace:read")),
		w.guest(guests, "user", mint("ada", "1h", "workspace:read")),
		w.guest(guests, "lifetime", mint("ci-bot", "3h", "workspace:read")),
		w.guest(guests, "scope", mint("ci-bot", "1h", "template:read")),
		w.guest(guests, "all-scopes", mint("ci-bot", "1h")),
		w.guest(guests, "method", v1alpha1.Auth{Certificate: &v1alpha1.CertificateAuth{}}),
		w.guest(guests, "key", mint("ci-bot", "1h", "workspace:read"), withKey),
		w.guest(strangers, "stranger", mint("ci-bot", "1h", "workspace:read")),
	)
	w.eventually(
		g.ready("allowed"),
		g.notReady("user", v1alpha1.ReasonAccessDenied, `user "ada"`),
		g.notReady("lifetime", v1alpha1.ReasonAccessDenied, "2h"),
		g.notReady("scope", v1alpha1.ReasonAccessDenied, "template:read"),
		g.notReady("all-scopes", v1alpha1.ReasonAccessDenied, "coder:all"),
		g.notReady("method", v1alpha1.ReasonAccessDenied, "Certificate"),
		g.notReady("key", v1alpha1.ReasonAccessDenied, "includeClientCertificate"),
		w.in(strangers).notReady("stranger", v1alpha1.ReasonAccessDenied, "no access rule"),
		w.liveTokens(1),
	)
}

// B31, B32: withdrawing a rule takes away what it allowed; giving it back brings
// it back.
func TestAWithdrawnRuleTakesItsTokenAway(t *testing.T) {
	w := newWorld(t, mTLS)
	guests := w.cluster.Namespace(t, nil)
	w.startOperator(guests)
	rule := v1alpha1.AccessRule{Name: "guests", Users: []string{"*"}, Auth: []v1alpha1.AuthMethod{v1alpha1.AuthMint}}
	w.create(w.deployment("prod", withAccess(rule)))
	w.create(w.guest(guests, "ci", v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: "ci-bot"}}))
	g := w.in(guests)
	w.eventually(g.ready("ci"), w.liveTokens(1))
	w.changeDeployment("prod", func(d *v1alpha1.CoderDeployment) { d.Spec.Access = nil })
	w.eventually(g.notReady("ci", v1alpha1.ReasonAccessDenied, ""), g.noSecret("ci"), w.liveTokens(0))
	w.changeDeployment("prod", func(d *v1alpha1.CoderDeployment) { d.Spec.Access = []v1alpha1.AccessRule{rule} })
	w.eventually(g.ready("ci"), w.liveTokens(1))
}

// B20: sessions of different deployments never get each other's credentials, and
// a dead deployment delays no other.
func TestDeploymentsShareNothing(t *testing.T) {
	w := newWorld(t, mTLS)
	other := newServerOf(w)
	w.startOperator()
	dead := w.deployment("dead")
	dead.Spec.URL = "https://127.0.0.1:1"
	second := w.deployment("second")
	second.Spec.URL, second.Spec.Token.SecretRef.Name = other.listener.URL(), "token-of-other"
	w.create(dead, second, w.deployment("prod"))
	on := func(deployment v1alpha1.ObjectName) func(*v1alpha1.CoderSessionSpec) {
		return func(spec *v1alpha1.CoderSessionSpec) { spec.DeploymentRef.Name = deployment }
	}
	for range 5 {
		w.create(named(w.mint("", "ci-bot", on("dead")), "dead-"))
	}
	w.create(w.mint("a", "ci-bot"), w.mint("b", "ci-bot", on("second")))
	w.eventually(w.ready("a"), func(ctx context.Context) error {
		s, err := w.getSession(ctx, "b")
		if err != nil {
			return err
		}
		return conditionIs("session b", s.Status.Conditions, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonActive, "")
	})
	a, b := string(w.nowSecret("a").Data["session"]), string(w.nowSecret("b").Data["session"])
	if !w.coder.AcceptsToken(a) || w.coder.AcceptsToken(b) || !other.coder.AcceptsToken(b) || other.coder.AcceptsToken(a) {
		t.Error("a token of one server is published for the other")
	}
}

func named(object *v1alpha1.CoderSession, prefix string) client.Object {
	object.Name, object.GenerateName = "", prefix
	return object
}

// B21: an event on a Secret that nobody refers to wakes nobody; one that a
// deployment refers to wakes that one only.
func TestAnEventWakesOnlyThoseThatRefer(t *testing.T) {
	w := newWorld(t, mTLS)
	other := newServerOf(w)
	w.startOperator()
	second := w.deployment("second")
	second.Spec.URL, second.Spec.Token.SecretRef.Name = other.listener.URL(), "token-of-other"
	w.create(w.deployment("prod"), second)
	w.eventually(w.verified("prod"), w.verified("second"), func(ctx context.Context) error {
		// Events are sent a little later than the status is written.
		if got := len(w.events(ctx)); got < 2 {
			return fmt.Errorf("%d events yet", got)
		}
		return nil
	})
	w.coder.ResetLog()
	other.coder.ResetLog()
	before := w.operator.calls.snapshot()
	w.writeSecret("unrelated", map[string]string{"a": "b"})
	w.writeSecret("unrelated", map[string]string{"a": "c"})
	w.throughout(700e6, func(context.Context) error { return nil })
	if calls := w.operator.calls.since(before); len(calls) > 0 || len(w.coder.Requests()) > 0 {
		t.Errorf("an unrelated Secret cost %v and %d requests", calls, len(w.coder.Requests()))
	}
	value, _, err := other.coder.CreateToken(tokenFor("operator"))
	w.must(err)
	w.writeSecret("token-of-other", map[string]string{"token": value})
	w.eventually(func(context.Context) error { return askedAgain(other) })
	if got := w.coder.Requests(); len(got) > 0 {
		t.Errorf("the other deployment was asked too: %+v", got[0])
	}
}

// B31: rules select namespaces by their labels, and a label that changes is
// noticed.
func TestNamespaceLabelsDecide(t *testing.T) {
	w := newWorld(t, mTLS)
	guests := w.cluster.Namespace(t, map[string]string{"team": "a"})
	w.startShard()
	prod := w.deployment("prod", withAccess(v1alpha1.AccessRule{
		Name:              "guests",
		NamespaceSelector: metav1.LabelSelector{MatchLabels: map[string]string{"team": "a"}},
		Users:             []string{"*"}, Auth: []v1alpha1.AuthMethod{v1alpha1.AuthMint},
	}))
	session := w.guest(guests, "ci", v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: "ci-bot"}})
	prod.Labels, session.Labels = w.shard(), w.shard()
	w.create(prod, session)
	g := w.in(guests)
	w.eventually(g.ready("ci"), w.liveTokens(1))
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: guests}}
	w.write(namespace, func() { namespace.Labels["team"] = "b" })
	w.eventually(g.notReady("ci", v1alpha1.ReasonAccessDenied, ""), w.liveTokens(0))
	w.write(namespace, func() { namespace.Labels["team"] = "a" })
	w.eventually(g.ready("ci"), w.liveTokens(1))
}

// With --watch-namespaces labels cannot be read; a rule that needs them says so.
func TestARuleThatNeedsLabelsSaysSo(t *testing.T) {
	w := newWorld(t, mTLS)
	guests := w.cluster.Namespace(t, map[string]string{"team": "a"})
	w.startOperator(guests)
	w.create(w.deployment("prod", withAccess(v1alpha1.AccessRule{
		Name:              "guests",
		NamespaceSelector: metav1.LabelSelector{MatchLabels: map[string]string{"team": "a"}},
		Users:             []string{"*"}, Auth: []v1alpha1.AuthMethod{v1alpha1.AuthMint},
	})), w.guest(guests, "ci", v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: "ci-bot"}}))
	w.eventually(w.in(guests).notReady("ci", v1alpha1.ReasonAccessDenied, `needs the label "team"`))
}

// The role in config/rbac is all that the operator needs.
func TestTheRoleIsEnough(t *testing.T) {
	w := newWorld(t, mTLS)
	root, err := kube.Root()
	w.must(err)
	manifest, err := os.ReadFile(filepath.Join(root, "config", "rbac", "role.yaml"))
	w.must(err)
	role := &rbacv1.ClusterRole{}
	w.must(yaml.UnmarshalStrict(manifest, role))
	role.Name = w.namespace
	user, err := w.cluster.User(w.namespace)
	w.must(err)
	w.create(role, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: w.namespace},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: w.namespace}},
	})
	w.operator = w.runOperator(user.Config, []string{w.namespace}, nil)
	w.create(w.deployment("prod"), w.mint("ci", "ci-bot", func(spec *v1alpha1.CoderSessionSpec) {
		spec.Secret = &v1alpha1.GeneratedSecret{IncludeClientCertificate: true}
	}))
	w.eventually(w.ready("ci"), w.event(corev1.EventTypeNormal, v1alpha1.EventMinted, ""))
	d, err := w.getDeployment(t.Context(), "prod")
	w.must(err)
	w.delete(w.nowSession("ci"))
	w.delete(d)
	w.eventually(w.noSession("ci"), w.noSecret("ci"), w.liveTokens(0), func(ctx context.Context) error {
		_, err := w.getDeployment(ctx, "prod")
		return mustBeGone("the deployment", err)
	})
}
