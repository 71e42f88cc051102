// SPDX-License-Identifier: Apache-2.0

package scale_test

import (
	"context"
	"fmt"
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

const (
	// rotationRate is how many sessions are due in a second: nine times what 10,000 in an hour are.
	rotationRate = 25
	// rotationOverlap is how long a replaced token stays valid.
	rotationOverlap = time.Minute
	// readerDelay is how long a reader keeps a token, as the kubelet does.
	readerDelay = 30 * time.Second
	// restartTime is how long the operator's start may take before the first session is due, plus a part for
	// each session.
	restartTime, restartTimeEach = 20 * time.Second, 10 * time.Millisecond
)

// largeRotation makes session i of n due two thirds of its lifetime after its creation, less the time that all
// that were created after it need.
func largeRotation(i, n int) *v1alpha1.Rotation {
	later := time.Duration(n-i) * time.Second / rotationRate
	before := v1alpha1.Duration(fmt.Sprintf("%dms", (session.DefaultLifetime/3 + later).Milliseconds()))
	overlap := v1alpha1.Duration(rotationOverlap.String())
	return &v1alpha1.Rotation{RenewBefore: &before, Overlap: &overlap}
}

// measureRotation puts the server's clock ahead, so that all sessions become due at rotationRate, starts an
// operator that finds the clock so, and measures until all tokens are rotated and the replaced ones revoked.
// Each session stays Active, and each token that a reader may have is valid.
func (w *scaleEnv) measureRotation(f *figures, n int) {
	w.T.Helper()
	w.operator.stop()
	due, first := w.dueTimes()
	ahead := time.Until(first) - restartTime - time.Duration(n)*restartTimeEach
	w.Coder.SetClockOffset(ahead)
	w.Coder.ResetLog()
	w.startLargeOperator()
	w.awaitSettled()
	if mints := w.CountMints(); mints > 0 {
		w.T.Fatalf("%d sessions were rotated while the operator was starting: raise restartTime", mints)
	}
	ctx, cancel := context.WithCancel(w.T.Context())
	gaps := make(chan error, 1)
	go func() { gaps <- w.readTokens(ctx) }()
	w.measureStep(f, "rotation", n, func() {
		rotated := w.followLarge(n, "rotated", func(s *v1alpha1.CoderSession) bool {
			w.requireActive(s)
			return s.Status.Token.Serial > 1
		})
		f.addQuantiles("rotation-late", sinceEach(rotated, func(name string) time.Time {
			return due[name].Add(-ahead)
		}))
		w.Must(wait.Until(w.T.Context(), rotationOverlap+largePatience, time.Second,
			wait.Holds("all replaced tokens are revoked", func() bool { return w.liveTokens() == n })))
	})
	cancel()
	w.Must(<-gaps)
	w.requireLargeSound(n)
}

func (w *scaleEnv) requireActive(s *v1alpha1.CoderSession) {
	w.T.Helper()
	if !isReady(s) {
		w.T.Fatalf("session %s is not Active although its token is good: %+v", s.Name, s.Status.Conditions)
	}
}

// dueTimes are when the sessions are to be rotated by the server's clock, and the first of these times.
func (w *scaleEnv) dueTimes() (due map[string]time.Time, first time.Time) {
	w.T.Helper()
	var sessions v1alpha1.CoderSessionList
	w.Must(w.watcher.List(w.T.Context(), &sessions))
	due = map[string]time.Time{}
	for i := range sessions.Items {
		s := &sessions.Items[i]
		at := s.Status.NextRefreshTime.Time
		if due[s.Name] = at; first.IsZero() || at.Before(first) {
			first = at
		}
	}
	return due, first
}

// readTokens reads the tokens of all sessions again and again, as the kubelet does, until the context ends. It is
// an error if the server does not accept one of them until it is read again.
func (w *scaleEnv) readTokens(ctx context.Context) error {
	for {
		values, err := w.listTokens(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the end, not a failure
		}
		if err != nil {
			return err
		}
		for until := time.After(readerDelay); until != nil; {
			for _, value := range values {
				if !w.Coder.AcceptsToken(value) {
					return fmt.Errorf("a token that was read less than %s ago is not valid", readerDelay)
				}
			}
			select {
			case <-ctx.Done():
				return nil
			case <-until:
				until = nil
			case <-time.After(time.Second):
			}
		}
	}
}
