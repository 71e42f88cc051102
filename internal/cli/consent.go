// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/grant"
)

// maxBrowserOpens is how many times one run opens the browser. A server that refuses every request
// immediately must not fill the browser with tabs.
const maxBrowserOpens = 3

// consent is one run of the login command.
//
//	follow ──► ready? ──────────────────────────────────► 0
//	   ▲         │ no
//	   │         ▼
//	   │      unresolvable, gone? ──────────────────────► 2, 4
//	   │         │ no
//	   │         ▼
//	   └──── a URL that was not shown: print it, open it
//
// It is not safe for concurrent use.
type consent struct {
	*connector
	cluster *cluster
	name    string
	options loginOptions
	// forward starts the port-forward and returns the local port.
	forward func(context.Context) (int, error)

	// last is the session as it was last read; nil before the first read.
	last       *v1alpha1.CoderSession
	lastStatus string // the status that was printed last
	// shown is the authorization whose URL was printed last; nil before the first.
	shown         *v1alpha1.Authorization
	expiredURL    string // the last URL that had already expired when it was read
	opened        int
	port          int // the forwarded local port; zero: none yet
	loopbackNoted bool
	loginPort     loginPort
}

func newConsent(c *connector, cluster *cluster, name string, options loginOptions) *consent {
	l := &consent{connector: c, cluster: cluster, name: name, options: options}
	l.forward = func(ctx context.Context) (int, error) {
		return startPortForward(ctx, &portForwarder{
			config: cluster.config, namespace: options.operatorNamespace, remotePort: options.callbackPort,
			clock: c.env.Clock, printErrf: c.out.printErrf,
		})
	}
	return l
}

// run returns nil once the session is ready. Other results are errors with an exit code.
func (l *consent) run(ctx context.Context) error {
	ctx, cancel := l.withTimeout(ctx, l.options.timeout)
	defer cancel()
	defer l.endLogin(ctx)
	f := newFollower(l.connector, l.cluster, sessionKind, l.name, l.handleSession)
	err := f.run(ctx)
	if errors.Is(err, errTimedOut) {
		return l.timeoutError(f.unreachable)
	}
	return err
}

// handleSession is called with each version of the session.
func (l *consent) handleSession(ctx context.Context, s *v1alpha1.CoderSession) (bool, error) {
	first := l.last == nil
	switch {
	case s == nil && first:
		return false, newExitError(ExitUnreachable, "session %q does not exist in namespace %q: name its namespace "+
			"with -n; kubectl get codersessions -A shows all",
			l.name, l.cluster.namespace)
	case s == nil || !s.DeletionTimestamp.IsZero():
		return false, newExitError(ExitUnreachable, "session %s/%s is being deleted, or is gone", l.cluster.namespace,
			l.name)
	}
	l.last = s
	if s.Spec.Auth.Method() != v1alpha1.AuthOAuth {
		return false, newExitError(ExitBlocked, "session %s has no auth.oauth: %s", fullName(s), whyNoConsent(s))
	}
	ready := readyCondition(s)
	switch {
	case ready != nil && ready.Status == metav1.ConditionTrue:
		l.reportReady(s, first)
		return true, nil
	case ready != nil && unresolvableReasons[ready.Reason]:
		return false, newExitError(ExitBlocked, "session %s %s", fullName(s), describeSessionStatus(s))
	}
	if is := describeSessionStatus(s); is != l.lastStatus {
		l.lastStatus = is
		l.out.printErrf("Session %s %s", fullName(s), is)
	}
	return false, l.offerURL(ctx, s)
}

func (l *consent) reportReady(s *v1alpha1.CoderSession, first bool) {
	if first {
		l.out.printErrf("Session %s is ready already; no login is needed.", fullName(s))
	} else {
		l.out.printErrf("Session %s is ready.", fullName(s))
	}
	for _, line := range sessionDetails(s, l.env.Clock.Now()) {
		l.out.printErrf("%s", line)
	}
}

