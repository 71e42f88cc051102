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
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
)

// newGuestSession is a session in another namespace that refers to the test's deployment.
func (w *operatorEnv) newGuestSession(
	namespace, name string, auth v1alpha1.Auth, changes ...func(*v1alpha1.CoderSessionSpec),
) *v1alpha1.CoderSession {
	s := w.NewSession(name, auth, changes...)
	s.Namespace = namespace
	s.Spec.DeploymentRef.Namespace = v1alpha1.ObjectName(w.Namespace)
	return s
}

// inNamespace looks at things in another namespace.
func (w *operatorEnv) inNamespace(namespace string) *operatorEnv {
	other := *w
	other.Env = w.InNamespace(namespace)
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
	w := newEnv(t, withMTLS)
	guests := w.Cluster.Namespace(t, nil)
	strangers := w.Cluster.Namespace(t, nil)
	w.startOperator(guests, strangers)
	limit := v1alpha1.Duration("2h")
	w.Create(w.newDeployment("prod", withAccess(v1alpha1.AccessRule{
		Name:              "guests",
		NamespaceSelector: metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": guests}},
		Users:             []string{"ci-*"}, Auth: []v1alpha1.AuthMethod{v1alpha1.AuthMint},
		Scopes: []v1alpha1.Scope{"workspace:*"}, MaxLifetime: &limit,
	})))
	g := w.inNamespace(guests)
	w.Create(
		w.newGuestSession(guests, "allowed", mint("ci-bot", "1h", "workspace:read")),
		w.newGuestSession(guests, "user", mint("ada", "1h", "workspace:read")),
		w.newGuestSession(guests, "lifetime", mint("ci-bot", "3h", "workspace:read")),
		w.newGuestSession(guests, "scope", mint("ci-bot", "1h", "template:read")),
		w.newGuestSession(guests, "all-scopes", mint("ci-bot", "1h")),
		w.newGuestSession(guests, "method", v1alpha1.Auth{Certificate: &v1alpha1.CertificateAuth{}}),
		w.newGuestSession(guests, "key", mint("ci-bot", "1h", "workspace:read"), withKey),
		w.newGuestSession(strangers, "stranger", mint("ci-bot", "1h", "workspace:read")),
	)
	w.Eventually(
		g.IsReady("allowed"),
		g.IsNotReady("user", v1alpha1.ReasonAccessDenied, `user "ada"`),
		g.IsNotReady("lifetime", v1alpha1.ReasonAccessDenied, "2h"),
		g.IsNotReady("scope", v1alpha1.ReasonAccessDenied, "template:read"),
		g.IsNotReady("all-scopes", v1alpha1.ReasonAccessDenied, "coder:all"),
		g.IsNotReady("method", v1alpha1.ReasonAccessDenied, "Certificate"),
		g.IsNotReady("key", v1alpha1.ReasonAccessDenied, "includeClientCertificate"),
		w.inNamespace(strangers).IsNotReady("stranger", v1alpha1.ReasonAccessDenied, "no access rule"),
		w.hasLiveTokens(1),
	)
}

// B31, B32: withdrawing a rule takes away what it allowed; giving it back brings
// it back.
func TestAWithdrawnRuleTakesItsTokenAway(t *testing.T) {
	w := newEnv(t, withMTLS)
	guests := w.Cluster.Namespace(t, nil)
	w.startOperator(guests)
	rule := v1alpha1.AccessRule{Name: "guests", Users: []string{"*"}, Auth: []v1alpha1.AuthMethod{v1alpha1.AuthMint}}
	w.Create(w.newDeployment("prod", withAccess(rule)))
	w.Create(w.newGuestSession(guests, "ci", v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: "ci-bot"}}))
	g := w.inNamespace(guests)
	w.Eventually(g.IsReady("ci"), w.hasLiveTokens(1))
	w.EditDeployment("prod", func(d *v1alpha1.CoderDeployment) { d.Spec.Access = nil })
	w.Eventually(g.IsNotReady("ci", v1alpha1.ReasonAccessDenied, ""), g.noSecret("ci"), w.hasLiveTokens(0))
	w.EditDeployment("prod", func(d *v1alpha1.CoderDeployment) { d.Spec.Access = []v1alpha1.AccessRule{rule} })
	w.Eventually(g.IsReady("ci"), w.hasLiveTokens(1))
}

