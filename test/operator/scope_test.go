// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

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
	"github.com/coder-session-operator/coder-session-operator/test/program"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// Two managers, each the program itself with the rights of its scope only, share a
// cluster and a Coder server (B45).
func TestTwoManagersSideBySide(t *testing.T) {
	root, err := kube.Root()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if err := program.Build(t.Context(), root, folder, "manager"); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]func(*site){
		"shards by label keep apart":                 shardsKeepApart,
		"scopes of namespaces keep apart":            namespacesKeepApart,
		"a deployment of another shard is not there": anotherShardsDeployment,
		"a session moves with its deployment":        sessionMoves,
		"one manager is split into two":              managerSplits,
	} {
		t.Run(name, func(t *testing.T) {
			w := newEnv(t, withMTLS)
			test(&site{operatorEnv: w, path: filepath.Join(folder, "manager"), own: w.Cluster.Namespace(t, nil)})
		})
	}
}

// site is an environment in which managers run as processes of their own.
type site struct {
	*operatorEnv
	path string // of the program
	own  string // the managers' own namespace
}

// manager is a running one.
type manager struct {
	cluster string // the id in the names of its tokens; set where it is known
	stop    func() (log string)
}

// startManager runs the manager as a user, until the test ends or it is stopped.
func (s *site) startManager(user string, args ...string) *manager {
	s.T.Helper()
	known, err := s.Cluster.User(user)
	s.Must(err)
	operator := program.OperatorForTest(s.T, program.OperatorOptions{
		Path: s.path, Kubeconfig: known.Kubeconfig, Namespace: s.own, Flags: append([]string{"--orphan-grace=2s"}, args...),
	})
	m := &manager{stop: func() string {
		s.Must(operator.Stop())
		return operator.Output()
	}}
	s.T.Cleanup(func() {
		if log := m.stop(); strings.Contains(log, "forbidden") {
			s.T.Errorf("the log of manager %s:\n%s", user, log)
		}
	})
	return m
}

// rulesOfRole are those of a role in config/rbac.
func (s *site) rulesOfRole(file string) []rbacv1.PolicyRule {
	s.T.Helper()
	root, err := kube.Root()
	s.Must(err)
	manifest, err := os.ReadFile(filepath.Join(root, "config", "rbac", file))
	s.Must(err)
	role := &rbacv1.Role{}
	s.Must(yaml.Unmarshal(manifest, role))
	return role.Rules
}

// grantRules gives a user rules in a namespace; none: in the whole cluster.
func (s *site) grantRules(user, namespace string, rules []rbacv1.PolicyRule) {
	s.T.Helper()
	subjects := []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}}
	named := metav1.ObjectMeta{Name: user, Namespace: namespace}
	if namespace == "" {
		s.Create(&rbacv1.ClusterRole{ObjectMeta: named, Rules: rules}, &rbacv1.ClusterRoleBinding{
			ObjectMeta: named, Subjects: subjects, RoleRef: rbacv1.RoleRef{
				APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: user},
		})
		return
	}
	s.Create(&rbacv1.Role{ObjectMeta: named, Rules: rules}, &rbacv1.RoleBinding{
		ObjectMeta: named, Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: user},
	})
}

// grantOwn gives a user what it needs in the managers' own namespace: the lease, and the
// Secret with the key of its fingerprints.
func (s *site) grantOwn(user string) {
	s.T.Helper()
	s.grantRules(user, s.own, append(s.rulesOfRole("leader_election_role.yaml"),
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"},
			ResourceNames: []string{fingerprint.SecretName}, Verbs: []string{"get"}},
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"create"}}))
}

// startNamespaces starts a manager for namespaces, with Roles in these and nothing else.
func (s *site) startNamespaces(user, cluster string, namespaces ...string) *manager {
	s.T.Helper()
	m := s.startManager(user, "--watch-namespaces="+strings.Join(namespaces, ","), "--cluster-id="+cluster)
	m.cluster = cluster
	return m
}

// grantNamespaces gives a user the manager's role, as far as a Role can give it.
func (s *site) grantNamespaces(user string, namespaces ...string) {
	s.T.Helper()
	s.grantOwn(user)
	var rules []rbacv1.PolicyRule
	for _, rule := range s.rulesOfRole("role.yaml") {
		rule.Resources = slices.DeleteFunc(rule.Resources, func(resource string) bool { return resource == "namespaces" })
		if len(rule.Resources) > 0 {
			rules = append(rules, rule)
		}
	}
	for _, namespace := range namespaces {
		s.grantRules(user, namespace, rules)
	}
}

// inShard puts an object into a shard.
func (s *site) inShard(object client.Object, shard string) client.Object {
	object.SetLabels(map[string]string{"shard": s.Namespace + "-" + shard})
	return object
}

