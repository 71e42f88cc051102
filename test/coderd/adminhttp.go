// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// adminBodyLimit bounds the bodies that the administration port reads.
const adminBodyLimit = 1 << 20

// admin serves the administration methods over HTTP, for demonstrations and tests in other
// processes.
type admin struct {
	server   *Server
	listener *Listener
}

// AdminHandler serves the administration of the server and of one listener's edge, over HTTP with
// JSON bodies. It does not authenticate its callers: bind it to loopback only. The values of
// tokens, client secrets and authorization codes appear only in the answer that creates them, and
// in the request that asks whether a token is accepted. Paths ({user} is an id, username or
// e-mail):
//
//	GET, POST          /users               UserOptions, answers User
//	DELETE             /users/{user}
//	PUT                /users/{user}/roles  ["owner"]
//	PUT                /users/{user}/status {"status": "suspended"}
//	PUT                /users/{user}/upstream {"alive": false}
//	GET, POST          /tokens              ?user=&prefix=&live=; POST answers value and key
//	DELETE             /tokens/{id}
//	POST               /accepts-token       {"token": "..."} -> {"accepted": true}
//	GET, POST          /workspaces          {"owner": "ada", "name": "dev"}
//	DELETE             /workspaces/{owner}/{name}
//	POST               /workspaces/{owner}/{name}/builds {"transition": "start"}, or "stop"
//	PUT                /workspaces/{owner}/{name}/dormant {"dormant": true}
//	GET, DELETE        /streams             the open streams; DELETE cuts them
//	PUT                /oauth               {"enabled": true, "dynamic_registration": true}
//	GET, POST          /oauth/apps          {"name": "ci", "redirect_uris": ["https://..."]},
//	                                        answers app and client_secret
//	DELETE             /oauth/apps/{client}
//	GET                /oauth/grants        ?user=&client=
//	DELETE             /oauth/grants/{client}/{user}
//	POST               /oauth/approve       {"user": "ada", "url": "<authorization URL>"}
//	                                        -> {"location": "<callback URL>"}
//	GET, POST, DELETE  /faults              a fault, answers its id; DELETE disarms all
//	DELETE             /faults/{id}         disarms one and releases its gate
//	POST               /faults/{id}/release releases its gate only
//	GET, DELETE        /requests            the log
//	GET                /count               ?method=&route= -> {"count": 3}
//	GET, PUT           /clock               {"offset": "5m"}
//	PUT                /options             {"profile": "R30", "api_rate_limit": 512, ...}
//	PUT                /edge                see edgeJSON
//	PUT                /outage              {"down": true}
//
// PUT /oauth, /options and /edge change only the fields that they name. Durations are Go duration
// strings. Errors are {"message": "..."}.
func (s *Server) AdminHandler(listener *Listener) http.Handler {
	a := &admin{server: s, listener: listener}
	mux := http.NewServeMux()
	for pattern, handle := range map[string]func(*http.Request) (any, error){
		"GET /users":                 a.listUsers,
		"POST /users":                a.createUser,
		"DELETE /users/{user}":       a.deleteUser,
		"PUT /users/{user}/roles":    a.setRoles,
		"PUT /users/{user}/status":   a.setStatus,
		"PUT /users/{user}/upstream": a.setUpstream,
		"GET /tokens":                a.listTokens,
		"POST /tokens":               a.createToken,
		"DELETE /tokens/{id}":        a.revokeToken,
		"POST /accepts-token":        a.acceptsToken,
		"GET /faults":                a.listFaults,
		"POST /faults":               a.injectFault,
		"DELETE /faults":             a.clearFaults,
		"DELETE /faults/{id}":        a.disarmFault,
		"POST /faults/{id}/release":  a.releaseGate,
		"GET /requests":              a.listRequests,
		"DELETE /requests":           a.resetLog,
		"GET /count":                 a.countRequests,
		"GET /clock":                 a.getClock,
		"PUT /clock":                 a.setClock,
		"PUT /options":               a.setOptions,
		"PUT /edge":                  a.setEdge,
		"PUT /outage":                a.setOutage,

		"GET /workspaces":                        a.listWorkspaces,
		"POST /workspaces":                       a.createWorkspace,
		"DELETE /workspaces/{owner}/{name}":      a.deleteWorkspace,
		"POST /workspaces/{owner}/{name}/builds": a.buildWorkspace,
		"PUT /workspaces/{owner}/{name}/dormant": a.setDormant,
		"GET /streams":                           a.listStreams,
		"DELETE /streams":                        a.cutStreams,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { serveAdmin(w, r, handle) })
	}
	for pattern, handle := range a.oauthPaths() {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { serveAdmin(w, r, handle) })
	}
	return mux
}

