// SPDX-License-Identifier: Apache-2.0

package session

import (
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/failure"
)

// sessionModel is a model in memory of everything that a session's plans act on: the server with its
// tokens, the list that was read from it, the generated Secret and the status. It carries out plans
// as the controller does, until no action is left, and checks at each step what must never happen.
type sessionModel struct {
	t   *testing.T
	now time.Time
	o   Observation // session, deployment and what a pass leaves to the next one

	// The server.
	tokens    map[string]*serverToken
	suspended map[string]bool
	accepts   map[string]bool // supplied tokens, by fingerprint
	maximum   time.Duration
	down      bool
	minted    int

	// The list, as last read.
	listed         map[string]Listed
	listLoaded     bool
	listSuspended  map[string]bool
	listedAt       time.Time
	wake           time.Time
	failures       int
	gone           bool
	abandoned      []string
	crashAfter     string
	secret         *modelSecret
	foreign        bool
	statusWrites   int
	mayBreak       bool // the test breaks the credential, so it need not be valid
	conditionTurns map[string]int
}

type serverToken struct {
	name    string
	serial  int64
	user    string
	created time.Time
	expires time.Time
}

// modelSecret is the generated Secret: its metadata, and what would be compared.
type modelSecret struct {
	token   *Published
	edited  bool
	valueOK bool
}

func newSessionModel(t *testing.T, options ...option) *sessionModel {
	w := &sessionModel{
		t: t, now: noon, o: newSession("ci", options...), maximum: 168 * time.Hour,
		tokens: map[string]*serverToken{}, suspended: map[string]bool{}, accepts: map[string]bool{},
		listed: map[string]Listed{}, listSuspended: map[string]bool{}, conditionTurns: map[string]int{},
	}
	w.o.Session.Finalizers, w.listedAt = nil, noon
	return w
}

// passResult is what one pass finds out.
type passResult struct {
	target   TargetUser
	failures failure.Set
	revoked  []string
	searched bool
}

func (w *sessionModel) observe(s passResult) Observation {
	o := w.o
	o.Now = w.now
	o.Session = w.o.Session.DeepCopy()
	o.TargetUser, o.Failures, o.RevokedTokens, o.LostTokenSearched = s.target, s.failures, s.revoked, s.searched
	o.SpecDigest = SpecDigest(o.Session.Spec.Auth.Mint, "")
	o.Secret = Secret{Foreign: w.foreign}
	if w.secret != nil {
		o.Secret = Secret{
			Exists: true, Token: w.secret.token, InSync: !w.secret.edited && w.secret.valueOK,
			ValueGone: !w.secret.valueOK, ResourceVersion: "1",
		}
	}
	user := o.Session.Status.User
	if user == nil && s.target.Known {
		user = &s.target.User
	}
	o.ServerTokens = ServerTokens{}
	if user != nil {
		o.ServerTokens.Loaded = w.listLoaded && o.Deployment.Result.OK()
		o.ServerTokens.UserSuspended = w.listSuspended[user.ID]
	}
	for _, t := range w.listed {
		if w.secret != nil && w.secret.token != nil && w.secret.token.ID == t.ID {
			o.ServerTokens.Token = &t
			continue
		}
		o.ServerTokens.Others = append(o.ServerTokens.Others, t)
	}
	slices.SortFunc(o.ServerTokens.Others, func(a, b Listed) int { return int(a.Serial - b.Serial) })
	return o
}

// crashed is thrown where the operator's process ends.
type crashed struct{}

// runPass is one pass over the session.
func (w *sessionModel) runPass() (p Plan) {
	w.t.Helper()
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(crashed); !ok {
				panic(r)
			}
			w.crashAfter = ""
			w.listLoaded, w.listed, w.listSuspended = false, map[string]Listed{}, map[string]bool{}
			w.o.CredentialCheck = CredentialCheck{}
			w.wake = w.now
		}
	}()
	var s passResult
	for range 12 {
		o := w.observe(s)
		p = Decide(o)
		if p.Action == Nothing {
			w.reportPlan(o, p)
			return p
		}
		w.carryOut(&s, o, p)
		w.requireWorkingSecret()
		if w.gone {
			return p
		}
	}
	w.t.Fatalf("after 12 steps the plan still is %s", p.Action)
	return p
}

