// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"errors"
	"regexp"

	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// otherServer is a second Coder server behind the same authorities.
type otherServer struct {
	coder    *coderd.Server
	listener *coderd.Listener
}

// newServerOf starts a second Coder server that knows the same users and the same
// operator's token by name only, and writes a token of its own for the operator
// into the Secret "token-of-other".
func newServerOf(w *operatorEnv) *otherServer {
	w.T.Helper()
	other := &otherServer{coder: coderd.New(coderd.Options{DisableRateLimits: true})}
	for _, user := range []coderd.UserOptions{{Username: "operator", Roles: []string{"owner"}}, {Username: "ci-bot"}} {
		_, err := other.coder.CreateUser(user)
		w.Must(err)
	}
	value, _, err := other.coder.CreateToken(coderd.TokenOptions{User: "operator"})
	w.Must(err)
	w.sentinels = append(w.sentinels, value)
	w.WriteSecret("token-of-other", map[string]string{"token": value})
	other.listener, err = other.coder.Start(coderd.ListenOptions{Edge: w.listener.Edge()})
	w.Must(err)
	w.T.Cleanup(func() { _ = other.listener.Close() })
	return other
}

var port = regexp.MustCompile(`(127\.0\.0\.1):\d+`)

func hostWithoutPort(text string) string { return port.ReplaceAllString(text, "$1") }

func tokenFor(user string) coderd.TokenOptions { return coderd.TokenOptions{User: user} }

func askedAgain(s *otherServer) error {
	if s.coder.Count("GET", "/api/v2/buildinfo") == 0 {
		return errors.New("the server was not asked again yet")
	}
	return nil
}
