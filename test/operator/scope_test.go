// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/fingerprint"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/kube"
)

// Two managers, each the program itself with the rights of its scope only, share a
// cluster and a Coder server (B45).
func TestTwoManagersSideBySide(t *testing.T) {
	root, err := kube.Root()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "manager")
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", program, "./cmd/manager")
	build.Dir = root
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the manager: %v\n%s", err, output)
	}
	for name, test := range map[string]func(*site){
		"shards by label keep apart":                 shardsKeepApart,
		"scopes of namespaces keep apart":            namespacesKeepApart,
		"a deployment of another shard is not there": anotherShardsDeployment,
		"a session moves with its deployment":        sessionMoves,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, mTLS)
			test(&site{world: w, program: program, own: w.cluster.Namespace(t, nil)})
		})
	}
}

// site is a world in which managers run as processes of their own.
type site struct {
	*world
	program string
	own     string // the managers' own namespace
}

// manager is a running one.
type manager struct {
	cluster string // the id in the names of its tokens; set by whoever knows it
	stop    func() (log string)
}

// start runs the manager as a user, until the test ends or it is stopped.
func (s *site) start(user string, args ...string) *manager {
	s.t.Helper()
	known, err := s.cluster.User(user)
	s.must(err)
	ctx, cancel := background()
	var output bytes.Buffer
	cmd := exec.CommandContext(ctx, s.program, append([]string{
		"--kubeconfig=" + known.Kubeconfig, "--leader-election-namespace=" + s.own, "--orphan-grace=2s",
		"--metrics-bind-address=0", "--health-probe-bind-address=0",
	}, args...)...)
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	s.must(cmd.Start())
	m := &manager{stop: func() string {
		cancel()
		_ = cmd.Wait() // its exit code says nothing that its log does not
		return output.String()
	}}
	s.t.Cleanup(func() {
		if log := m.stop(); strings.Contains(log, "forbidden") || s.t.Failed() {
			s.t.Errorf("the log of manager %s:\n%s", user, log)
		}
	})
	return m
}

// rules are those of a role in config/rbac.
func (s *site) rules(file string) []rbacv1.PolicyRule {
	s.t.Helper()
	root, err := kube.Root()
	s.must(err)
	manifest, err := os.ReadFile(filepath.Join(root, "config", "rbac", file))
	s.must(err)
	role := &rbacv1.Role{}
	s.must(yaml.Unmarshal(manifest, role))
	return role.Rules
}

// grant gives a user rules in a namespace; none: in the whole cluster.
func (s *site) grant(user, namespace string, rules []rbacv1.PolicyRule) {
	s.t.Helper()
	subjects := []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}}
	named := metav1.ObjectMeta{Name: user, Namespace: namespace}
	if namespace == "" {
		s.create(&rbacv1.ClusterRole{ObjectMeta: named, Rules: rules}, &rbacv1.ClusterRoleBinding{
			ObjectMeta: named, Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: user},
		})
		return
	}
	s.create(&rbacv1.Role{ObjectMeta: named, Rules: rules}, &rbacv1.RoleBinding{
		ObjectMeta: named, Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: user},
	})
}

// grantOwn gives a user what it needs in the managers' own namespace: the lease, and the
// Secret with the key of its fingerprints.
func (s *site) grantOwn(user string) {
	s.t.Helper()
	s.grant(user, s.own, append(s.rules("leader_election_role.yaml"),
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{fingerprint.SecretName}, Verbs: []string{"get"}},
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"create"}}))
}

// startNamespaces starts a manager for namespaces, with Roles in these and nothing else.
func (s *site) startNamespaces(user, cluster string, namespaces ...string) *manager {
	s.t.Helper()
	m := s.start(user, "--watch-namespaces="+strings.Join(namespaces, ","), "--cluster-id="+cluster)
	m.cluster = cluster
	return m
}

// grantNamespaces gives a user the manager's role, as far as a Role can give it.
func (s *site) grantNamespaces(user string, namespaces ...string) {
	s.t.Helper()
	s.grantOwn(user)
	var rules []rbacv1.PolicyRule
	for _, rule := range s.rules("role.yaml") {
		rule.Resources = slices.DeleteFunc(rule.Resources, func(resource string) bool { return resource == "namespaces" })
		if len(rule.Resources) > 0 {
			rules = append(rules, rule)
		}
	}
	for _, namespace := range namespaces {
		s.grant(user, namespace, rules)
	}
}

// labelled puts an object into a shard.
func (s *site) labelled(object client.Object, shard string) client.Object {
	object.SetLabels(map[string]string{"shard": s.namespace + "-" + shard})
	return object
}

// startOf starts the manager of a shard, with the manager's ClusterRole.
func (s *site) startOf(shard string) *manager {
	s.t.Helper()
	return s.start(s.namespace+"-"+shard, "--watch-label-selector=shard="+s.namespace+"-"+shard)
}

