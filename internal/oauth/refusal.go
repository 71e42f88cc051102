// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"encoding/json"
	"errors"
	"net/http"
	"regexp"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

// refusalBody is an error answer in the protocol's shape (RFC 6749, section 5.2) or in Coder's, which the server uses for some
// failures of these endpoints too (contract A.2).
type refusalBody struct {
	Code        string `json:"error"`
	Description string `json:"error_description"`
	Message     string `json:"message"`
}

// codeShape is what codes are taken for: anything else is somebody's prose.
var codeShape = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)

// kinds of the codes that say more than that the request is refused. RFC 6749, sections 4.1.2.1 and 5.2.
var kinds = map[string]Kind{
	"invalid_grant":           InvalidGrant,
	"invalid_client":          InvalidClient,
	"invalid_scope":           InvalidScope,
	"access_denied":           AccessDenied,
	"server_error":            Unavailable,
	"temporarily_unavailable": Unavailable,
}

func kindOfCode(code string) Kind {
	if kind, ok := kinds[code]; ok {
		return kind
	}
	return InvalidRequest
}

// Refused returns the error that an authorization ended with, from the parameters error and error_description of the callback
// (RFC 6749, section 4.1.2.1). They come from whoever called, so that all of them is cleaned.
func Refused(code, description string) *Error {
	e := &Error{Op: OpAuthorize, Kind: kindOfCode(code), Description: coder.Clean(description)}
	if codeShape.MatchString(code) {
		e.Code = code
	}
	return e
}

// failure is the error of a request that got no whole answer. What err says besides its *coder.Error is not kept: URLs and
// bodies stand in it.
func (c *roundTripRecorder) failure(err error) *Error {
	var cause *coder.Error
	if !errors.As(err, &cause) {
		return invalid(c.op, "the request cannot be made")
	}
	e := &Error{Kind: Connection, Op: c.op, Description: cause.Message, RetryAfter: cause.RetryAfter, cause: cause}
	switch {
	case cause.Kind.Transient():
		e.Kind = Unavailable
		e.Lost = cause.Sent && cause.Kind != coder.RateLimited
	case cause.Kind == coder.Malformed:
		e.Kind = Malformed
		e.Lost = cause.Sent
	case cause.Kind == coder.Invalid:
		e.Kind = InvalidRequest
	}
	return e
}

// refusal is the error of the answer, which is no success, or is one that says that it is none.
func (c *roundTripRecorder) refusal() *Error {
	body := c.hidden.hide(c.answer.body)
	var said refusalBody
	_ = json.Unmarshal(body, &said) // what cannot be decoded stays empty
	cause := c.client.Refusal(c.op, c.answer.Response, body)
	e := &Error{Op: c.op, Description: cause.Message}
	if codeShape.MatchString(said.Code) {
		e.Code, e.Description = said.Code, coder.Clean(said.Description)
		cause.Message = e.Description
	}
	switch {
	case cause.Kind.Transient(): // whatever the code is: the contract has both shapes here (C.7)
		e.Kind, e.RetryAfter, e.cause = Unavailable, cause.RetryAfter, cause
		e.Lost = cause.Kind != coder.RateLimited
	case e.Code != "":
		e.Kind = kindOfCode(e.Code)
		if e.Kind == Unavailable {
			cause.Kind = coder.Unavailable
			e.cause = cause
		}
	default:
		e.Kind, e.cause = kindOfAnswer(cause, said.Message != ""), cause
		if e.Kind == Disabled {
			e.Description = disabled
		}
	}
	return e
}

const disabled = "the deployment has no OAuth2 provider, or it is off (CODER_OAUTH2_PROVIDER_ENABLE, on older servers the experiment oauth2)"

// kindOfAnswer is the kind of a refusal that has not the protocol's shape; coders is whether it has Coder's.
func kindOfAnswer(cause *coder.Error, coders bool) Kind {
	switch {
	case coders && cause.Status == http.StatusNotFound: // contract C.1; a proxy's 404 says nothing
		return Disabled
	case cause.Kind == coder.Malformed:
		return Malformed
	case cause.Kind == coder.Invalid:
		return InvalidRequest
	}
	return Connection
}

// unreadable is the error of a success that cannot be what was asked for. wrong quotes nothing of it.
func (c *roundTripRecorder) unreadable(wrong string) *Error {
	cause := coder.Unreadable(c.op, c.answer.Response, c.answer.body, wrong)
	return &Error{Kind: Malformed, Op: c.op, Description: cause.Message, Lost: true, cause: cause}
}
