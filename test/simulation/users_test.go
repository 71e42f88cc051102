// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/reconcile"
	"github.com/coder-session-operator/coder-session-operator/internal/deployment"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// simNotice is the time within which a change on a server is noticed: the verification
// interval, its jitter, and the duration of requests.
const simNotice = deployment.DefaultInterval + reconcile.MaxSteadyJitter + simSlack

// suspendUser checks that the sessions of a suspended user keep their tokens, that nothing is
// minted for them, and that they recover when the user is activated (B47).
func (w *simWorld) suspendUser() {
	c, bot := w.serves(w.deployment("prod")), pick(w, simBots)
	before, due := map[string]string{}, false
	for _, s := range w.mintedFor(c, bot) {
		before[client.ObjectKeyFromObject(s).String()] = s.Status.Token.ID
		due = due || s.Status.NextRefreshTime.Sub(c.server.Now()) < 3*simNotice
	}
	w.tracef("* user %s is suspended", bot)
	w.suspend(c, bot)
	w.run(simNotice)
	for _, s := range w.mintedFor(c, bot) {
		if suspension := s.Status.Suspension; suspension == nil || suspension.Reason != v1alpha1.ReasonUserSuspended {
			w.fail("B47: session %s/%s does not notice that its user is suspended: %s",
				s.Namespace, s.Name, encoded(s.Status.Conditions))
		}
	}
	w.tracef("* user %s is activated", bot)
	w.activate(c, bot)
	w.run(simNotice)
	for _, s := range w.mintedFor(c, bot) {
		name := client.ObjectKeyFromObject(s).String()
		if reason := reasonOfSession(s); reason != v1alpha1.ReasonActive {
			w.fail("B47: session %s does not return with its user: %s", name, encoded(s.Status.Conditions))
		} else if !due && s.Status.Token.ID != before[name] {
			w.fail("B47: session %s has another token after its user was suspended", name)
		}
	}
}

// mintedFor lists the sessions that mint for a user on a server.
func (w *simWorld) mintedFor(c *simCoder, user string) (found []*v1alpha1.CoderSession) {
	for _, s := range w.sessions() {
		server := w.serves(w.deployment(string(s.Spec.DeploymentRef.Name)))
		minted := s.Spec.Auth.Mint != nil && s.Spec.PerPod == nil // that of pods has no token itself
		if minted && s.Spec.Auth.Mint.User == user && server == c {
			found = append(found, s)
		}
	}
	return found
}

func (w *simWorld) suspend(c *simCoder, user string) {
	w.must(nil, c.server.Suspend(user))
	c.suspended[user] = w.clock.Now()
}

func (w *simWorld) activate(c *simCoder, user string) {
	w.must(nil, c.server.Activate(user))
	delete(c.suspended, user)
}

// judgeMint checks that nothing is minted for a user who has been suspended for longer than it
// takes to look up the user and mint (B47).
func (w *simWorld) judgeMint(c *simCoder, name string) {
	user, err := c.server.User(name)
	w.must(user, err)
	since, suspended := c.suspended[user.Username]
	duration := w.clock.Now().Sub(since)
	if suspended && user.Status == coderd.StatusSuspended && duration > 2*time.Minute {
		w.fail("B47: a token is minted for user %s, who has been suspended for %s", user.Username, duration)
	}
}