// startOf starts the manager of a shard, with the manager's ClusterRole.
func (s *site) startOf(shard string) *manager {
	s.T.Helper()
	return s.startManager(s.Namespace+"-"+shard, "--watch-label-selector=shard="+s.Namespace+"-"+shard)
}

func (s *site) grantShards(shards ...string) {
	s.T.Helper()
	for _, shard := range shards {
		s.grantOwn(s.Namespace + "-" + shard)
		s.grantRules(s.Namespace+"-"+shard, "", s.rulesOfRole("role.yaml"))
	}
}

// withDeployment refers to a deployment.
func withDeployment(deployment v1alpha1.ObjectName) func(*v1alpha1.CoderSessionSpec) {
	return func(spec *v1alpha1.CoderSessionSpec) { spec.DeploymentRef.Name = deployment }
}

// clusterOf is the cluster id in the name of a session's token.
func (w *operatorEnv) clusterOf(session string) string {
	w.T.Helper()
	var cluster string
	w.Eventually(func(ctx context.Context) error {
		s, err := w.GetSession(ctx, session)
		if err != nil || s.Status.Token == nil || len(strings.Split(s.Status.Token.Name, "-")) != 4 {
			return errors.Join(err, fmt.Errorf("session %s names no token", session))
		}
		cluster = strings.Split(s.Status.Token.Name, "-")[1]
		return nil
	})
	return cluster
}

// createOrphanToken is a token of a cluster id that no session claims.
func (w *operatorEnv) createOrphanToken(cluster string, serial int) string {
	w.T.Helper()
	name := fmt.Sprintf("cso-%s-00000000-%d", cluster, serial)
	_, _, err := w.Coder.CreateToken(coderd.TokenOptions{User: "ci-bot", Name: name})
	w.Must(err)
	return name
}

func (w *operatorEnv) isLive(name string) bool {
	return len(w.Coder.Keys(coderd.KeyFilter{NamePrefix: name, Live: true})) > 0
}

func (w *operatorEnv) isRevoked(name string) wait.Check {
	return func(context.Context) error {
		if w.isLive(name) {
			return fmt.Errorf("token %s is not swept", name)
		}
		return nil
	}
}

// keepApart holds two managers to minding their own tokens: the first one runs, the
// second is started again by the function. Each of them has a deployment and a session.
func (s *site) keepApart(first, second string, startSecond func() *manager, kept ...string) {
	s.T.Helper()
	if first == second {
		s.T.Fatalf("both have the cluster id %s", first)
	}
	others, strangers := s.createOrphanToken(second, 1), s.createOrphanToken("strange0", 1)
	// The second one is swept by a later listing, which saw the others' tokens too.
	s.Eventually(s.isRevoked(s.createOrphanToken(first, 1)))
	s.Eventually(s.isRevoked(s.createOrphanToken(first, 2)))
	if !s.isLive(others) {
		s.T.Errorf("manager %s has revoked %s", first, others)
	}
	startSecond()
	s.Eventually(s.isRevoked(others))
	if !s.isLive(strangers) {
		s.T.Errorf("%s was revoked", strangers)
	}
	for _, id := range kept {
		if !slices.ContainsFunc(s.mintedTokens(), func(key coderd.Key) bool { return key.ID == id }) {
			s.T.Errorf("token %s of a session is gone", id)
		}
	}
}

// hasLeases are those in the managers' own namespace.
func (s *site) hasLeases(want int) wait.Check {
	return func(ctx context.Context) error {
		var list coordinationv1.LeaseList
		err := s.Client.List(ctx, &list, client.InNamespace(s.own))
		if err == nil && len(list.Items) != want {
			err = fmt.Errorf("%d leases, want %d", len(list.Items), want)
		}
		return err
	}
}

// requireUntouched fails the test if a session was written to.
func (w *operatorEnv) requireUntouched(name string) {
	w.T.Helper()
	if s := w.CurrentSession(name); len(s.Finalizers)+len(s.Status.Conditions) > 0 {
		w.T.Errorf("session %s was worked on: %v, %+v", name, s.Finalizers, s.Status.Conditions)
	}
}

