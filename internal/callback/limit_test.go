// SPDX-License-Identifier: Apache-2.0

package callback

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/grant"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

func TestRateLimit(t *testing.T) {
	t.Parallel()
	w := newCallbackEnv(t, coderd.ProfileNew)
	location := w.giveConsent()
	guess := withParameters(location, "state", grant.Parameter(sessionKey, "guessed"))
	reads := 0
	w.api.setFaults(func(_ string, key types.NamespacedName) error {
		if key == documentKey {
			reads++
		}
		return nil
	}, nil)
	for range 3 * burst { // an unknown session costs nothing
		w.wantOutcome(w.openAt(w.replica, withParameters(
			location, "state", grant.Parameter(types.NamespacedName{Namespace: "builds", Name: "cd"}, "x"))), unknown)
	}
	for range burst {
		w.wantOutcome(w.openAt(w.replica, guess), unknown)
	}
	before := reads
	got := w.openAt(w.replica, location)
	w.wantOutcome(got, busy)
	// Searching the answer for credentials reads the document, too.
	if got.Header().Get("Retry-After") != "1" || reads != before+1 {
		t.Errorf("%d reads of the document, %q", reads-before, got.Header().Get("Retry-After"))
	}
	w.clock.Step(time.Second)
	w.wantOutcome(w.openAt(w.replica, location), done)
}

// If the deployment's rate limit is almost used up, a callback does not begin; one that has begun
// is finished.
func TestTheDeploymentsRateLimit(t *testing.T) { // B52
	t.Parallel()
	for taken, want := range map[int]outcome{7: done, 8: unavailable} { // of ten; two are reserved for urgent requests
		w := newCallbackEnv(t, coderd.ProfileNew)
		w.api.editDeployment(func(spec *v1alpha1.CoderDeploymentSpec) { spec.RateLimit.RequestsPerMinute = 60 })
		location, written := w.giveConsent(), w.documentVersion()
		conn := w.replica.pool.Get(deploymentKey)
		_, err := conn.Resolve(t.Context(), w.api.storedDeployment())
		w.requireNoError(nil, err)
		for range taken {
			_, err := conn.Do(connection.WithPriority(t.Context(), connection.Urgent),
				func(ctx context.Context, line *connection.ResolvedClient) error {
					_, err := line.Client.BuildInfo(ctx)
					return err
				})
			w.requireNoError(nil, err)
		}
		w.wantOutcome(w.openAt(w.replica, location), want)
		if (w.documentVersion() == written) != (want == unavailable) {
			t.Errorf("%d taken: the document is %+v", taken, w.readDocument())
		}
	}
}

// Every request gets a page, and only a request with the right state reads the document.
func FuzzQueries(f *testing.F) {
	for _, seed := range []string{
		"", "state=x", "code=x&state=" + grant.Parameter(sessionKey, "x"),
		"error=access_denied&state=" + grant.Parameter(sessionKey, "x"),
		"state=" + grant.Parameter(sessionKey, "x") + "&state=y", "%", ";", "state=YnVpbGRzL2Np.",
		"state=YnVpbGRzLw.&code=<script>",
	} {
		f.Add(seed)
	}
	h := New(Options{Objects: newAPI(), Clock: fixedClock{}})
	f.Fuzz(func(t *testing.T, query string) {
		r := httptest.NewRequest(http.MethodGet, grant.CallbackPath, nil)
		r.URL.RawQuery = query
		got := httptest.NewRecorder()
		h.ServeHTTP(got, r)
		if got.Code != pageContents[unknown].status && got.Code != pageContents[incomplete].status {
			t.Errorf("status %d", got.Code)
		}
		if strings.Contains(got.Body.String(), "<script") {
			t.Error("the page quotes the query")
		}
	})
}

type fixedClock struct{}

func (fixedClock) Now() time.Time                   { return now }
func (fixedClock) Since(ts time.Time) time.Duration { return now.Sub(ts) }
