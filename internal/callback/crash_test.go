// SPDX-License-Identifier: Apache-2.0

package callback

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/internal/grant"
	"github.com/coder-session-operator/coder-session-operator/internal/oauth"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

func TestABrowserThatGoesAway(t *testing.T) { // B62
	t.Parallel()
	w := newCallbackEnv(t, coderd.ProfileNew)
	gate := coderd.NewGate()
	w.server.Inject(coderd.Fault{Kind: coderd.FaultGate, Gate: gate, Path: "/oauth2/tokens", Late: true})
	browser, leave := context.WithCancel(t.Context())
	r := httptest.NewRequest(http.MethodGet, w.giveConsent(), nil).WithContext(browser)
	answered := make(chan answer)
	go func() { answered <- w.sendRequest(w.replica, r) }()
	<-gate.Entered()
	leave()
	gate.Release()
	w.wantOutcome(<-answered, done)
	w.wantGrant()
}

func TestCrashPoints(t *testing.T) { // B62, B67
	t.Parallel()
	tests := map[string]struct {
		// fault is called before and after each write to the document, with the number of the write
		// from 1.
		before, after func(n int) error
		want          outcome
		granted       bool
	}{
		"the API server fails after SpentAt": {
			before: func(n int) error { return failFrom(2, 5, n) }, want: done, granted: true,
		},
		"its answer to SpentAt is lost": {
			after: func(n int) error { return failFrom(1, 1, n) }, want: unavailable,
		},
		"its answer to the grant is lost": {
			after: func(n int) error { return failFrom(2, 2, n) }, want: done, granted: true,
		},
		"another write in between": {
			before: func(n int) error { return conflictFrom(1, 8, n) }, want: done, granted: true,
		},
		"the API server fails for good": {
			before: func(n int) error { return failFrom(2, 1000, n) }, want: failed,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newCallbackEnv(t, coderd.ProfileNew)
			if tt.want == failed {
				w.replica.storeTimeout = 100 * time.Millisecond // wall-clock time
			}
			location := w.giveConsent()
			w.api.setFaults(countUpdates(tt.before), countUpdates(tt.after))
			w.wantOutcome(w.openAt(w.replica, location), tt.want)
			w.api.setFaults(nil, nil)
			if s := w.readDocument(); s.Attempt.SpentAt.IsZero() || (s.Grant != nil) != tt.granted {
				t.Errorf("the document is %+v", s)
			}
			if tt.granted {
				w.wantGrant()
			} else if left := w.server.OAuthGrants(person, ""); len(left) != 0 {
				t.Error("a grant that no document has is left on the server")
			}
			w.wantOutcome(w.openAt(w.startReplica(), location), used)
		})
	}
}

func failFrom(first, last, n int) error {
	if first <= n && n <= last {
		return errAPI
	}
	return nil
}

var conflict = apierrors.NewConflict(
	schema.GroupResource{Resource: "secrets"}, documentKey.Name, errors.New("the object has been modified"))

func conflictFrom(first, last, n int) error {
	if first <= n && n <= last && n%2 == 1 {
		return conflict
	}
	return nil
}

// countUpdates calls a fault with the number of the write.
func countUpdates(fault func(n int) error) func(string, types.NamespacedName) error {
	var mu sync.Mutex
	n := 0
	return func(verb string, key types.NamespacedName) error {
		if fault == nil || verb != "update" || key != documentKey {
			return nil
		}
		mu.Lock()
		n++
		mu.Unlock()
		return fault(n)
	}
}

// If the registration is replaced during the exchange, the grant is revoked.
func TestAGrantOfAnotherRegistration(t *testing.T) {
	t.Parallel()
	tests := map[string]func(w *callbackEnv){
		"registered again": func(w *callbackEnv) {
			w.changeDocument(func(s *grant.State) { s.Client.ClientID, s.Attempt = "another", nil })
		},
		"deleted": func(w *callbackEnv) { w.api.putSecret(documentKey, nil) },
		"foreign": func(w *callbackEnv) { w.api.putSecret(documentKey, &corev1.Secret{}) },
		"corrupt": func(w *callbackEnv) {
			broken := w.api.storedDocument()
			broken.Data["state"] = nil
			w.api.putSecret(documentKey, broken)
		},
	}
	for name, meanwhile := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newCallbackEnv(t, coderd.ProfileNew)
			gate := coderd.NewGate()
			w.server.Inject(coderd.Fault{Kind: coderd.FaultGate, Gate: gate, Path: "/oauth2/tokens", Late: true})
			location := w.giveConsent()
			answered := make(chan answer)
			go func() { answered <- w.openAt(w.replica, location) }()
			<-gate.Entered()
			meanwhile(w)
			written := w.documentVersion()
			gate.Release()
			w.wantOutcome(<-answered, failed)
			if left := w.server.OAuthGrants(person, ""); len(left) != 0 || w.documentVersion() != written {
				t.Errorf("%d grants are left on the server, or the document was written", len(left))
			}
		})
	}
}

// A second try does not undo a grant that is stored already, whatever was written after it.
func TestALostAnswerAfterWhichOthersWrote(t *testing.T) { // B67
	t.Parallel()
	w := newCallbackEnv(t, coderd.ProfileNew)
	w.api.setFaults(nil, countUpdates(func(n int) error {
		if n == 2 {
			w.changeDocument(func(s *grant.State) { s.SpentBy("the leader", now) })
			return errAPI
		}
		return nil
	}))
	w.wantOutcome(w.openAt(w.replica, w.giveConsent()), done)
	w.wantGrant()
	if s := w.readDocument(); s.Intent == nil || s.Intent.Holder != "the leader" {
		t.Error("an intent to refresh is lost")
	}
}

// The failure of one attempt is not recorded for the next one.
func TestAnAttemptThatIsReplacedMeanwhile(t *testing.T) {
	t.Parallel()
	w := newCallbackEnv(t, coderd.ProfileNew)
	gate := coderd.NewGate()
	w.server.Inject(coderd.Fault{Kind: coderd.FaultGate, Gate: gate, Path: "/oauth2/tokens"})
	w.server.Inject(coderd.Fault{Kind: coderd.FaultStatus, Path: "/oauth2/tokens"})
	location := w.giveConsent()
	answered := make(chan answer)
	go func() { answered <- w.openAt(w.replica, location) }()
	<-gate.Entered()
	w.createAttempt(nil)
	written := w.documentVersion()
	gate.Release()
	w.wantOutcome(<-answered, failed)
	if w.documentVersion() != written {
		t.Errorf("the document is %+v", w.readDocument())
	}
}

// The deployment changes to another server between the check and the exchange.
func TestAServerThatMovesMeanwhile(t *testing.T) { // B73
	t.Parallel()
	w := newCallbackEnv(t, coderd.ProfileNew)
	other, err := w.server.Start(coderd.ListenOptions{})
	w.requireNoError(nil, err)
	t.Cleanup(func() { _ = other.Close() })
	w.api.setFaults(countUpdates(func(n int) error {
		if n > 1 {
			return nil
		}
		moved := w.api.storedDeployment()
		moved.Generation++
		moved.Spec.URL = other.URL()
		_, err := w.replica.pool.Get(deploymentKey).Resolve(t.Context(), moved)
		return err
	}), nil)
	w.wantOutcome(w.openAt(w.replica, w.giveConsent()), failed)
	if s := w.readDocument(); w.countExchanges() != 0 || s.Ended == nil || s.Ended.Reason != string(oauth.Connection) {
		t.Errorf("%d exchanges, the document is %+v", w.countExchanges(), s)
	}
}