func serveAdmin(w http.ResponseWriter, r *http.Request, handle func(*http.Request) (any, error)) {
	r.Body = http.MaxBytesReader(w, r.Body, adminBodyLimit)
	out, err := handle(r)
	switch {
	case err == nil && out == nil:
		noContent().writeTo(w)
	case err == nil:
		jsonReply(http.StatusOK, out).writeTo(w)
	case errors.Is(err, ErrUserNotFound), errors.Is(err, ErrKeyNotFound), errors.Is(err, ErrWorkspaceNotFound),
		errors.Is(err, ErrAppNotFound), errors.Is(err, ErrGrantNotFound), errors.Is(err, errNoFault):
		errorReply(http.StatusNotFound, err.Error(), "").writeTo(w)
	case errors.Is(err, ErrConflict):
		errorReply(http.StatusConflict, err.Error(), "").writeTo(w)
	default:
		errorReply(http.StatusBadRequest, err.Error(), "").writeTo(w)
	}
}

// readJSON is strict, unlike the API: a misspelt field is an error.
func readJSON[T any](r *http.Request) (T, error) {
	var v T
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&v); err != nil {
		return v, fmt.Errorf("decoding the body: %w", err)
	}
	return v, nil
}

// jsonDuration is a Go duration string in JSON, such as "1h30m".
type jsonDuration time.Duration

// UnmarshalText reads a duration.
func (d *jsonDuration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = jsonDuration(parsed)
	return err
}

// MarshalText writes a duration.
func (d jsonDuration) MarshalText() ([]byte, error) {
	return []byte(time.Duration(d).String()), nil
}

func (a *admin) listRequests(*http.Request) (any, error) { return a.server.Requests(), nil }

func (a *admin) resetLog(*http.Request) (any, error) {
	a.server.ResetLog()
	return nil, nil
}

func (a *admin) countRequests(r *http.Request) (any, error) {
	query := r.URL.Query()
	return map[string]int{"count": a.server.Count(query.Get("method"), query.Get("route"))}, nil
}

type clockJSON struct {
	Offset jsonDuration `json:"offset"`
	Now    *time.Time   `json:"now,omitempty"` // answers only
}

func (a *admin) getClock(*http.Request) (any, error) {
	now := a.server.Now()
	return clockJSON{Offset: jsonDuration(a.server.ClockOffset()), Now: &now}, nil
}

func (a *admin) setClock(r *http.Request) (any, error) {
	in, err := readJSON[clockJSON](r)
	if err == nil {
		a.server.SetClockOffset(time.Duration(in.Offset))
	}
	return nil, err
}

var errNoFault = errors.New("no such fault")

// pathFault finds the fault of {id}.
func (a *admin) pathFault(r *http.Request) (armedFault, error) {
	id, err := strconv.Atoi(r.PathValue("id"))
	if err != nil {
		return armedFault{}, errNoFault
	}
	for _, f := range a.server.faults.listFaults() {
		if f.id == id {
			return f, nil
		}
	}
	return armedFault{}, errNoFault
}