// B20: sessions of different deployments never get each other's credentials, and
// a dead deployment delays no other.
func TestDeploymentsShareNothing(t *testing.T) {
	w := newEnv(t, withMTLS)
	other := newServerOf(w)
	w.startOperator()
	dead := w.newDeployment("dead")
	dead.Spec.URL = "https://127.0.0.1:1"
	second := w.newDeployment("second")
	second.Spec.URL, second.Spec.Token.SecretRef.Name = other.listener.URL(), "token-of-other"
	w.Create(dead, second, w.newDeployment("prod"))
	on := func(deployment v1alpha1.ObjectName) func(*v1alpha1.CoderSessionSpec) {
		return func(spec *v1alpha1.CoderSessionSpec) { spec.DeploymentRef.Name = deployment }
	}
	for range 5 {
		w.Create(withNamePrefix(w.NewMintedSession("", "ci-bot", on("dead")), "dead-"))
	}
	w.Create(w.NewMintedSession("a", "ci-bot"), w.NewMintedSession("b", "ci-bot", on("second")))
	w.Eventually(w.IsReady("a"), func(ctx context.Context) error {
		s, err := w.GetSession(ctx, "b")
		if err != nil {
			return err
		}
		return testenv.CheckReady(s, metav1.ConditionTrue, v1alpha1.ReasonActive)
	})
	a, b := string(w.CurrentSecret("a").Data["session"]), string(w.CurrentSecret("b").Data["session"])
	if !w.Coder.AcceptsToken(a) || w.Coder.AcceptsToken(b) || !other.coder.AcceptsToken(b) || other.coder.AcceptsToken(a) {
		t.Error("a token of one server is published for the other")
	}
}

func withNamePrefix(object *v1alpha1.CoderSession, prefix string) client.Object {
	object.Name, object.GenerateName = "", prefix
	return object
}

// B21: an event on a Secret without a reference to it reconciles nothing; one that a
// deployment refers to wakes that one only.
func TestAnEventWakesOnlyThoseThatRefer(t *testing.T) {
	w := newEnv(t, withMTLS)
	other := newServerOf(w)
	w.startOperator()
	second := w.newDeployment("second")
	second.Spec.URL, second.Spec.Token.SecretRef.Name = other.listener.URL(), "token-of-other"
	w.Create(w.newDeployment("prod"), second)
	w.Eventually(w.IsVerified("prod"), w.IsVerified("second"), func(ctx context.Context) error {
		// Events are sent a little later than the status is written.
		if got := len(w.listEvents(ctx)); got < 2 {
			return fmt.Errorf("%d events yet", got)
		}
		return nil
	})
	w.Coder.ResetLog()
	other.coder.ResetLog()
	before := w.calls.allCalls()
	w.WriteSecret("unrelated", map[string]string{"a": "b"})
	w.WriteSecret("unrelated", map[string]string{"a": "c"})
	w.Throughout(700e6, func(context.Context) error { return nil })
	if calls := w.calls.callsSince(before); len(calls) > 0 || len(w.Coder.Requests()) > 0 {
		t.Errorf("an unrelated Secret cost %v and %d requests", calls, len(w.Coder.Requests()))
	}
	value, _, err := other.coder.CreateToken(tokenFor("operator"))
	w.Must(err)
	w.WriteSecret("token-of-other", map[string]string{"token": value})
	w.Eventually(func(context.Context) error { return askedAgain(other) })
	if got := w.Coder.Requests(); len(got) > 0 {
		t.Errorf("the other deployment was asked too: %+v", got[0])
	}
}

