// SPDX-License-Identifier: Apache-2.0

package coderd_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// createWorkspace creates a workspace of ada's.
func (w *world) createWorkspace(o coderd.WorkspaceOptions) coderd.Workspace {
	w.t.Helper()
	if o.Owner == "" {
		o.Owner = "ada"
	}
	if o.Name == "" {
		o.Name = "dev"
	}
	ws, err := w.server.CreateWorkspace(o)
	if err != nil {
		w.t.Fatalf("creating a workspace: %v", err)
	}
	return ws
}

// must ends the test on an error.
func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func TestWorkspaceFields(t *testing.T) { // D
	t.Parallel()
	eachProfile(t, func(t *testing.T, profile coderd.Profile) {
		w := newWorld(t, coderd.Options{Profile: profile})
		ws := w.createWorkspace(coderd.WorkspaceOptions{})
		got := decode[map[string]any](t, w.want(http.StatusOK, "GET", "/api/v2/users/ada/workspace/dev", w.adaToken, ""))
		build := got["latest_build"].(map[string]any)
		agent := build["resources"].([]any)[0].(map[string]any)["agents"].([]any)[0].(map[string]any)
		for _, drawn := range []map[string]any{build, agent} {
			if len(drawn["id"].(string)) != 36 {
				t.Errorf("id %v", drawn["id"])
			}
			delete(drawn, "id")
		}
		const now = "2026-02-20T10:00:00Z"
		want := map[string]any{
			"id": ws.ID, "name": "dev", "owner_id": w.ada.ID, "owner_name": "ada", "outdated": false,
			"organization_id": "7c9e6679-0000-4000-8000-0000000000aa", "created_at": now, "updated_at": now,
			"last_used_at": now, "dormant_at": nil, "deleting_at": nil,
			"health": map[string]any{"healthy": true, "failing_agents": []any{}},
			"latest_build": map[string]any{
				"build_number": 1.0, "transition": "start", "status": "running", "reason": "initiator", "updated_at": now,
				"deadline": nil, "max_deadline": nil, "job": map[string]any{"status": "succeeded"},
				"resources": []any{map[string]any{"agents": []any{map[string]any{
					"name": "main", "status": "connected", "lifecycle_state": "ready",
				}}}},
			},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("workspace (-want +got):\n%s", diff)
		}
	})
}

func TestWorkspaceIsHiddenFromThoseWhoMayNotSeeIt(t *testing.T) { // A.6, D
	t.Parallel()
	for name, tc := range map[string]struct {
		caller      string
		scopes      []string
		allow       string
		path        string
		r30, recent int
	}{
		"own by name":        {caller: "ada", path: "/api/v2/users/me/workspace/DEV", r30: 200, recent: 200},
		"own by id":          {caller: "ada", path: "{id}", r30: 200, recent: 200},
		"the owner sees all": {caller: "root", path: "/api/v2/users/ada/workspace/dev", r30: 200, recent: 200},
		"another's by id":    {caller: "bob", path: "{id}", r30: 404, recent: 404},
		"another's by name":  {caller: "bob", path: "/api/v2/users/ada/workspace/dev", r30: 404, recent: 404},
		"unknown owner":      {caller: "bob", path: "/api/v2/users/absent/workspace/dev", r30: 400, recent: 404},
		"another's stream":   {caller: "bob", path: "{id}/watch-ws", r30: 404, recent: 404},
		"another's events":   {caller: "bob", path: "{id}/watch", r30: 404, recent: 404},
		"no such name":       {caller: "ada", path: "/api/v2/users/me/workspace/none", r30: 404, recent: 404},
		"no such id": {caller: "ada", path: "/api/v2/workspaces/1b4e28ba-0000-4000-8000-00000000000a",
			r30: 404, recent: 404},
		"signed out":            {path: "{id}", r30: 401, recent: 401},
		"signed out of streams": {path: "{id}/watch-ws", r30: 401, recent: 401},
		"bad flag": {caller: "ada", path: "/api/v2/users/me/workspace/dev?include_deleted=x",
			r30: 400, recent: 400},
		"scope": {caller: "ada", scopes: []string{"coder:workspaces.access"}, path: "{id}",
			r30: 403, recent: 200},
		"scope by name": {caller: "ada", scopes: []string{"coder:workspaces.access"},
			path: "/api/v2/users/me/workspace/dev", r30: 404, recent: 200},
		"scopes of R30": {caller: "ada", scopes: []string{"coder:workspaces.create"}, path: "{id}",
			r30: 200, recent: 200},
		"without the template": {caller: "ada", scopes: []string{"workspace:read"}, path: "{id}",
			r30: 403, recent: 403},
		"not a UUID":                    {caller: "ada", path: "/api/v2/workspaces/x", r30: 400, recent: 400},
		"allow list hides the template": {caller: "ada", allow: "workspace:*", path: "{id}", r30: 403, recent: 403},
		"allow list by name": {caller: "ada", allow: "workspace:*", path: "/api/v2/users/me/workspace/dev",
			r30: 404, recent: 404},
		"scope of something else": {caller: "ada", scopes: []string{"template:read"}, path: "{id}", r30: 404, recent: 404},
		"allow list of another": {caller: "ada", allow: "workspace:1b4e28ba-0000-4000-8000-00000000000a",
			path: "{id}/watch", r30: 404, recent: 404},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachProfile(t, func(t *testing.T, profile coderd.Profile) {
				w := newWorld(t, coderd.Options{Profile: profile})
				ws := w.createWorkspace(coderd.WorkspaceOptions{})
				w.createUser(coderd.UserOptions{Username: "bob"})
				token := ""
				if tc.caller != "" {
					o := coderd.TokenOptions{User: tc.caller, Scopes: tc.scopes}
					if tc.allow != "" {
						o.AllowList = []string{tc.allow}
					}
					var err error
					token, _, err = w.server.CreateToken(o)
					w.must(err)
				}
				status := tc.r30
				if profile != coderd.ProfileR30 {
					status = tc.recent
				}
				w.want(status, "GET", strings.Replace(tc.path, "{id}", "/api/v2/workspaces/"+ws.ID, 1), token, "")
			})
		})
	}
}