func (s *site) grantShards(shards ...string) {
	s.t.Helper()
	for _, shard := range shards {
		s.grantOwn(s.namespace + "-" + shard)
		s.grant(s.namespace+"-"+shard, "", s.rules("role.yaml"))
	}
}

// on refers to a deployment.
func on(deployment v1alpha1.ObjectName) func(*v1alpha1.CoderSessionSpec) {
	return func(spec *v1alpha1.CoderSessionSpec) { spec.DeploymentRef.Name = deployment }
}

// clusterOf is the cluster id in the name of a session's token.
func (w *world) clusterOf(session string) string {
	w.t.Helper()
	var cluster string
	w.eventually(func(ctx context.Context) error {
		s, err := w.getSession(ctx, session)
		if err != nil || s.Status.Token == nil || len(strings.Split(s.Status.Token.Name, "-")) != 4 {
			return errors.Join(err, fmt.Errorf("session %s names no token", session))
		}
		cluster = strings.Split(s.Status.Token.Name, "-")[1]
		return nil
	})
	return cluster
}

// leftover is a token of a cluster id that no session claims.
func (w *world) leftover(cluster string, serial int) string {
	w.t.Helper()
	name := fmt.Sprintf("cso-%s-00000000-%d", cluster, serial)
	_, _, err := w.coder.CreateToken(coderd.TokenOptions{User: "ci-bot", Name: name})
	w.must(err)
	return name
}

func (w *world) live(name string) bool {
	return len(w.coder.Keys(coderd.KeyFilter{NamePrefix: name, Live: true})) > 0
}

func (w *world) swept(name string) check {
	return func(context.Context) error {
		if w.live(name) {
			return fmt.Errorf("token %s is not swept", name)
		}
		return nil
	}
}

// keepApart holds two managers to minding their own tokens: the first one runs, the
// second is started anew by the function. Each of them has a deployment and a session.
func (s *site) keepApart(first, second string, startSecond func() *manager, kept ...string) {
	s.t.Helper()
	if first == second {
		s.t.Fatalf("both have the cluster id %s", first)
	}
	others, nobodys := s.leftover(second, 1), s.leftover("nobody00", 1)
	// The second one is swept by a later listing, which saw the others' tokens too.
	s.eventually(s.swept(s.leftover(first, 1)))
	s.eventually(s.swept(s.leftover(first, 2)))
	if !s.live(others) {
		s.t.Errorf("manager %s has revoked %s", first, others)
	}
	startSecond()
	s.eventually(s.swept(others))
	if !s.live(nobodys) {
		s.t.Errorf("%s was revoked", nobodys)
	}
	for _, id := range kept {
		if !slices.ContainsFunc(s.minted(), func(key coderd.Key) bool { return key.ID == id }) {
			s.t.Errorf("token %s of a session is gone", id)
		}
	}
}

// leases are those in the managers' own namespace.
func (s *site) leases(want int) check {
	return func(ctx context.Context) error {
		var list coordinationv1.LeaseList
		err := s.client.List(ctx, &list, client.InNamespace(s.own))
		if err == nil && len(list.Items) != want {
			err = fmt.Errorf("%d leases, want %d", len(list.Items), want)
		}
		return err
	}
}

// untouched: nobody has written to a session.
func (w *world) untouched(name string) {
	w.t.Helper()
	if s := w.nowSession(name); len(s.Finalizers)+len(s.Status.Conditions) > 0 {
		w.t.Errorf("session %s was worked on: %v, %+v", name, s.Finalizers, s.Status.Conditions)
	}
}

func shardsKeepApart(s *site) {
	s.grantShards("a", "b")
	for _, shard := range []string{"a", "b"} {
		deployment := "prod-" + shard
		s.create(s.labelled(s.deployment(deployment, every("1s")), shard))
		s.create(s.labelled(s.mint("ci-"+shard, "ci-bot", on(v1alpha1.ObjectName(deployment))), shard))
	}
	s.startOf("a")
	s.eventually(s.ready("ci-a"), s.leases(1))
	s.untouched("ci-b")
	b := s.startOf("b")
	s.eventually(s.ready("ci-a"), s.ready("ci-b"), s.leases(2), s.liveTokens(2))
	first, second := s.clusterOf("ci-a"), s.clusterOf("ci-b")
	kept := []string{s.nowSession("ci-a").Status.Token.ID, s.nowSession("ci-b").Status.Token.ID}
	b.stop()
	s.keepApart(first, second, func() *manager { return s.startOf("b") }, kept...)
}

