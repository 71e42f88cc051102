// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Error codes of the protocol (contract C.4 to C.9).
const (
	oauthInvalidRequest   = "invalid_request"
	oauthInvalidClient    = "invalid_client"
	oauthInvalidClientID  = "invalid_client_id"
	oauthInvalidGrant     = "invalid_grant"
	oauthInvalidScope     = "invalid_scope"
	oauthInvalidTarget    = "invalid_target"
	oauthInvalidToken     = "invalid_token"
	oauthInvalidMetadata  = "invalid_client_metadata"
	oauthUnsupportedGrant = "unsupported_grant_type"
	oauthUnsupportedType  = "unsupported_response_type"
	oauthAccessDenied     = "access_denied"
	oauthServerError      = "server_error"
	oauthUnavailable      = "temporarily_unavailable"
)

// oauthErrorJSON is the protocol's error body (A.2).
type oauthErrorJSON struct {
	Error       string `json:"error"`
	Description string `json:"error_description,omitempty"`
}

// oauthProblem is an error of the protocol, wherever it will be shown: in a body, on a page, or by
// redirect.
type oauthProblem struct {
	status      int
	code        string
	description string
}

func (p oauthProblem) toReply() reply { return oauthFailure(p.status, p.code, p.description) }

func oauthFailure(status int, code, description string) reply {
	return jsonReply(status, oauthErrorJSON{Error: code, Description: description})
}

func badOAuthRequest(format string, args ...any) *reply {
	rp := oauthFailure(http.StatusBadRequest, oauthInvalidRequest, fmt.Sprintf(format, args...))
	return &rp
}

func badGrant(description string) reply {
	return oauthFailure(http.StatusBadRequest, oauthInvalidGrant, description)
}

// oauthInternal answers an internal error of the server. R30 and MID use the Coder error shape (C.7).
func (c *call) oauthInternal(err error) reply {
	if !c.opts.isNew() {
		return errorReply(http.StatusInternalServerError, "internal error", err.Error())
	}
	return oauthFailure(http.StatusInternalServerError, oauthServerError, "internal error")
}

// invalidClient is the 401 of C.7.
func (c *call) invalidClient(description string) *reply {
	rp := oauthFailure(http.StatusUnauthorized, oauthInvalidClient, description)
	rp = rp.withHeader("WWW-Authenticate", `Basic realm="coder"`)
	return &rp
}

// bodyFailure has the protocol's shape on the protocol's paths: 413 invalid_request naming the
// limit (C.7).
func (c *call) bodyFailure(err error) reply {
	if !oauthPath(c.request.URL.Path) {
		return bodyFailure(err)
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return oauthFailure(http.StatusRequestEntityTooLarge, oauthInvalidRequest,
			fmt.Sprintf("request body is larger than %d bytes", tooLarge.Limit))
	}
	return *badOAuthRequest("request body cannot be read")
}

// faultBody is the error of an injected fault in the shape that the path has (A.2): on the
// protocol's paths the message is the error code and the detail its description, but 429 and 5xx of
// R30 and MID are Coder errors there as well.
func (s *Server) faultBody(path string, status int, message, detail string) reply {
	coderShape := !s.currentOptions().isNew() &&
		(status == http.StatusTooManyRequests || status >= http.StatusInternalServerError)
	if !oauthPath(path) || coderShape {
		return errorReply(status, message, detail)
	}
	if strings.Contains(message, " ") { // a text for people, not a code
		message, detail = oauthCodeOf(status), message
	}
	if status == http.StatusTooManyRequests {
		return busyReply(detail)
	}
	return oauthFailure(status, message, detail)
}

// busyReply is NEW's 429, which has the fields of both error shapes (A.7).
func busyReply(description string) reply {
	return jsonReply(http.StatusTooManyRequests, struct {
		oauthErrorJSON
		Message string `json:"message"`
	}{oauthErrorJSON{Error: oauthUnavailable, Description: description}, description})
}

func oauthCodeOf(status int) string {
	switch {
	case status == http.StatusTooManyRequests:
		return oauthUnavailable
	case status == http.StatusUnauthorized:
		return oauthInvalidClient
	case status >= http.StatusInternalServerError:
		return oauthServerError
	default:
		return oauthInvalidRequest
	}
}