func TestBuildsOfAWorkspace(t *testing.T) { // D
	t.Parallel()
	w := newWorld(t, coderd.Options{})
	ws := w.createWorkspace(coderd.WorkspaceOptions{Status: coderd.WorkspaceStopped})
	type state struct {
		number               int
		transition, status   string
		reason, job, problem string
		dormant, outdated    bool
	}
	check := func(what string, err error, want state) {
		t.Helper()
		w.must(err)
		body := decode[struct {
			DormantAt   *string `json:"dormant_at"`
			Outdated    bool
			LatestBuild struct {
				BuildNumber                int `json:"build_number"`
				Transition, Status, Reason string
				Job                        struct{ Status, Error string }
			} `json:"latest_build"`
		}](t, w.want(http.StatusOK, "GET", "/api/v2/workspaces/"+ws.ID, w.adaToken, ""))
		b := body.LatestBuild
		got := state{
			b.BuildNumber, b.Transition, b.Status, b.Reason, b.Job.Status, b.Job.Error,
			body.DormantAt != nil, body.Outdated,
		}
		if got != want {
			t.Errorf("%s: %+v, want %+v", what, got, want)
		}
	}
	check("create", nil, state{1, "stop", "stopped", "initiator", "succeeded", "", false, false})
	check("start", w.server.StartWorkspace(ws.ID),
		state{2, "start", "running", "initiator", "succeeded", "", false, false})
	check("stop", w.server.StopWorkspace("ada/DEV"),
		state{3, "stop", "stopped", "initiator", "succeeded", "", false, false})
	check("starting", w.server.SetWorkspaceStatus(ws.ID, coderd.WorkspaceStarting),
		state{3, "stop", "starting", "initiator", "running", "", false, false})
	check("failed", w.server.SetWorkspaceStatus(ws.ID, coderd.WorkspaceFailed),
		state{3, "stop", "failed", "initiator", "failed", "the provisioner job failed", false, false})
	check("dormant", w.server.SetDormant(ws.ID, true),
		state{4, "stop", "stopped", "dormancy", "succeeded", "", true, false})
	check("awake", w.server.SetDormant(ws.ID, false),
		state{4, "stop", "stopped", "dormancy", "succeeded", "", false, false})
	check("outdated", w.server.SetOutdated(ws.ID, true),
		state{4, "stop", "stopped", "dormancy", "succeeded", "", false, true})
	w.must(w.server.SetDormant(ws.ID, true))
	check("start wakes", w.server.StartWorkspace(ws.ID),
		state{6, "start", "running", "initiator", "succeeded", "", false, true})
}