// offerURL prints the session's authorization URL if it differs from the last one printed, and
// opens it in the browser.
func (l *consent) offerURL(ctx context.Context, s *v1alpha1.CoderSession) error {
	next := s.Status.Authorization
	if next == nil || readyCondition(s) == nil || l.shown != nil && l.shown.URL == next.URL {
		return nil
	}
	left := next.ExpirationTime.Sub(l.env.Clock.Now())
	if left <= 0 {
		if l.expiredURL != next.URL {
			l.expiredURL = next.URL
			l.out.printErrf("Its URL expired %s ago, by this machine's clock. Waiting for the operator to make a new "+
				"one.", formatDuration(-left))
		}
		return nil
	}
	u, err := l.urlToOpen(ctx, s)
	if err != nil || u == "" {
		return err
	}
	expired := l.shown != nil && replacesExpired(l.shown, next)
	l.introduceURL(expired, left)
	l.shown = next
	l.out.printOut(u)
	if l.shouldOpen(expired) {
		l.openBrowser(ctx, u)
	}
	return nil
}

// urlToOpen is the session's authorization URL; with --port-forward, the one that returns to the
// forwarded port. Empty: the operator has yet to make it.
func (l *consent) urlToOpen(ctx context.Context, s *v1alpha1.CoderSession) (string, error) {
	u, err := authorizationURL(s.Status.Authorization.URL)
	if err != nil {
		return "", newExitError(ExitBlocked, "session %s: %w", fullName(s), err)
	}
	if !l.options.portForward {
		if l.clearFormerLogin(ctx, s) {
			return "", nil
		}
		if place, local := loopbackOrigin(u); local && !l.loopbackNoted {
			l.loopbackNoted = true
			l.out.printErrf("After the consent Coder sends the browser to %s on this machine. Unless something there "+
				"leads to the operator, stop this with Ctrl-C and run it with --port-forward.", place)
		}
		return u.String(), nil
	}
	if l.port == 0 {
		if l.port, err = l.forward(ctx); err != nil {
			return "", err
		}
	}
	if u, err = l.forwardedURL(ctx, s, u); err != nil || u == nil {
		return "", err
	}
	return u.String(), nil
}

// replacesExpired reports whether an authorization replaced one that expired unused. Both times
// come from the operator, so the local clock does not matter (B63).
func replacesExpired(old, next *v1alpha1.Authorization) bool {
	made := next.ExpirationTime.Add(-grant.AttemptLifetime)
	return !made.Before(old.ExpirationTime.Time)
}

// shouldOpen reports whether the next URL is opened in the browser. After one that expired it is
// only printed, because the person is probably away.
func (l *consent) shouldOpen(expired bool) bool {
	return !l.options.noBrowser && !expired && l.opened < maxBrowserOpens
}

// introduceURL prints what the URL on standard output is for.
func (l *consent) introduceURL(expired bool, left time.Duration) {
	switch {
	case expired:
		l.out.printErrf("The URL above has expired. This is a new one:")
	case l.shown != nil:
		l.out.printErrf("The URL above is used up. This is a new one:")
	}
	how := "Open this URL in a browser"
	if l.shouldOpen(expired) {
		how = "Opening this URL in the browser"
	}
	l.out.printErrf("%s. Consent within %s, as the Coder user that the session is to work as:", how,
		formatDuration(left))
}

// openBrowser opens the browser in the background: the call may take as long as the browser runs.
func (l *consent) openBrowser(ctx context.Context, url string) {
	l.opened++
	go func() {
		if err := l.env.Open(url); err != nil && ctx.Err() == nil {
			l.out.printErrf("No browser could be opened (%v): open the URL above yourself.", err)
		}
	}()
}

// timeoutError says what the session's status is after the timeout.
func (l *consent) timeoutError(away bool) error {
	if l.last == nil || away {
		return newExitError(ExitUnreachable, "the API server could not be reached within %s", l.options.timeout)
	}
	hint := ""
	if l.shown != nil && !l.env.Clock.Now().Before(l.shown.ExpirationTime.Time) {
		hint = "; its last URL has expired"
	} else if readyCondition(l.last) == nil {
		hint = ": check that the operator runs and watches that namespace"
	}
	return newExitError(ExitTimedOut, "not ready within %s: session %s %s%s", l.options.timeout, fullName(l.last),
		describeSessionStatus(l.last), hint)
}