func (w *sessionModel) reportPlan(o Observation, p Plan) {
	next := *w.o.Session.Status.DeepCopy()
	p.Apply(&next, w.o.Session.Generation, w.now)
	next = storeStatus(next)
	if diffStatus(w.o.Session.Status, next) != "" {
		w.statusWrites++
	}
	w.o.Session.Status = next
	w.wake = p.RequeueAt
	switch {
	case p.Backoff || len(o.Failures) > 0:
		w.failures++
		delay := min(time.Second<<min(w.failures-1, 9), 5*time.Minute)
		if retry := w.now.Add(delay); w.wake.IsZero() || retry.Before(w.wake) {
			w.wake = retry
		}
	case !p.SkipStatusUpdate:
		w.failures = 0
	}
	if !w.wake.IsZero() && !w.wake.After(w.now) {
		w.t.Fatalf("the plan wakes at once, without end: %+v", outcomeOf(o, p))
	}
}

// requireWorkingSecret checks that what is published works for readers of the Secret (B42).
func (w *sessionModel) requireWorkingSecret() {
	if w.mayBreak || w.secret == nil || !w.secret.token.Minted() {
		return
	}
	token := w.tokens[w.secret.token.ID]
	if token == nil || !w.now.Before(token.expires) {
		w.t.Fatalf(
			"B42: at %s the Secret holds token %s, which the server does not accept", w.now.Sub(noon),
			w.secret.token.ID,
		)
	}
}

// advanceTime moves the time, with a list in each interval and a pass whenever one is due. It returns
// the number of passes.
func (w *sessionModel) advanceTime(d time.Duration) (passes int) {
	w.t.Helper()
	for end := w.now.Add(d); !w.gone; passes++ {
		due := end
		if !w.wake.IsZero() && w.wake.Before(due) {
			due = w.wake
		}
		if next := w.listedAt.Add(interval); next.Before(due) {
			w.now = next
			before := w.o.Deployment.Result
			w.listTokens()
			w.requireWorkingSecret()
			// News of the server and of the deployment wake the session.
			if w.hasNews() || before != w.o.Deployment.Result {
				w.runPass()
			}
			continue
		}
		w.now = due
		w.requireWorkingSecret()
		if !due.Before(end) {
			return passes
		}
		w.runPass()
	}
	return passes
}

// hasNews reports whether the list has something that a session is woken for.
func (w *sessionModel) hasNews() bool {
	named := w.o.Session.Status.Token
	_, there := w.listed[func() string {
		if named == nil {
			return ""
		}
		return named.ID
	}()]
	status := w.o.Session.Status
	suspended := status.User != nil && w.listSuspended[status.User.ID]
	revoked := named != nil && named.Serial > 0 && !there
	return revoked || suspended != (status.Suspension != nil) || len(w.listed) > 1
}

// passUntilQuiet passes until the next pass is at least a minute away.
func (w *sessionModel) passUntilQuiet() {
	w.t.Helper()
	for range 20 {
		w.runPass()
		if w.gone || w.wake.IsZero() || w.wake.Sub(w.now) >= time.Minute {
			return
		}
		w.now = w.wake
	}
	w.t.Fatal("the session does not come to rest")
}

func (w *sessionModel) requireReady(want string) {
	w.t.Helper()
	for _, c := range w.o.Session.Status.Conditions {
		if c.Type == v1alpha1.ConditionReady {
			if got := string(c.Status) + " " + c.Reason; got != want {
				w.t.Fatalf("Ready is %s, want %s", got, want)
			}
			return
		}
	}
	w.t.Fatalf("Ready is missing, want %s", want)
}

// requireAcceptedTokens checks which tokens the server accepts.
func (w *sessionModel) requireAcceptedTokens(want ...string) {
	w.t.Helper()
	var got []string
	for id := range w.tokens {
		got = append(got, id)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		w.t.Fatalf("live on the server: %v, want %v", got, want)
	}
}

func (w *sessionModel) requirePublished(want string) {
	w.t.Helper()
	got := ""
	if w.secret != nil && w.secret.token != nil {
		got = w.secret.token.ID
	}
	if got != want {
		w.t.Fatalf("the Secret holds %q, want %q", got, want)
	}
}

func (w *sessionModel) deleteSession() {
	at := metav1.NewTime(w.now)
	w.o.Session.DeletionTimestamp = &at
}
