// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"context"
	"errors"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// hasMoved holds once the manager of a shard shows a session as it is, with the token from before.
func (s *site) hasMoved(name, token string) wait.Check {
	return func(ctx context.Context) error {
		c, err := s.GetSession(ctx, name)
		if err == nil && (c.Status.Token == nil || c.Status.Token.ID != token) {
			err = fmt.Errorf("session %s has token %+v, want %s", name, c.Status.Token, token)
		}
		return errors.Join(err, s.IsReady(name)(ctx))
	}
}

// countRevocations is how many tokens the Coder server was asked to delete.
func (s *site) countRevocations() int {
	return s.Coder.Count("DELETE", "/api/v2/users/{user}/keys/{keyid}")
}

// requireKept checks that a session still publishes this token, and that nothing was minted or revoked since
// the log of the server was emptied, but for the orphans that the test has made.
func (s *site) requireKept(name, value string, orphans int) {
	s.T.Helper()
	if got := string(s.CurrentSecret(name).Data["session"]); got != value {
		s.T.Errorf("the Secret of session %s publishes another token", name)
	}
	if !s.Coder.AcceptsToken(value) {
		s.T.Errorf("the token of session %s is dead", name)
	}
	if mints, revocations := s.CountMints(), s.countRevocations(); mints > 0 || revocations > orphans {
		s.T.Errorf("%d tokens were minted, and %d revoked", mints, revocations)
	}
}

// B171. A session whose label changes from one shard to another keeps its token: the manager that minted it
// has another deployment on that server, and does not take it for an orphan; the one that it comes to takes
// it over, replaces it when that is due, and revokes it then.
func sessionMoves(s *site) {
	s.grantShards("a", "b")
	s.Create(s.inShard(s.newDeployment("prod", withInterval("1s")), "a"),
		s.inShard(s.newDeployment("stays", withInterval("1s")), "a"),
		s.inShard(s.NewMintedSession("ci", "ci-bot", withOverlap("1s")), "a"))
	a := s.startOf("a")
	s.startOf("b")
	s.Eventually(s.IsReady("ci"), s.hasLiveTokens(1))
	before, id := s.clusterOf("ci"), s.CurrentSession("ci").Status.Token.ID
	value := string(s.CurrentSecret("ci").Data["session"])
	s.Coder.ResetLog()

	s.EditSession("ci", func(c *v1alpha1.CoderSession) { s.inShard(c, "b") })
	s.EditDeployment("prod", func(d *v1alpha1.CoderDeployment) { s.inShard(d, "b") })
	s.Eventually(s.hasMoved("ci", id), s.isVerifiedAgain("prod"))
	// The former manager revokes orphans of this age in each of its lists.
	s.Eventually(s.isRevoked(s.createOrphanToken(before, 1)))
	s.Eventually(s.isRevoked(s.createOrphanToken(before, 2)))
	s.requireKept("ci", value, 2)

	// What a crash of the former manager has left is one.
	left := fmt.Sprintf("cso-%s-%s-77", before, s.CurrentSession("ci").UID[:8])
	_, _, err := s.Coder.CreateToken(coderd.TokenOptions{User: "ci-bot", Name: left})
	s.Must(err)
	s.Eventually(s.isRevoked(left))
	s.requireKept("ci", value, 3)
	a.stop()

	// The new manager notices the end of the token, as of its own ones (B44).
	s.EditSession("ci", func(c *v1alpha1.CoderSession) {
		c.Annotations = map[string]string{v1alpha1.AnnotationRenewRequestedAt: "now"}
	})
	s.Eventually(s.IsReady("ci"), s.hasLiveTokens(1), func(ctx context.Context) error {
		c, err := s.GetSession(ctx, "ci")
		if err == nil && (c.Status.Token == nil || strings.Contains(c.Status.Token.Name, before)) {
			err = errors.New("its token is the other manager's still")
		}
		return err
	})
}

// isVerifiedAgain holds once a deployment was verified in a later second than now.
func (s *site) isVerifiedAgain(name string) wait.Check {
	now := metav1.Now()
	return func(ctx context.Context) error {
		d, err := s.GetDeployment(ctx, name)
		if err == nil && (d.Status.LastVerifiedTime == nil || !now.Before(d.Status.LastVerifiedTime)) {
			err = fmt.Errorf("deployment %s was verified at %v", name, d.Status.LastVerifiedTime)
		}
		return err
	}
}

// B171. One manager for everything gives way to one for each shard, and then to a restart of these: all
// sessions keep their tokens.
func managerSplits(s *site) {
	s.grantShards("all", "a", "b")
	values := map[string]string{}
	for _, shard := range []string{"a", "b"} {
		s.Create(s.inShard(s.newDeployment("prod-"+shard, withInterval("1s")), shard),
			s.inShard(s.NewMintedSession("ci-"+shard, "ci-bot", withDeployment(v1alpha1.ObjectName("prod-"+shard))), shard))
	}
	all := s.startManager(s.Namespace+"-all", "--watch-label-selector=shard in ("+s.Namespace+"-a,"+s.Namespace+"-b)")
	s.Eventually(s.IsReady("ci-a"), s.IsReady("ci-b"), s.hasLiveTokens(2))
	for _, shard := range []string{"a", "b"} {
		values[shard] = string(s.CurrentSecret("ci-" + shard).Data["session"])
	}
	all.stop()
	s.Coder.ResetLog()
	for range 2 {
		a, b := s.startOf("a"), s.startOf("b")
		s.Eventually(s.isVerifiedAgain("prod-a"), s.isVerifiedAgain("prod-b"), s.IsReady("ci-a"), s.IsReady("ci-b"))
		s.Eventually(s.isVerifiedAgain("prod-a"), s.isVerifiedAgain("prod-b"))
		a.stop()
		b.stop()
	}
	for shard, value := range values {
		s.requireKept("ci-"+shard, value, 0)
	}
	if asked := s.Coder.Count("GET", "/api/v2/users/{user}/keys/tokens/tokenconfig"); asked > 0 {
		s.T.Errorf("the server was asked %d times for single users: the list of tokens is enough", asked)
	}
	// A token that is taken over and revoked on the server is replaced (B44).
	s.startOf("a")
	id, _, _ := strings.Cut(values["a"], "-")
	s.Must(s.Coder.RevokeKey(id))
	s.Eventually(s.IsReady("ci-a"), s.hasLiveTokens(2))
}