func TestDeletedWorkspace(t *testing.T) { // D
	t.Parallel()
	w := newWorld(t, coderd.Options{})
	ws := w.createWorkspace(coderd.WorkspaceOptions{})
	const byName = "/api/v2/users/ada/workspace/dev"
	w.must(w.server.DeleteWorkspace("ada/dev"))
	w.want(http.StatusNotFound, "GET", byName, w.adaToken, "")
	gone := w.want(http.StatusOK, "GET", byName+"?include_deleted=true", w.adaToken, "")
	if !strings.Contains(gone.text, `"status":"deleted"`) {
		t.Errorf("deleted workspace %s", gone.text)
	}
	w.want(http.StatusGone, "GET", "/api/v2/workspaces/"+ws.ID, w.adaToken, "")
	w.want(http.StatusOK, "GET", "/api/v2/workspaces/"+ws.ID+"?include_deleted=true", w.adaToken, "")
	if err := w.server.StartWorkspace(ws.ID); !errors.Is(err, coderd.ErrWorkspaceNotFound) {
		t.Errorf("starting it: %v", err)
	}
	again := w.createWorkspace(coderd.WorkspaceOptions{})
	for _, path := range []string{byName, byName + "?include_deleted=true"} {
		if got := decode[struct{ ID string }](t, w.want(http.StatusOK, "GET", path, w.adaToken, "")).ID; got != again.ID {
			t.Errorf("%s is %s, want the living %s", path, got, again.ID)
		}
	}
	if got := w.server.Workspaces(); len(got) != 2 || !got[0].Deleted || got[1].Deleted {
		t.Errorf("workspaces %+v", got)
	}
}

func TestWorkspacesThatCannotBe(t *testing.T) {
	t.Parallel()
	w := newWorld(t, coderd.Options{})
	w.createWorkspace(coderd.WorkspaceOptions{})
	for name, tc := range map[string]struct {
		o    coderd.WorkspaceOptions
		want error
	}{
		"no owner":  {coderd.WorkspaceOptions{Owner: "absent", Name: "dev"}, coderd.ErrUserNotFound},
		"bad name":  {coderd.WorkspaceOptions{Owner: "ada", Name: "a b"}, coderd.ErrInvalid},
		"no status": {coderd.WorkspaceOptions{Owner: "ada", Name: "x", Status: "asleep"}, coderd.ErrInvalid},
		"name used": {coderd.WorkspaceOptions{Owner: "ada", Name: "Dev"}, coderd.ErrConflict},
	} {
		if _, err := w.server.CreateWorkspace(tc.o); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := w.server.SetWorkspaceStatus("ada/dev", "asleep"); !errors.Is(err, coderd.ErrInvalid) {
		t.Errorf("status: %v", err)
	}
	if err := w.server.StopWorkspace("absent/dev"); !errors.Is(err, coderd.ErrWorkspaceNotFound) {
		t.Errorf("stop: %v", err)
	}
}

func TestAdministrationOfWorkspaces(t *testing.T) {
	t.Parallel()
	w := newWorld(t, coderd.Options{})
	w.administer(200, "POST", "/workspaces", object{"owner": "ada", "name": "dev", "status": "stopped"})
	w.administer(409, "POST", "/workspaces", object{"owner": "ada", "name": "dev"})
	w.administer(404, "POST", "/workspaces", object{"owner": "absent", "name": "dev"})
	status := func(want string) {
		t.Helper()
		var all []coderd.Workspace
		if err := json.Unmarshal([]byte(w.administer(200, "GET", "/workspaces", nil)), &all); err != nil || len(all) != 1 {
			t.Fatalf("workspaces %v, %v", all, err)
		}
		if got := string(all[0].Status); got != want {
			t.Errorf("status %s, want %s", got, want)
		}
	}
	status("stopped")
	w.administer(204, "POST", "/workspaces/ada/dev/builds", object{"transition": "start"})
	status("running")
	w.administer(204, "PUT", "/workspaces/ada/dev/dormant", object{"dormant": true})
	status("stopped")
	w.administer(204, "POST", "/workspaces/ada/dev/builds", object{"transition": "start"})
	w.administer(204, "POST", "/workspaces/ada/dev/builds", object{"transition": "stop"})
	status("stopped")
	w.administer(400, "POST", "/workspaces/ada/dev/builds", object{"transition": "delete"})
	w.administer(204, "DELETE", "/workspaces/ada/dev", nil)
	status("deleted")
	w.administer(404, "DELETE", "/workspaces/ada/dev", nil)
	if got := w.administer(200, "GET", "/streams", nil); got != "[]\n" {
		t.Errorf("streams %s", got)
	}
	if got := w.administer(200, "DELETE", "/streams", nil); got != "{\"cut\":0}\n" {
		t.Errorf("cut %s", got)
	}
}