func namespacesKeepApart(s *site) {
	guests := s.in(s.cluster.Namespace(s.t, map[string]string{"team": "a"}))
	other := s.in(s.cluster.Namespace(s.t, nil))
	other.furnish()
	s.grantNamespaces(s.namespace, s.namespace, guests.namespace)
	s.grantNamespaces(other.namespace, other.namespace)
	byName := wideRule()
	byName.NamespaceSelector = metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": guests.namespace}}
	byName.Name, byName.Users = "by-name", []string{"ci-*"}
	s.create(s.deployment("prod", every("1s"), withAccess(byName, wideRule())), s.mint("ci", "ci-bot"))
	s.create(s.guest(guests.namespace, "by-name", v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: "ci-bot"}}))
	s.create(s.guest(guests.namespace, "by-label", v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: "ada"}}))
	s.create(other.deployment("prod", every("1s")), other.mint("ci", "ci-bot"))

	s.startNamespaces(s.namespace, "scope00a", s.namespace, guests.namespace)
	s.eventually(s.ready("ci"), guests.ready("by-name"), guests.notReady("by-label", v1alpha1.ReasonAccessDenied, `needs the label "team"`))
	other.untouched("ci")
	startOther := func() *manager { return s.startNamespaces(other.namespace, "scope00b", other.namespace) }
	second := startOther()
	s.eventually(other.ready("ci"), s.leases(2), s.liveTokens(3))
	kept := []string{s.nowSession("ci").Status.Token.ID, guests.nowSession("by-name").Status.Token.ID, other.nowSession("ci").Status.Token.ID}
	second.stop()
	s.keepApart(s.clusterOf("ci"), other.clusterOf("ci"), startOther, kept...)
}

// furnish writes what a deployment refers to into another namespace of the world.
func (w *world) furnish() {
	w.t.Helper()
	w.writeSecret("token", map[string]string{"token": w.userToken("operator")})
	w.writeSecret("edge-headers", map[string]string{"id": w.sentinel("header-value")})
	w.writeClientCertificate("mtls", "operator")
	w.writeConfigMap("ca", map[string]string{"ca.crt": string(w.servers.PEM())})
}

// A session that has another shard's label than its deployment gets nothing and says
// what is missing; with the right label it goes on by itself.
func anotherShardsDeployment(s *site) {
	s.grantShards("a")
	s.create(s.labelled(s.deployment("prod"), "b"), s.labelled(s.mint("ci", "ci-bot"), "a"))
	s.startOf("a")
	s.eventually(s.notReady("ci", v1alpha1.ReasonAwaitingDeployment, `"prod"`), s.liveTokens(0))
	s.changeDeployment("prod", func(d *v1alpha1.CoderDeployment) { s.labelled(d, "a") })
	s.eventually(s.ready("ci"), s.liveTokens(1))
}

// A session whose label changes from one shard to another, together with its
// deployment, is taken over: the other manager publishes a token of its own and
// revokes the one before. Nobody else would: the manager that minted it has no
// deployment on that server any more.
func sessionMoves(s *site) {
	s.grantShards("a", "b")
	s.create(s.labelled(s.deployment("prod"), "a"), s.labelled(s.mint("ci", "ci-bot", overlap("1s")), "a"))
	s.startOf("a")
	s.startOf("b")
	s.eventually(s.ready("ci"), s.liveTokens(1))
	before := s.clusterOf("ci")
	s.changeDeployment("prod", func(d *v1alpha1.CoderDeployment) { s.labelled(d, "b") })
	s.changeSession("ci", func(c *v1alpha1.CoderSession) { s.labelled(c, "b") })
	s.eventually(s.ready("ci"), s.liveTokens(1), func(ctx context.Context) error {
		c, err := s.getSession(ctx, "ci")
		if err == nil && (c.Status.Token == nil || strings.Contains(c.Status.Token.Name, before)) {
			err = errors.New("its token is the other manager's still")
		}
		return err
	})
}

// A session that refers to a deployment outside of the watched namespaces says so, and
// can be deleted, also when its deployment was watched once.
func TestADeploymentOutsideOfTheScopeIsNotThere(t *testing.T) {
	w := newWorld(t, mTLS)
	guests := w.in(w.cluster.Namespace(t, nil))
	w.startOperator(guests.namespace)
	everywhere := wideRule()
	everywhere.NamespaceSelector = metav1.LabelSelector{}
	w.create(w.deployment("prod", withAccess(everywhere)), w.guest(guests.namespace, "old", v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: "ci-bot"}}))
	w.eventually(guests.ready("old"))
	id := guests.nowSession("old").Status.Token.ID
	w.operator.stop()
	w.operator = w.runOperator(w.cluster.Config, []string{guests.namespace}, nil)
	w.create(w.guest(guests.namespace, "new", v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: "ci-bot"}}))
	w.eventually(guests.notReady("new", v1alpha1.ReasonAwaitingDeployment, "does not watch it"))
	w.delete(guests.nowSession("old"))
	w.delete(guests.nowSession("new"))
	w.eventually(guests.noSession("old"), guests.noSession("new"), guests.event(corev1.EventTypeWarning, v1alpha1.EventRevocationAbandoned, id))
}
