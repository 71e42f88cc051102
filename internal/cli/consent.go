// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/grant"
)

// mostOpened is how often a run opens the browser: a server that refuses every request by itself, without a person, must not
// fill it with tabs.
const mostOpened = 3

// consent is one run of login.
//
//	follow ──► ready? ──────────────────────────────────► 0
//	   ▲         │ no
//	   │         ▼
//	   │      unmendable, gone? ────────────────────────► 2, 4
//	   │         │ no
//	   │         ▼
//	   └──── a URL that was not shown: print it, open it
//
// Its methods are for one goroutine.
type consent struct {
	*connector
	cluster *cluster
	name    string
	options loginOptions
	// forward starts the port-forward, and returns the local port.
	forward func(context.Context) (int, error)

	// last is how the session was when it was seen last. Nil: it was not.
	last *v1alpha1.CoderSession
	told string // what was said of it
	// shown is the URL that was printed last, and when it ends. Nil: none was.
	shown  *v1alpha1.Authorization
	late   string // the URL that was there and had expired when it was seen
	opened int
	port   int // that is forwarded; zero: none
	noted  bool
}

func newConsent(c *connector, cluster *cluster, name string, options loginOptions) *consent {
	l := &consent{connector: c, cluster: cluster, name: name, options: options}
	l.forward = func(ctx context.Context) (int, error) {
		return startForward(ctx, &forwardOptions{
			config: cluster.config, namespace: options.operatorNamespace, remotePort: options.callbackPort, clock: c.env.Clock, say: c.out.printf,
		})
	}
	return l
}

// run returns nil once the session is ready. Other ends are errors with an exit code.
func (l *consent) run(ctx context.Context) error {
	ctx, cancel := l.limit(ctx, l.options.timeout)
	defer cancel()
	f := follow(l.connector, l.cluster, sessionKind, l.name, l.see)
	err := f.run(ctx)
	if errors.Is(err, errTimedOut) {
		return l.timedOut(f.away)
	}
	return err
}

// see is shown every state of the session.
func (l *consent) see(ctx context.Context, s *v1alpha1.CoderSession) (bool, error) {
	first := l.last == nil
	switch {
	case s == nil && first:
		return false, exit(ExitUnreachable, "session %q does not exist in namespace %q: name its namespace with -n; kubectl get codersessions -A shows all",
			l.name, l.cluster.namespace)
	case s == nil || !s.DeletionTimestamp.IsZero():
		return false, exit(ExitUnreachable, "session %s/%s is being deleted, or was", l.cluster.namespace, l.name)
	}
	l.last = s
	if s.Spec.Auth.Method() != v1alpha1.AuthOAuth {
		return false, exit(ExitUnmendable, "session %s has no auth.oauth: %s", fullName(s), noConsent(s))
	}
	ready := readiness(s)
	switch {
	case ready != nil && ready.Status == metav1.ConditionTrue:
		l.done(s, first)
		return true, nil
	case ready != nil && unmendable[ready.Reason]:
		return false, exit(ExitUnmendable, "session %s %s", fullName(s), standing(s))
	}
	if is := standing(s); is != l.told {
		l.told = is
		l.out.printf("Session %s %s", fullName(s), is)
	}
	return false, l.offer(ctx, s)
}

func (l *consent) done(s *v1alpha1.CoderSession, first bool) {
	if first {
		l.out.printf("Session %s is ready already; nobody has to log in.", fullName(s))
	} else {
		l.out.printf("Session %s is ready.", fullName(s))
	}
	for _, line := range sessionSummary(s, l.env.Clock.Now()) {
		l.out.printf("%s", line)
	}
}

// offer shows the URL that the session has now, if it is another one than before.
func (l *consent) offer(ctx context.Context, s *v1alpha1.CoderSession) error {
	next := s.Status.Authorization
	if next == nil || readiness(s) == nil || l.shown != nil && l.shown.URL == next.URL {
		return nil
	}
	left := next.ExpirationTime.Sub(l.env.Clock.Now())
	if left <= 0 {
		if l.late != next.URL {
			l.late = next.URL
			l.out.printf("Its URL expired %s ago, by this machine's clock. Waiting for the operator to make a new one.", duration.HumanDuration(-left))
		}
		return nil
	}
	u, err := l.way(ctx, s)
	if err != nil {
		return err
	}
	expired := l.shown != nil && spanned(l.shown, next)
	l.introduce(expired, left)
	l.shown = next
	l.out.println(u)
	if l.opens(expired) {
		l.open(ctx, u)
	}
	return nil
}

// way is the URL of a session with the way back to the operator that the flags ask for.
func (l *consent) way(ctx context.Context, s *v1alpha1.CoderSession) (string, error) {
	u, err := authorizationURL(s.Status.Authorization.URL)
	if err != nil {
		return "", exit(ExitUnmendable, "session %s: %w", fullName(s), err)
	}
	if !l.options.portForward {
		if place, local := loopback(u); local && !l.noted {
			l.noted = true
			l.out.printf("After the consent Coder sends the browser to %s on this machine. Unless something there leads to the operator, stop this with Ctrl-C and run it with --port-forward.", place)
		}
		return u.String(), nil
	}
	if l.port == 0 {
		if l.port, err = l.forward(ctx); err != nil {
			return "", err
		}
	}
	return redirectedTo(u, loopbackURI(l.port)).String(), nil
}

// spanned reports whether a URL took the place of one that had come to its end unused, and not before. Both times are the
// operator's, so that no other clock matters (B63).
func spanned(old, next *v1alpha1.Authorization) bool {
	made := next.ExpirationTime.Add(-grant.AttemptLifetime)
	return !made.Before(old.ExpirationTime.Time)
}

// opens reports whether the next URL is opened: not the one after one that expired, since nobody was there.
func (l *consent) opens(expired bool) bool {
	return !l.options.noBrowser && !expired && l.opened < mostOpened
}

// introduce says what the line on standard output is.
func (l *consent) introduce(expired bool, left time.Duration) {
	switch {
	case expired:
		l.out.printf("The URL above has expired. This is a new one:")
	case l.shown != nil:
		l.out.printf("The URL above is used up. This is a new one:")
	}
	how := "Open this URL in a browser"
	if l.opens(expired) {
		how = "Opening this URL in the browser"
	}
	l.out.printf("%s. Consent within %s, as the Coder user that the session is to work as:", how, duration.HumanDuration(left))
}

// open opens the browser. That may take as long as the browser runs.
func (l *consent) open(ctx context.Context, url string) {
	l.opened++
	go func() {
		if err := l.env.Open(url); err != nil && ctx.Err() == nil {
			l.out.printf("No browser could be opened (%v): open the URL above yourself.", err)
		}
	}()
}

// timedOut says how the session still is.
func (l *consent) timedOut(away bool) error {
	if l.last == nil || away {
		return exit(ExitUnreachable, "the API server could not be reached within %s", l.options.timeout)
	}
	hint := ""
	if l.shown != nil && !l.env.Clock.Now().Before(l.shown.ExpirationTime.Time) {
		hint = "; its last URL has expired"
	} else if readiness(l.last) == nil {
		hint = ": does the operator run, and does it watch that namespace?"
	}
	return exit(ExitTimedOut, "not ready within %s: session %s %s%s", l.options.timeout, fullName(l.last), standing(l.last), hint)
}
