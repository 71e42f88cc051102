// SPDX-License-Identifier: Apache-2.0

package coder_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

// workspaceID and the JSON below are as in contract D.
const (
	workspaceID   = "9c4d1f6a-0000-4000-8000-0000000000d1"
	workspaceJSON = `{"id":"` + workspaceID + `","name":"dev","owner_id":"` + userID +
		`","owner_name":"ada","dormant_at":null,"latest_build":{` +
		`"id":"x","build_number":7,"transition":"stop","status":"stopped","reason":"autostop",` +
		`"updated_at":"2026-02-20T12:00:00.5+02:00"}}`
)

func devWorkspace() coder.Workspace {
	return coder.Workspace{
		ID: workspaceID, Name: "dev", OwnerID: userID, OwnerName: "ada", Status: coder.WorkspaceStopped, Transition: "stop",
		BuildNumber: 7, ChangedAt: time.Date(2026, 2, 20, 10, 0, 0, 5e8, time.UTC),
	}
}

func TestWorkspace(t *testing.T) { // contract D
	t.Parallel()
	c := startServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.EscapedPath() != "/api/v2/users/ada%2F/workspace/dev" {
			t.Errorf("path %s", r.URL.EscapedPath())
		}
		respondWith(200, workspaceJSON)(w, r)
	})
	got, err := c.Workspace(t.Context(), "ada/", "dev")
	if diff := cmp.Diff(devWorkspace(), got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for name, tt := range map[string]struct {
		handler http.HandlerFunc
		want    coder.Kind
	}{
		"missing":             {respondWith(404, `{"message":"not found"}`), coder.NotFound},
		"no such user in R30": {respondWith(400, `{"message":"user must be an existing uuid or username"}`), coder.NotFound},
		"half an answer": {respondWith(200, strings.Replace(workspaceJSON, `"status":"stopped",`, "", 1)),
			coder.Malformed},
	} {
		if _, err := startServer(t, tt.handler).Workspace(t.Context(), "ada", "dev"); coder.KindOf(err) != tt.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// dataOf returns an event with the given data.
func dataOf(t *testing.T, text string) coder.Event {
	t.Helper()
	event, err := new(coder.Client).ReadEventData("data", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return event
}

func TestWorkspaceOfAnEvent(t *testing.T) { // contract D.1
	t.Parallel()
	got, err := dataOf(t, workspaceJSON).Workspace()
	if err != nil || got != devWorkspace() {
		t.Errorf("%+v, %v", got, err)
	}
	dormant, err := dataOf(t, strings.Replace(workspaceJSON, `"dormant_at":null`,
		`"dormant_at":"2026-02-20T10:00:00Z"`, 1)).Workspace()
	if err != nil || !dormant.Dormant {
		t.Errorf("%+v, %v", dormant, err)
	}
	for _, text := range []string{"", "null", "{}", "[]", "rubbish " + sentinel, `{"id":7}`,
		strings.Replace(workspaceJSON, `"id":"`+workspaceID+`",`, "", 1)} {
		if _, err := dataOf(t, text).Workspace(); coder.KindOf(err) != coder.Malformed ||
			strings.Contains(err.Error(), sentinel) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestComplaintOfAnEvent(t *testing.T) { // contract A.2, D.1
	t.Parallel()
	for text, want := range map[string]string{
		`{"message":"no access","detail":"to the template"}`:   "no access", // B123
		`{"message":"CODER_SESSION_TOKEN=` + sentinel + `\n"}`: "CODER_SESSION_TOKEN=[redacted]",
		"rubbish": "an error without a message",
		"{}":      "an error without a message",
	} {
		if got := dataOf(t, text).Complaint(); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}
