// SPDX-License-Identifier: Apache-2.0

package coder

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Texts for answers whose own text is not quoted.
const (
	htmlAnswer    = "HTML answer from a proxy"
	foreignAnswer = "the answer is not in Coder's format"
)

// Limits of Error.RetryAfter. The length of the server's own window is the default (contract A.7).
const (
	defaultRetryAfter = time.Minute
	minRetryAfter     = time.Second
	maxRetryAfter     = time.Hour
)

// errorBody is Coder's error response (contract A.2).
type errorBody struct {
	Message     string `json:"message"`
	Detail      string `json:"detail"`
	Validations []struct {
		Field  string `json:"field"`
		Detail string `json:"detail"`
	} `json:"validations"`
}

// newRefusal turns an unsuccessful response into an error. now is used if the response has no date.
func (c *Client) newRefusal(op string, resp *http.Response, body []byte, now time.Time) *Error {
	var answer errorBody
	coders := json.Unmarshal(body, &answer) == nil && answer.Message != ""
	e := &Error{Op: op, Status: resp.StatusCode, Kind: answerKind(resp, body, answer, coders)}
	if coders {
		if (e.Kind == KeyExpired || e.Kind == KeyUnknown) && answer.Detail != "" {
			// The message is that of the sign-in page, and the same for all keys (contract A.5).
			answer.Message, answer.Detail = strings.TrimSuffix(strings.TrimSpace(answer.Detail), "."), ""
		}
		e.Message, e.Field = c.summarizeError(answer, e.aboutToken())
	} else {
		e.Message = c.foreignMessage(e.Kind, resp.Header, body)
	}
	switch e.Kind {
	case Redirected:
		if resp.Header.Get("Location") == "" {
			e.Kind = Malformed
			break
		}
		e.Location, e.Moved = c.redirectTarget(resp)
		e.Message = "redirected to " + e.Location
	case RateLimited:
		e.RetryAfter = retryAfter(resp.Header, now, defaultRetryAfter)
	case Unavailable:
		e.RetryAfter = retryAfter(resp.Header, now, 0)
	default: // no further distinction
	}
	return e
}

// answerKind returns the kind of an unsuccessful response. coders says whether the body is in Coder's
// format.
func answerKind(resp *http.Response, body []byte, answer errorBody, coders bool) Kind {
	if !coders && isFromEdge(resp.Header, body) {
		if kind := edgeKind(resp.StatusCode, body); kind != "" {
			return kind
		}
	}
	kind := statusKind(resp.StatusCode, answer, coders)
	if coders && isGateway(kind, resp.Header) {
		return EdgeRefused
	}
	return kind
}

// foreignMessage returns the message for an answer that is not in Coder's format.
func (c *Client) foreignMessage(kind Kind, header http.Header, body []byte) string {
	switch {
	case isHTML(header, body):
		return c.describePage(body)
	case kind == Unavailable && len(body) > 0:
		return foreignAnswer
	}
	return c.cleanText(string(body))
}

// versionHeader is in every answer of Coder (contract A.8).
const versionHeader = "X-Coder-Build-Version"

// isFromEdge reports whether an answer that is not in Coder's error format comes from something in
// front of Coder: it has neither Coder's header nor the format of an OAuth2 error (contract J).
func isFromEdge(header http.Header, body []byte) bool {
	var protocol struct {
		Error string `json:"error"`
	}
	return header.Get(versionHeader) == "" && (json.Unmarshal(body, &protocol) != nil || protocol.Error == "")
}

// isGateway reports whether a refusal in Coder's error format comes from an API gateway, whose errors
// have a message too: it has neither Coder's header nor one of the texts that tell Coder's 401
// responses apart.
func isGateway(kind Kind, header http.Header) bool {
	return (kind == Unauthorized || kind == Forbidden) && header.Get(versionHeader) == ""
}

// Titles of nginx's pages for a client certificate that is missing or refused (contract J). Their
// status is 400, although the TLS handshake has succeeded.
var (
	missingCertificate = []byte("No required SSL certificate was sent")
	refusedCertificate = []byte("The SSL certificate error")
)

// plainRequest matches what servers answer with 400 if a port that speaks https gets an http
// request: nginx, Go's server, which Coder uses, and Apache.
var plainRequest = regexp.MustCompile(`(?i)plain HTTP request was sent to HTTPS port` +
	`|sent an HTTP request to an HTTPS server|speaking plain HTTP to an SSL-enabled server port`)

// edgeKind returns the kind of an answer of an edge, or "" if its status says it all.
func edgeKind(status int, body []byte) Kind {
	switch {
	case status < 400, status >= 500, status == http.StatusNotFound, status == http.StatusRequestTimeout,
		status == http.StatusTooManyRequests:
		return ""
	case status != http.StatusBadRequest:
		return EdgeRefused
	case bytes.Contains(body, missingCertificate):
		return ClientCertificateRequired
	case bytes.Contains(body, refusedCertificate):
		return ClientCertificateRejected
	case plainRequest.Match(body):
		return SpeaksHTTPS
	}
	return EdgeRefused
}

// statusKind returns the kind for a status. coders says whether the body is in Coder's format.
func statusKind(status int, answer errorBody, coders bool) Kind {
	switch status {
	case http.StatusUnauthorized:
		return unauthorizedKind(answer)
	case http.StatusForbidden:
		return Forbidden
	case http.StatusNotFound:
		// An unknown route means a wrong server or version, and must not be mistaken for a deleted
		// object.
		if !coders || routeMissing.MatchString(answer.Message) {
			return Malformed
		}
		return NotFound
	case http.StatusConflict:
		return Conflict
	case http.StatusTooManyRequests:
		return RateLimited
	case http.StatusRequestTimeout:
		return Unavailable
	}
	switch {
	case status >= 500:
		return Unavailable
	case status < 400:
		return Redirected
	case strings.Contains(strings.ToLower(answer.Message), noSuchUser):
		return NotFound
	}
	return Invalid
}