// B31: rules select namespaces by their labels, and a label that changes is
// noticed.
func TestNamespaceLabelsDecide(t *testing.T) {
	w := newEnv(t, withMTLS)
	guests := w.Cluster.Namespace(t, map[string]string{"team": "a"})
	w.startShard()
	prod := w.newDeployment("prod", withAccess(v1alpha1.AccessRule{
		Name:              "guests",
		NamespaceSelector: metav1.LabelSelector{MatchLabels: map[string]string{"team": "a"}},
		Users:             []string{"*"}, Auth: []v1alpha1.AuthMethod{v1alpha1.AuthMint},
	}))
	session := w.newGuestSession(guests, "ci", v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: "ci-bot"}})
	prod.Labels, session.Labels = w.shardLabels(), w.shardLabels()
	w.Create(prod, session)
	g := w.inNamespace(guests)
	w.Eventually(g.IsReady("ci"), w.hasLiveTokens(1))
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: guests}}
	w.Write(namespace, func() { namespace.Labels["team"] = "b" })
	w.Eventually(g.IsNotReady("ci", v1alpha1.ReasonAccessDenied, ""), w.hasLiveTokens(0))
	w.Write(namespace, func() { namespace.Labels["team"] = "a" })
	w.Eventually(g.IsReady("ci"), w.hasLiveTokens(1))
}

// With --watch-namespaces labels cannot be read; a rule that needs them says so.
func TestARuleThatNeedsLabelsSaysSo(t *testing.T) {
	w := newEnv(t, withMTLS)
	guests := w.Cluster.Namespace(t, map[string]string{"team": "a"})
	w.startOperator(guests)
	w.Create(w.newDeployment("prod", withAccess(v1alpha1.AccessRule{
		Name:              "guests",
		NamespaceSelector: metav1.LabelSelector{MatchLabels: map[string]string{"team": "a"}},
		Users:             []string{"*"}, Auth: []v1alpha1.AuthMethod{v1alpha1.AuthMint},
	})), w.newGuestSession(guests, "ci", v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: "ci-bot"}}))
	w.Eventually(w.inNamespace(guests).IsNotReady("ci", v1alpha1.ReasonAccessDenied, "an access rule selects by labels"))
}

// The role in config/rbac is all that the operator needs.
func TestTheRoleIsEnough(t *testing.T) {
	w := newEnv(t, withMTLS)
	root, err := kube.Root()
	w.Must(err)
	manifest, err := os.ReadFile(filepath.Join(root, "config", "rbac", "role.yaml"))
	w.Must(err)
	role := &rbacv1.ClusterRole{}
	w.Must(yaml.UnmarshalStrict(manifest, role))
	role.Name = w.Namespace
	user, err := w.Cluster.User(w.Namespace)
	w.Must(err)
	w.Create(role, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: w.Namespace},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: w.Namespace}},
	})
	w.runOperator(user.Config, []string{w.Namespace}, nil)
	w.Create(w.newDeployment("prod"), w.NewMintedSession("ci", "ci-bot", func(spec *v1alpha1.CoderSessionSpec) {
		spec.Secret = &v1alpha1.GeneratedSecret{IncludeClientCertificate: true}
	}))
	w.Eventually(w.IsReady("ci"), w.hasEvent(corev1.EventTypeNormal, v1alpha1.ReasonVerified, ""))
	d, err := w.GetDeployment(t.Context(), "prod")
	w.Must(err)
	w.Delete(w.CurrentSession("ci"))
	w.Delete(d)
	w.Eventually(w.noSession("ci"), w.noSecret("ci"), w.hasLiveTokens(0), func(ctx context.Context) error {
		_, err := w.GetDeployment(ctx, "prod")
		return mustBeGone("the deployment", err)
	})
}
