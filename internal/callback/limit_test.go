// SPDX-License-Identifier: Apache-2.0

package callback

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/connection"
	"github.com/coder-session-operator/coder-session-operator/internal/fingerprint"
	"github.com/coder-session-operator/coder-session-operator/internal/grant"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// openFrom requests an address from another one.
func (w *callbackEnv) openFrom(source, location string) answer {
	w.Helper()
	r := httptest.NewRequest(http.MethodGet, location, nil)
	r.RemoteAddr = source
	return w.sendRequest(w.replica, r)
}

// countReads counts the reads of sessions and documents.
func (w *callbackEnv) countReads() *int {
	reads := 0
	w.api.setFaults(func(string, types.NamespacedName) error { reads++; return nil }, nil)
	return &reads
}

// B141: a callback whose state the operator has not made costs nothing, is never limited, and gets the same
// answer for a session that exists as for one that does not.
func TestForgedCallbacks(t *testing.T) {
	t.Parallel()
	w := newCallbackEnv(t, coderd.ProfileNew)
	location := w.giveConsent()
	valid := w.readDocument().Attempt.State
	reads := w.countReads()
	flipped := []byte(valid)
	flipped[len(flipped)-1] ^= 1
	otherKey, err := fingerprint.NewKey([]byte("another key for tests, of 32 bytes"))
	w.requireNoError(nil, err)
	other := types.NamespacedName{Namespace: "builds", Name: "absent"}
	var answers []string
	for _, state := range []string{
		grant.Parameter(otherKey, sessionKey, "guess"), grant.Parameter(otherKey, other, "guess"),
		string(flipped), strings.TrimSuffix(valid, valid[strings.LastIndexByte(valid, '.'):]),
	} {
		for range 100 {
			// Not sendRequest, which reads the document.
			got := httptest.NewRecorder()
			w.replica.ServeHTTP(got, httptest.NewRequest(http.MethodGet, withParameters(location, "state", state), nil))
			var header strings.Builder
			w.requireNoError(nil, got.Header().Write(&header))
			answers = append(answers, strconv.Itoa(got.Code)+header.String()+got.Body.String())
		}
	}
	if len(slices.Compact(answers)) != 1 || *reads != 0 {
		t.Errorf("%d reads; the answers differ: %q", *reads, slices.Compact(answers))
	}
	w.wantOutcome(w.openAt(w.replica, location), done)
}

// B141: in a minute with 40 forged callbacks a second, and as many repetitions of a session's real one, 20
// real consents of other sessions all succeed, although all come from the same address.
func TestOthersAreNotHeldUp(t *testing.T) {
	t.Parallel()
	w := newCallbackEnv(t, coderd.ProfileNew)
	victim := types.NamespacedName{Namespace: "builds", Name: "noisy"}
	reads := w.countReads()
	consents := 0
	for tick := range 60 * 40 {
		location := "/oauth/callback?code=x&state="
		w.replica.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, location+"YnVpbGRzL2Np.x.y", nil))
		w.replica.ServeHTTP(httptest.NewRecorder(),
			httptest.NewRequest(http.MethodGet, location+stateOf(victim, "x"), nil))
		if tick%120 == 60 { // each three seconds
			if consents > 0 {
				w.createAttempt(nil)
			}
			w.wantOutcome(w.openAt(w.replica, w.giveConsent()), done)
			consents++
		}
		w.clock.Step(25 * time.Millisecond)
	}
	// The noisy session may be looked at ten times, and then once a second.
	if most := 60 + perVisitor.burst + 20*consents; consents != 20 || *reads > most {
		t.Errorf("%d consents, %d reads", consents, *reads)
	}
}

// Each visitor of a session has a limit of its own, and so has each namespace.
func TestLimits(t *testing.T) {
	t.Parallel()
	ci, cd := sessionKey, types.NamespacedName{Namespace: "builds", Name: "cd"}
	elsewhere := types.NamespacedName{Namespace: "team", Name: "ci"}
	var l limits
	for range perVisitor.burst {
		if !l.allow(ci, "192.0.2.1", now) {
			t.Fatal("a visitor is refused within the burst")
		}
	}
	if l.allow(ci, "192.0.2.1", now) {
		t.Error("a visitor has no limit")
	}
	if !l.allow(ci, "192.0.2.2", now) || !l.allow(cd, "192.0.2.1", now) {
		t.Error("another visitor or session is refused")
	}
	if !l.allow(ci, "192.0.2.1", now.Add(time.Second)) {
		t.Error("a visitor is refused after a second")
	}
	for i := range perNamespace.burst {
		l.allow(cd, "source"+strconv.Itoa(i), now)
	}
	if l.allow(cd, "another", now) {
		t.Error("a namespace has no limit")
	}
	if !l.allow(elsewhere, "192.0.2.1", now) {
		t.Error("another namespace is refused")
	}
}