// noSuchUser is the text of a 400 if the user in the path does not exist (contract A.6).
const noSuchUser = "existing uuid or username"

var routeMissing = regexp.MustCompile(`(?i)^route not found\b`)

// Texts that distinguish the server's 401 responses (contract A.5). The message is usually the same
// and always mentions expiry, as does WWW-Authenticate, so only the detail is used. It may also
// contain texts of login providers, so the patterns of the server's own texts are anchored.
var (
	suspendedUser = regexp.MustCompile(`(?i)status\s*=\s*"?suspended"?`)
	expiredKey    = regexp.MustCompile(`(?i)api key expired`)
	unknownKey    = regexp.MustCompile(
		`(?i)^\s*(?:invalid api key format|(?:the )?(?:api key|secret)\b.{0,60}?\binvalid\b)`)
)

// Texts of a 401 that is trouble of the server: before 2.32 everything that goes wrong while the key
// or its user is fetched is one, and it says nothing about the key (contract A.5, B121).
const (
	internalError  = "internal error occurred"
	errorsFetching = "internal error fetching"
)

func isInternalError(answer errorBody) bool {
	return strings.Contains(strings.ToLower(answer.Message), internalError) ||
		strings.HasPrefix(strings.ToLower(answer.Detail), errorsFetching)
}

func unauthorizedKind(answer errorBody) Kind {
	switch {
	case isInternalError(answer):
		return Unavailable
	case suspendedUser.MatchString(answer.Message):
		return UserSuspended
	case expiredKey.MatchString(answer.Detail):
		return KeyExpired
	case unknownKey.MatchString(answer.Detail):
		return KeyUnknown
	}
	return Unauthorized
}

// tokenOperations are those whose refusals are about the token that they name.
var tokenOperations = []string{
	OpMintToken, OpToken, OpTokenByName, OpTokens, OpMaxTokenLifetime, OpDeleteToken,
}

// aboutToken reports whether the server's detail is about a token, and may be quoted (B123). That of
// trouble is the raw error of a driver, which may hold a password (contract A.9), and that of a 401
// may have a login provider's words in it.
func (e *Error) aboutToken() bool {
	switch e.Kind {
	case KeyExpired, KeyUnknown:
		return true
	case Unavailable, RateLimited, Unauthorized, UserSuspended, EdgeRefused:
		return false
	default:
		return slices.Contains(tokenOperations, e.Op)
	}
}

// summarizeError returns an error response as one line, with its detail if that may be quoted, and
// the first invalid field.
func (c *Client) summarizeError(answer errorBody, withDetail bool) (message, field string) {
	text := answer.Message
	if withDetail && answer.Detail != "" {
		text += ": " + answer.Detail
	}
	if withDetail && len(answer.Validations) > 0 {
		first := answer.Validations[0]
		text += " (" + first.Field + ": " + first.Detail + ")"
		field = c.cleanText(first.Field)
	}
	return c.cleanText(text), field
}

// isHTML reports whether a response is an HTML page, which no part of the API sends.
func isHTML(h http.Header, body []byte) bool {
	return strings.Contains(strings.ToLower(h.Get("Content-Type")), "html") ||
		bytes.HasPrefix(bytes.TrimSpace(body), []byte("<"))
}

// pageTitle matches the title of an HTML page.
var pageTitle = regexp.MustCompile(`(?is)<title[^>]*>([^<]*)</title>`)

// maxTitle is the maximum length of a title in a message, in runes.
const maxTitle = 80

// describePage returns the message for an HTML page: its title, if there is one.
func (c *Client) describePage(body []byte) string {
	match := pageTitle.FindSubmatch(body)
	if match == nil {
		return htmlAnswer
	}
	title := []rune(c.cleanText(html.UnescapeString(string(match[1]))))
	if len(title) == 0 {
		return htmlAnswer
	}
	return fmt.Sprintf("%s, %q", htmlAnswer, string(title[:min(len(title), maxTitle)]))
}

// redirectTarget returns scheme and host of a redirect's target, and whether the API is there. The
// rest of the target may contain credentials.
func (c *Client) redirectTarget(resp *http.Response) (origin string, moved bool) {
	target, err := url.Parse(resp.Header.Get("Location"))
	if err != nil {
		return "an invalid location", false
	}
	if resp.Request != nil && resp.Request.URL != nil {
		from := resp.Request.URL
		target = from.ResolveReference(target)
		elsewhere := target.Scheme != from.Scheme || target.Host != from.Host
		moved = elsewhere && (target.Path == from.Path || strings.Trim(target.Path, "/")+target.RawQuery == "")
	}
	at := url.URL{Scheme: target.Scheme, Host: target.Host}
	return c.cleanText(at.String()), moved
}

// retryAfter parses seconds or a date (RFC 9110, section 10.2.3). A date is compared with the
// response's own date, so that local clock skew has no effect.
func retryAfter(h http.Header, now time.Time, fallback time.Duration) time.Duration {
	value := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(value, 10, 32); err == nil {
		return min(max(time.Duration(seconds)*time.Second, minRetryAfter), maxRetryAfter)
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return fallback
	}
	if server := dateOf(h); !server.IsZero() {
		now = server
	}
	return min(max(date.Sub(now), minRetryAfter), maxRetryAfter)
}
