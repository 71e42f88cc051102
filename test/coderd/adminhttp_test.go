// SPDX-License-Identifier: Apache-2.0

package coderd_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coder-session-operator/coder-session-operator/test/certs"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// administer sends a request to the administration and checks the status.
func (w *world) administer(status int, method, path string, body any) string {
	w.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		w.t.Fatal(err)
	}
	req := httptest.NewRequestWithContext(w.t.Context(), method, path, strings.NewReader(string(text)))
	rec := httptest.NewRecorder()
	w.server.AdminHandler(w.ln).ServeHTTP(rec, req)
	if rec.Code != status {
		w.t.Fatalf("%s %s: status %d, want %d: %s", method, path, rec.Code, status, rec.Body)
	}
	return rec.Body.String()
}

type object map[string]any

func TestAdministrationOfUsersAndTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t, coderd.Options{})
	w.administer(200, "POST", "/users", object{"username": "op", "roles": []string{"owner"}})
	w.administer(409, "POST", "/users", object{"username": "op"})
	w.administer(400, "POST", "/users", object{"username": "a--b"})
	w.administer(400, "POST", "/users", object{"user_name": "typo"})
	var made struct {
		Token string
		Key   coderd.Key
	}
	answer := w.administer(200, "POST", "/tokens", object{"user": "op", "name": "boot", "lifetime": "2h"})
	if err := json.Unmarshal([]byte(answer), &made); err != nil {
		t.Fatal(err)
	}
	accepted := func() bool {
		return strings.Contains(w.administer(200, "POST", "/accepts-token", object{"token": made.Token}), "true")
	}
	if !accepted() || !strings.Contains(w.administer(200, "GET", "/tokens?user=op&prefix=bo", nil), made.Key.ID) {
		t.Error("the token is not known")
	}
	w.administer(204, "PUT", "/users/op/status", object{"status": "suspended"})
	if accepted() {
		t.Error("a suspended user's token is accepted")
	}
	w.administer(204, "PUT", "/users/op/status", object{"status": "active"})
	w.administer(400, "PUT", "/users/op/status", object{"status": "asleep"})
	w.administer(204, "PUT", "/users/op/roles", []string{"auditor"})
	if got := w.administer(200, "GET", "/users", nil); !strings.Contains(got, `"roles":["auditor"]`) {
		t.Errorf("users %s", got)
	}
	w.administer(204, "DELETE", "/tokens/"+made.Key.ID, nil)
	w.administer(404, "DELETE", "/tokens/"+made.Key.ID, nil)
	w.administer(204, "PUT", "/users/op/upstream", object{"alive": false})
	w.administer(204, "DELETE", "/users/op", nil)
	w.administer(404, "DELETE", "/users/op", nil)
}

func TestAdministrationOfFaultsLogAndClock(t *testing.T) {
	t.Parallel()
	w := newWorld(t, coderd.Options{})
	fault := object{"kind": "too-many-requests", "path": "/api/**", "times": 1, "retry_after": "5s"}
	if got := w.administer(200, "POST", "/faults", fault); got != "{\"id\":1}\n" {
		t.Errorf("answer %q", got)
	}
	if res := w.want(http.StatusTooManyRequests, "GET", me, w.adaToken, ""); res.Header.Get("Retry-After") != "5" {
		t.Errorf("Retry-After %q", res.Header.Get("Retry-After"))
	}
	if got := w.administer(200, "GET", "/faults", nil); !strings.Contains(got, `"hits":1`) ||
		!strings.Contains(got, `"retry_after":"5s"`) {
		t.Errorf("faults %s", got)
	}
	w.administer(200, "POST", "/faults", object{"kind": "gate"})
	w.administer(204, "POST", "/faults/2/release", nil)
	w.want(http.StatusOK, "GET", me, w.adaToken, "")
	w.administer(400, "POST", "/faults/1/release", nil)
	w.administer(204, "DELETE", "/faults/2", nil)
	w.administer(404, "DELETE", "/faults/2", nil)
	w.administer(404, "DELETE", "/faults/x", nil)
	w.administer(400, "POST", "/faults", object{"kind": "flood"})
	w.administer(204, "DELETE", "/faults", nil)

	if got := w.administer(200, "GET", "/count?method=GET&route=/api/v2/users/{user}", nil); got != "{\"count\":2}\n" {
		t.Errorf("count %s", got)
	}
	if got := w.administer(200, "GET", "/requests", nil); !strings.Contains(got, `"route":"/api/v2/users/{user}"`) ||
		strings.Contains(got, w.adaToken) {
		t.Errorf("log %s", got)
	}
	w.administer(204, "DELETE", "/requests", nil)
	if got := w.administer(200, "GET", "/requests", nil); got != "[]\n" {
		t.Errorf("log %q after the reset", got)
	}
	w.administer(204, "PUT", "/clock", object{"offset": "-90s"})
	want := "{\"offset\":\"-1m30s\",\"now\":\"2026-02-20T09:58:30Z\"}\n"
	if diff := cmp.Diff(want, w.administer(200, "GET", "/clock", nil)); diff != "" {
		t.Errorf("clock (-want +got):\n%s", diff)
	}
}

func TestAdministrationOfEdgeOptionsAndOutage(t *testing.T) {
	t.Parallel()
	tr := newTrust(t)
	w := newWorldAt(t, coderd.Options{}, coderd.ListenOptions{Edge: tr.edge()}, tr.clientConfig(tr.issueClient("ada")))
	renewed := issueCertificate(t, tr.servers, certs.Request{CommonName: "renewed"})
	w.administer(204, "PUT", "/edge", object{
		"client_ca": string(tr.servers.PEM()), "certificate": string(renewed.CertPEM), "key": string(renewed.KeyPEM),
	})
	_, err := w.send(w.newRequest("GET", me, "", ""))
	wantAlert(t, err, 48)
	w.administer(400, "PUT", "/edge", object{"client_ca": "rubbish"})
	w.administer(400, "PUT", "/edge", object{"key": "alone"})
	w.administer(204, "PUT", "/edge", object{"client_ca": "", "required_headers": object{"X-Gate": "open"}})
	w.want(http.StatusForbidden, "GET", me, w.adaToken, "")
	w.administer(204, "PUT", "/edge", object{"required_headers": object{}})
	w.want(http.StatusOK, "GET", me, w.adaToken, "")

	w.administer(204, "PUT", "/outage", object{"down": true})
	if _, err := w.send(w.newRequest("GET", me, w.adaToken, "")); err == nil {
		t.Error("answered while down")
	}
	w.administer(204, "PUT", "/outage", object{"down": false})
	w.want(http.StatusOK, "GET", "/api/v2/auth/scopes", w.adaToken, "")
	w.administer(204, "PUT", "/options", object{"profile": "R30", "default_token_lifetime": "3h", "api_rate_limit": -1})
	w.administer(400, "PUT", "/options", object{"profile": "R31"})
	w.want(http.StatusBadRequest, "GET", "/api/v2/users/absent", w.adaToken, "")
	_, id := w.mintToken("ada", w.ownerToken, "{}")
	if got := w.getKey("ada", id).LifetimeSeconds; got != 3*3600 {
		t.Errorf("lifetime %d s", got)
	}
}