// The memory of the limits is bounded, and what is beyond it is limited, too.
func TestLimitsAreBounded(t *testing.T) {
	t.Parallel()
	var l limits
	for i := range 3 * maxBuckets {
		l.allow(types.NamespacedName{Namespace: "ns" + strconv.Itoa(i%1000), Name: "ci"}, strconv.Itoa(i), now)
	}
	if len(l.buckets) > maxBuckets+2000 {
		t.Errorf("%d buckets", len(l.buckets))
	}
	l.allow(sessionKey, "late", now.Add(time.Hour))
	if len(l.buckets) > 2 {
		t.Errorf("%d buckets are left after an hour", len(l.buckets))
	}
}

func TestSourceOf(t *testing.T) {
	t.Parallel()
	for remote, want := range map[string]string{
		"192.0.2.1:80":              "192.0.2.1",
		"[::ffff:192.0.2.1]:80":     "192.0.2.1",
		"[2001:db8:1:2:3::4]:80":    "2001:db8:1:2::/64",
		"[fe80::1%eth0]:80":         "fe80::/64",
		"a name:80":                 "a name",
		"something that is not one": "something that is not one",
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = remote
		r.Header.Set("X-Forwarded-For", "198.51.100.1")
		if got := sourceOf(r); got != want {
			t.Errorf("%s is %s, want %s", remote, got, want)
		}
	}
}

// A visitor beyond the limit is told when to come back, and the session's attempt stays.
func TestAVisitorBeyondTheLimit(t *testing.T) {
	t.Parallel()
	w := newCallbackEnv(t, coderd.ProfileNew)
	location := w.giveConsent()
	guess := withParameters(location, "state", stateOf(sessionKey, "guessed"))
	for range perVisitor.burst {
		w.wantOutcome(w.openAt(w.replica, guess), unknown)
	}
	got := w.openAt(w.replica, location)
	w.wantOutcome(got, busy)
	if got.Header().Get("Retry-After") != "1" {
		t.Errorf("Retry-After is %q", got.Header().Get("Retry-After"))
	}
	w.wantOutcome(w.openFrom("198.51.100.1:80", guess), unknown)
	w.clock.Step(time.Second)
	w.wantOutcome(w.openAt(w.replica, location), done)
}

// RFC 9207: an answer of another server is not used.
func TestTheIssuerIsChecked(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		parameters []string
		want       outcome
	}{
		"the server's":      {[]string{"iss", "https://coder.example"}, done},
		"another server's":  {[]string{"iss", "https://evil.example"}, unknown},
		"a longer one":      {[]string{"iss", "https://coder.example/"}, unknown},
		"an empty one":      {[]string{"iss", ""}, incomplete},
		"none":              {nil, done},
		"another's refusal": {[]string{"iss", "https://evil.example", "error", "access_denied"}, unknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newCallbackEnv(t, coderd.ProfileNew)
			w.createAttempt(func(a *grant.Attempt) { a.Issuer = "https://coder.example" })
			location, written := w.giveConsent(), w.documentVersion()
			w.wantOutcome(w.openAt(w.replica, withParameters(location, tc.parameters...)), tc.want)
			changed, used := w.documentVersion() != written, tc.want == done
			if changed != used || !used && w.countExchanges() > 0 {
				t.Errorf("the document has changed: %t, %d exchanges", changed, w.countExchanges())
			}
		})
	}
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
		"", "state=x", "code=x&state=" + stateOf(sessionKey, "x"),
		"error=access_denied&state=" + stateOf(sessionKey, "x"),
		"state=" + stateOf(sessionKey, "x") + "&state=y", "%", ";", "state=YnVpbGRzL2Np.",
		"state=YnVpbGRzLw.&code=<script>",
	} {
		f.Add(seed)
	}
	h := New(Options{Objects: newAPI(), Clock: fixedClock{}, Key: testKey()})
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
