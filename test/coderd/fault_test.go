// SPDX-License-Identifier: Apache-2.0

package coderd_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

const mintRoute = "/api/v2/users/{user}/keys/tokens"

func TestAnswersOfFaults(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		fault    coderd.Fault
		status   int
		header   string
		value    string
		contains string
	}{
		"H status": {coderd.Fault{Kind: coderd.FaultStatus},
			500, "Content-Type", "application/json; charset=utf-8", `"message"`},
		"H chosen status": {coderd.Fault{Kind: coderd.FaultStatus, Status: 503, Message: "busy"},
			503, "X-Coder-Build-Version", "v2.38.1+abc1234", "busy"},
		"H 502 HTML": {coderd.Fault{Kind: coderd.FaultHTML},
			502, "Content-Type", "text/html; charset=utf-8", "<h1>502 Bad Gateway</h1>"},
		"H HTML has no build": {coderd.Fault{Kind: coderd.FaultHTML, Status: 403},
			403, "X-Coder-Build-Version", "", "Forbidden"},
		"H 401": {coderd.Fault{Kind: coderd.FaultUnauthorized},
			401, "Content-Type", "application/json; charset=utf-8", "API key is invalid"},
		"H 429": {coderd.Fault{Kind: coderd.FaultTooManyRequests}, 429, "Retry-After", "60", "message"},
		"H 429 with a chosen wait": {coderd.Fault{Kind: coderd.FaultTooManyRequests, RetryAfter: 7 * time.Second}, 429,
			"Retry-After", "7", "message"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, coderd.Options{})
			tc.fault.Times = 1
			w.server.Inject(tc.fault)
			res := w.want(tc.status, "GET", me, w.adaToken, "")
			if got := res.Header.Get(tc.header); got != tc.value || !strings.Contains(res.text, tc.contains) {
				t.Errorf("%s: %q, body %s", tc.header, got, res.text)
			}
			if tc.status == 401 && res.Header.Get("WWW-Authenticate") == "" {
				t.Error("no challenge")
			}
			w.want(http.StatusOK, "GET", me, w.adaToken, "")
		})
	}
}

func TestLostAnswerAfterCommit(t *testing.T) { // H: lost 201
	t.Parallel()
	for name, tc := range map[string]struct {
		kind coderd.FaultKind
		kept []string
	}{
		"H drop the answer": {coderd.FaultDropAnswer, []string{"first", "ci"}},
		"H drop before":     {coderd.FaultDropBefore, []string{"first"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, coderd.Options{})
			w.want(http.StatusOK, "GET", me, w.adaToken, "") // a connection that is in use already
			w.server.Inject(coderd.Fault{Kind: tc.kind, Method: "POST", Path: mintRoute, Times: 1})
			if res, err := w.send(w.newRequest("POST", me+tokens, w.adaToken, `{"token_name":"ci"}`)); err == nil {
				t.Errorf("got an answer: %d", res.StatusCode)
			}
			var kept []string
			for _, k := range w.server.Keys(coderd.KeyFilter{User: "ada"}) {
				kept = append(kept, k.Name)
			}
			if diff := cmp.Diff(tc.kept, kept); diff != "" {
				t.Errorf("keys (-want +got):\n%s", diff)
			}
			if n := w.server.Count("POST", mintRoute); n != 1 {
				t.Errorf("%d requests counted", n)
			}
			if entries := w.server.Requests(); entries[len(entries)-1].Status != 0 {
				t.Errorf("status %d logged, want none", entries[len(entries)-1].Status)
			}
		})
	}
}

func TestGate(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		late   bool
		status int
	}{
		"held before the work: judged by what is true later": {false, 401},
		"held after the work: judged by what was true":       {true, 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, coderd.Options{})
			gate := coderd.NewGate()
			remove := w.server.Inject(coderd.Fault{Kind: coderd.FaultGate, Gate: gate, Late: tc.late})
			req, status := w.newRequest("GET", me, w.adaToken, ""), make(chan int)
			go func() {
				res, err := w.send(req)
				if err != nil {
					t.Error(err)
					status <- 0
					return
				}
				status <- res.StatusCode
			}()
			<-gate.Entered()
			remove()
			if err := w.server.Suspend("ada"); err != nil {
				t.Error(err)
			}
			gate.Release()
			gate.Release()
			if got := <-status; got != tc.status {
				t.Errorf("status %d, want %d", got, tc.status)
			}
		})
	}
}

func TestHeldRequestsEndWithTheListener(t *testing.T) {
	t.Parallel()
	w := newWorld(t, coderd.Options{})
	gate := coderd.NewGate()
	w.server.Inject(coderd.Fault{Kind: coderd.FaultGate, Gate: gate})
	req, failed := w.newRequest("POST", me+tokens, w.adaToken, "{}"), make(chan error)
	go func() {
		_, err := w.send(req)
		failed <- err
	}()
	<-gate.Entered()
	w.ln.Stop()
	if err := <-failed; err == nil {
		t.Error("the request was answered")
	}
	if n := len(w.server.Keys(coderd.KeyFilter{User: "ada"})); n != 1 {
		t.Errorf("%d keys, want the first only", n)
	}
}

func TestFaultSelection(t *testing.T) {
	t.Parallel()
	w := newWorld(t, coderd.Options{})
	remove := w.server.Inject(coderd.Fault{
		Kind: coderd.FaultStatus, Method: "GET", Path: "/api/v2/users/*", Skip: 1, Times: 2,
	})
	w.server.Inject(coderd.Fault{Kind: coderd.FaultLatency, Latency: time.Millisecond})
	for i, want := range []int{200, 500, 500, 200} {
		w.want(http.StatusOK, "GET", "/api/v2/buildinfo", "", "") // another path
		if got := w.do("GET", me, w.adaToken, "").StatusCode; got != want {
			t.Errorf("request %d: status %d, want %d", i, got, want)
		}
	}
	remove()
	w.server.Inject(coderd.Fault{Kind: coderd.FaultHTML, Path: "/api/**"})
	w.want(http.StatusBadGateway, "GET", "/api/v2/buildinfo", "", "")
	w.want(http.StatusOK, "GET", "/healthz", "", "")
	w.server.ClearFaults()
	w.want(http.StatusOK, "GET", "/api/v2/buildinfo", "", "")
}
