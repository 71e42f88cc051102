// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
)

// removeLater registers a request that removes what was just made. Removals happen in reverse order.
func (r *run) removeLater(what string, remove request, token string) {
	r.removals = append(r.removals, removal{what: what, do: func(ctx context.Context) error {
		return r.call(ctx, token, remove, nil)
	}})
}

// rememberKey removes a key at the end. The keys of users that a run has made end with these.
func (r *run) rememberKey(token string) {
	if token == "" || !r.limited() || r.callerToken == "" {
		return
	}
	path := "/api/v2/users/me/keys/" + keyID(token)
	r.removeLater("token "+keyID(token), request{method: http.MethodDelete, path: path}, r.callerToken)
}

func (r *run) rememberRegistration(made registration) {
	r.removals = append(r.removals, removal{what: "registered client " + made.ID, do: func(ctx context.Context) error {
		remove := request{
			method: http.MethodDelete, path: "/oauth2/clients/" + made.ID,
			headers: map[string]string{"Authorization": "Bearer " + made.Token},
		}
		return r.call(ctx, "", remove, nil)
	}})
}

// removeLast removes at once what was made last. Clients without a name could not be recognised
// later. What cannot be removed is tried again at the end.
func (r *run) removeLast(ctx context.Context) {
	last := len(r.removals) - 1
	if r.removals[last].do(context.WithoutCancel(ctx)) == nil {
		r.removals = r.removals[:last]
	}
}

// rememberAnswer removes what a question itself has made: keys, users, clients, workspaces.
func (a *asking) rememberAnswer(ctx context.Context, q Question, res *response) {
	if res.status != http.StatusCreated && res.status != http.StatusOK || q.Method != http.MethodPost {
		return
	}
	var made struct {
		ID          string `json:"id"`
		Key         string `json:"key"`
		Session     string `json:"session_token"`
		AccessToken string `json:"access_token"`
		registration
	}
	if json.Unmarshal(res.body, &made) != nil {
		return
	}
	path := pathOf(q.Path)
	switch {
	case made.Key != "":
		a.lastKey = made.Key
		a.rememberKey(made.Key)
	case made.registration.ID != "":
		a.rememberRegistration(made.registration)
		a.removeLast(ctx)
	case made.AccessToken+made.Session != "":
		a.rememberKey(made.AccessToken + made.Session)
	case made.ID != "" && slices.Contains([]string{"/api/v2/users", "/api/v2/oauth2-provider/apps"}, path):
		a.removeLater(path+"/"+made.ID, request{method: http.MethodDelete, path: path + "/" + made.ID}, a.callerToken)
	case made.ID != "" && strings.HasSuffix(path, "/workspaces"):
		a.removals = append(a.removals, removal{what: "workspace " + made.ID, do: func(ctx context.Context) error {
			return a.deleteWorkspace(ctx, a.callerToken, made.ID)
		}})
	}
}

// removeAll removes everything, even if the run's context has ended, and says what could not be.
func (r *run) removeAll(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removalTimeout)
	defer cancel()
	var leftovers []string
	for _, removal := range slices.Backward(r.removals) {
		if err := removal.do(ctx); err != nil && !isGone(err) {
			leftovers = append(leftovers, removal.what+": "+err.Error())
		}
	}
	return leftovers
}

// isGone reports whether what was to be removed is not there any more. 400 is how R30 says that there
// is no such user, 401 that a client has removed itself.
func isGone(err error) bool {
	var refused *errStatus
	if !errors.As(err, &refused) {
		return false
	}
	switch refused.status {
	case http.StatusNotFound, http.StatusBadRequest, http.StatusGone:
		return true
	case http.StatusUnauthorized:
		return strings.HasPrefix(refused.path, "/oauth2/")
	}
	return false
}