func shardsKeepApart(s *site) {
	s.grantShards("a", "b")
	for _, shard := range []string{"a", "b"} {
		deployment := "prod-" + shard
		s.Create(s.inShard(s.newDeployment(deployment, withInterval("1s")), shard))
		s.Create(s.inShard(s.NewMintedSession("ci-"+shard, "ci-bot", withDeployment(v1alpha1.ObjectName(deployment))), shard))
	}
	s.startOf("a")
	s.Eventually(s.IsReady("ci-a"), s.hasLeases(1))
	s.requireUntouched("ci-b")
	b := s.startOf("b")
	s.Eventually(s.IsReady("ci-a"), s.IsReady("ci-b"), s.hasLeases(2), s.hasLiveTokens(2))
	first, second := s.clusterOf("ci-a"), s.clusterOf("ci-b")
	kept := []string{s.CurrentSession("ci-a").Status.Token.ID, s.CurrentSession("ci-b").Status.Token.ID}
	b.stop()
	s.keepApart(first, second, func() *manager { return s.startOf("b") }, kept...)
}

func namespacesKeepApart(s *site) {
	guests := s.inNamespace(s.Cluster.Namespace(s.T, map[string]string{"team": "a"}))
	other := s.inNamespace(s.Cluster.Namespace(s.T, nil))
	other.writeReferences()
	s.grantNamespaces(s.Namespace, s.Namespace, guests.Namespace)
	s.grantNamespaces(other.Namespace, other.Namespace)
	byName := wideRule()
	byName.NamespaceSelector = metav1.LabelSelector{
		MatchLabels: map[string]string{"kubernetes.io/metadata.name": guests.Namespace}}
	byName.Name, byName.Users = "by-name", []string{"ci-*"}
	s.Create(s.newDeployment("prod", withInterval("1s"), withAccess(byName, wideRule())),
		s.NewMintedSession("ci", "ci-bot"))
	s.Create(s.newGuestSession(guests.Namespace, "by-name", v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: "ci-bot"}}))
	s.Create(s.newGuestSession(guests.Namespace, "by-label", v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: "ada"}}))
	s.Create(other.newDeployment("prod", withInterval("1s")), other.NewMintedSession("ci", "ci-bot"))

	s.startNamespaces(s.Namespace, "scope00a", s.Namespace, guests.Namespace)
	s.Eventually(s.IsReady("ci"), guests.IsReady("by-name"),
		guests.IsNotReady("by-label", v1alpha1.ReasonAccessDenied, `tokens for user "ada" are not allowed`))
	other.requireUntouched("ci")
	startOther := func() *manager { return s.startNamespaces(other.Namespace, "scope00b", other.Namespace) }
	second := startOther()
	s.Eventually(other.IsReady("ci"), s.hasLeases(2), s.hasLiveTokens(3))
	kept := []string{s.CurrentSession("ci").Status.Token.ID, guests.CurrentSession("by-name").Status.Token.ID,
		other.CurrentSession("ci").Status.Token.ID}
	second.stop()
	s.keepApart(s.clusterOf("ci"), other.clusterOf("ci"), startOther, kept...)
}

// A session that has another shard's label than its deployment gets nothing and says
// what is missing; with the right label it goes on by itself.
func anotherShardsDeployment(s *site) {
	s.grantShards("a")
	s.Create(s.inShard(s.newDeployment("prod"), "b"), s.inShard(s.NewMintedSession("ci", "ci-bot"), "a"))
	s.startOf("a")
	s.Eventually(s.IsNotReady("ci", v1alpha1.ReasonAwaitingDeployment, `"prod"`), s.hasLiveTokens(0))
	s.EditDeployment("prod", func(d *v1alpha1.CoderDeployment) { s.inShard(d, "a") })
	s.Eventually(s.IsReady("ci"), s.hasLiveTokens(1))
}

// A session that refers to a deployment outside of the watched namespaces says so, and
// can be deleted, also when its deployment was watched once.
func TestADeploymentOutsideOfTheScopeIsNotThere(t *testing.T) {
	w := newEnv(t, withMTLS)
	guests := w.inNamespace(w.Cluster.Namespace(t, nil))
	w.startOperator(guests.Namespace)
	everywhere := wideRule()
	everywhere.NamespaceSelector = metav1.LabelSelector{}
	w.Create(w.newDeployment("prod", withAccess(everywhere)),
		w.newGuestSession(guests.Namespace, "old", v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: "ci-bot"}}))
	w.Eventually(guests.IsReady("old"))
	id := guests.CurrentSession("old").Status.Token.ID
	w.stopOperator()
	w.runOperator(w.Cluster.Config, []string{guests.Namespace}, nil)
	w.Create(w.newGuestSession(guests.Namespace, "new", v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: "ci-bot"}}))
	w.Eventually(guests.IsNotReady("new", v1alpha1.ReasonAwaitingDeployment, "does not watch it"))
	w.Delete(guests.CurrentSession("old"))
	w.Delete(guests.CurrentSession("new"))
	w.Eventually(guests.noSession("old"), guests.noSession("new"),
		guests.hasEvent(corev1.EventTypeWarning, v1alpha1.EventRevocationAbandoned, id))
}
