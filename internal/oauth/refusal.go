// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strings"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

// refusalBody is an error response in the protocol's format (RFC 6749, section 5.2) or in Coder's,
// which the server uses for some failures of these endpoints too (contract A.2).
type refusalBody struct {
	Code        string `json:"error"`
	Description string `json:"error_description"`
	Message     string `json:"message"`
}

// codeShape matches error codes. Anything else is free text.
var codeShape = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)

// kinds maps error codes to kinds (RFC 6749, sections 4.1.2.1 and 5.2). Other codes mean
// InvalidRequest.
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

// Refused returns the error of a failed authorization, from the parameters error and
// error_description of the callback (RFC 6749, section 4.1.2.1). Any client can send these, so they
// are redacted and shortened.
func Refused(code, description string) *Error {
	e := &Error{Op: OpAuthorize, Kind: kindOfCode(code), Description: coder.Clean(description)}
	if e.Kind == Unavailable {
		e.Description = trouble
	}
	if codeShape.MatchString(code) {
		e.Code = code
	}
	return e
}

// trouble is the description of the server's own trouble. Its text is not quoted, because it may
// hold a password of the server (contract A.9, B123).
const trouble = "internal error of the server"

// failureError returns the error of a request without a complete response. Only the *coder.Error in
// err is kept, because the rest may contain URLs and bodies.
func (c *roundTripRecorder) failureError(err error) *Error {
	var cause *coder.Error
	if !errors.As(err, &cause) {
		return invalidRequest(c.op, "the request cannot be made")
	}
	e := &Error{Kind: Connection, Op: c.op, Description: cause.Message, RetryAfter: cause.RetryAfter, cause: cause}
	switch {
	case cause.Kind.Transient():
		e.Kind = Unavailable
		e.Lost = mayHaveSucceeded(cause)
	case cause.Kind == coder.Malformed:
		e.Kind = Malformed
		e.Lost = mayHaveSucceeded(cause)
	case cause.Kind == coder.Invalid:
		e.Kind = InvalidRequest
	}
	return e
}

// mayHaveSucceeded reports whether the server may have carried out a request whose response did not
// arrive as a whole. An HTTP error says that it has not, even if its body was cut off (B128).
func mayHaveSucceeded(cause *coder.Error) bool {
	return cause.Sent && cause.Kind != coder.RateLimited && cause.Status < http.StatusMultipleChoices
}

// refusalError returns the error for a response that reports a failure.
func (c *roundTripRecorder) refusalError() *Error {
	body := redactBody(c.hidden, c.answer.body)
	var said refusalBody
	_ = json.Unmarshal(body, &said) // undecodable fields stay empty
	cause := c.client.Refusal(c.op, c.answer.Response, body)
	e := &Error{Op: c.op, Description: cause.Message}
	if codeShape.MatchString(said.Code) {
		e.Code, e.Description = said.Code, coder.Clean(said.Description)
		if cause.Kind == coder.Unavailable || kindOfCode(e.Code) == Unavailable && cause.Kind != coder.RateLimited {
			e.Description = trouble
		}
		cause.Message = e.Description
	}
	switch {
	case cause.Kind.Transient(): // regardless of the code: the server uses both formats here (C.7)
		e.Kind, e.RetryAfter, e.cause = Unavailable, cause.RetryAfter, cause
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

const disabled = "the server has no OAuth2 provider, or it is off: set CODER_OAUTH2_PROVIDER_ENABLE there " +
	"(before 2.38: the experiment oauth2)"

// experiment is named in the 403 of a server before 2.38 whose provider is off (contract C.1).
const experiment = "oauth2"

// kindOfAnswer returns the kind of an error response that is not in the protocol's format; coders
// says whether it is in Coder's.
func kindOfAnswer(cause *coder.Error, coders bool) Kind {
	switch {
	case coders && cause.Status == http.StatusNotFound: // contract C.1; a 404 of a proxy is not conclusive
		return Disabled
	case coders && cause.Kind == coder.Forbidden && strings.Contains(cause.Message, experiment):
		return Disabled
	case cause.Kind == coder.Malformed:
		return Malformed
	case cause.Kind == coder.Invalid:
		return InvalidRequest
	}
	return Connection
}

// unreadableError returns the error of a successful response with unexpected contents. wrong must
// not quote the body.
func (c *roundTripRecorder) unreadableError(wrong string) *Error {
	cause := c.client.Unreadable(c.op, c.answer.Response, c.answer.body, wrong)
	return &Error{Kind: Malformed, Op: c.op, Description: cause.Message, Lost: true, cause: cause}
}
