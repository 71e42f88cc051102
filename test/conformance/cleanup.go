// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
)

// ownName matches names that runs make, and no others.
var ownName = regexp.MustCompile(`^` + namePrefix + `[0-9a-f]{6}-`)

// CleanUp removes the users, with their workspaces, and the OAuth2 clients that earlier runs left
// behind, because they were killed. It returns what it removed. The token must be an owner's.
func CleanUp(ctx context.Context, o Options) ([]string, error) {
	c, err := newClient(o)
	if err != nil {
		return nil, err
	}
	r := &run{client: c, options: o, callerToken: o.Token}
	if err := r.call(ctx, o.Token, request{method: http.MethodGet, path: "/api/v2/users/me"}, &r.caller); err != nil {
		return nil, err
	}
	if r.limited() {
		return nil, errNotOwner
	}
	var removed []string
	var failed []error
	remove := func(kind string, names map[string]string, path string) {
		for id, name := range names {
			if !ownName.MatchString(name) {
				continue
			}
			what := kind + " " + name
			if err := r.removeLeftover(ctx, kind, path+"/"+id, id); err != nil {
				failed = append(failed, fmt.Errorf("%s: %w", what, err))
				continue
			}
			removed = append(removed, what)
		}
	}
	clients, err := r.clientNames(ctx)
	if err != nil {
		return nil, err
	}
	remove("OAuth client", clients, "/api/v2/oauth2-provider/apps")
	var users struct {
		Users []userJSON `json:"users"`
	}
	find := request{method: http.MethodGet, path: "/api/v2/users?q=" + namePrefix}
	if err := r.call(ctx, o.Token, find, &users); err != nil {
		return removed, err
	}
	names := map[string]string{}
	for _, u := range users.Users {
		names[u.ID] = u.Username
	}
	remove("user", names, "/api/v2/users")
	return removed, errors.Join(failed...)
}

// removeLeftover removes a client, or a user after the user's workspaces.
func (r *run) removeLeftover(ctx context.Context, kind, path, id string) error {
	if kind == "user" {
		var owned struct {
			Workspaces []struct {
				workspaceJSON
				OwnerID string `json:"owner_id"`
			} `json:"workspaces"`
		}
		find := request{method: http.MethodGet, path: "/api/v2/workspaces?q=" + namePrefix}
		if err := r.call(ctx, r.callerToken, find, &owned); err != nil {
			return err
		}
		for _, ws := range owned.Workspaces {
			if ws.OwnerID != id {
				continue
			}
			if err := r.deleteWorkspace(ctx, r.callerToken, ws.ID); err != nil {
				return err
			}
		}
	}
	return r.call(ctx, r.callerToken, request{method: http.MethodDelete, path: path}, nil)
}

// clientNames lists the OAuth2 clients, in a list of its own or, in NEW, in an object. Without the
// provider there are none.
func (r *run) clientNames(ctx context.Context) (map[string]string, error) {
	var all any
	list := request{method: http.MethodGet, path: "/api/v2/oauth2-provider/apps"}
	err := r.call(ctx, r.callerToken, list, &lenient{&all})
	var refused *errStatus
	if errors.As(err, &refused) && (refused.status == http.StatusForbidden || refused.status == http.StatusNotFound) {
		return nil, nil
	}
	if page, wrapped := all.(map[string]any); wrapped {
		all = page["apps"]
	}
	names := map[string]string{}
	apps, _ := all.([]any)
	for _, item := range apps {
		app, _ := item.(map[string]any)
		id, _ := app["id"].(string)
		names[id], _ = app["name"].(string)
	}
	return names, err
}
