// SPDX-License-Identifier: Apache-2.0

package coder_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	testclock "k8s.io/utils/clock/testing"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

const signedOut = "You are signed out or your session has expired."

// ofCoder is the header that every answer of Coder has (contract A.8).
const ofCoder = "X-Coder-Build-Version: v2"

func signedOutBody(detail string) string {
	return fmt.Sprintf(`{"message":%q,"detail":%q}`, signedOut, detail)
}

func TestAnswersAreClassified(t *testing.T) {
	t.Parallel()
	const html = "<!DOCTYPE html><html><body>S3NT1NEL</body></html>"
	tests := map[string]struct {
		handler http.HandlerFunc
		want    coder.Kind
	}{
		"no token": {
			respondWith(401, signedOutBody("Cookie or query parameter \"coder_session_token\" must be provided."), ofCoder),
			coder.Unauthorized},
		"bad shape": {respondWith(401, signedOutBody("Invalid API key format: expected 2 parts, got 1")),
			coder.KeyUnknown},
		"deleted key":           {respondWith(401, signedOutBody("API key is invalid.")), coder.KeyUnknown},
		"wrong secret":          {respondWith(401, signedOutBody("API key secret is invalid.")), coder.KeyUnknown},
		"wrong secret, shorter": {respondWith(401, signedOutBody("The secret is invalid")), coder.KeyUnknown},
		"expired": {respondWith(401, signedOutBody(`API key expired at "2026-02-20 10:00:00 +0000 UTC".`)),
			coder.KeyExpired},
		"suspended": {
			respondWith(401, `{"message":"User is not active (status = \"suspended\"). Contact an admin."}`),
			coder.UserSuspended},
		"provider": {respondWith(401, signedOutBody(`oauth2: "invalid_client" The client secret is invalid`), ofCoder),
			coder.Unauthorized},
		"provider says expired": {respondWith(401, signedOutBody("token expired and refresh token is not set"), ofCoder),
			coder.Unauthorized},
		// B121
		"internal error in the message": {
			respondWith(401, `{"message":"An internal error occurred. Try again.","detail":"boom"}`), coder.Unavailable},
		"internal error in the detail": {
			respondWith(401, signedOutBody("Internal error fetching user's roles: boom")), coder.Unavailable},
		"another internal error": {respondWith(401, `{"message":"Internal error.","detail":"boom"}`, ofCoder),
			coder.Unauthorized},
		// B122
		"edge refuses":         {respondWith(401, html, "Content-Type: text/html"), coder.EdgeRefused},
		"edge forbids":         {respondWith(403, html, "Content-Type: text/html"), coder.EdgeRefused},
		"edge forbids in JSON": {respondWith(403, `{"status":"denied"}`), coder.EdgeRefused},
		"gateway refuses":      {respondWith(401, `{"message":"No API key found in request"}`), coder.EdgeRefused},
		"gateway forbids":      {respondWith(403, `{"message":"Forbidden"}`), coder.EdgeRefused},
		"edge limits headers":  {respondWith(400, nginxPage("Request Header Or Cookie Too Large")), coder.EdgeRefused},
		"edge limits bodies":   {respondWith(413, html, "Content-Type: text/html"), coder.EdgeRefused},
		"edge limits URLs":     {respondWith(414, html, "Content-Type: text/html"), coder.EdgeRefused},
		"edge limits methods":  {respondWith(405, "", "Allow: GET"), coder.EdgeRefused},
		"edge limits requests": {respondWith(429, html, "Content-Type: text/html"), coder.RateLimited},
		"method not allowed":   {respondWith(405, "", "Allow: GET", ofCoder), coder.Invalid},
		"plain text of Coder": {respondWith(403, "unauthorized", "Content-Type: text/plain", ofCoder),
			coder.Forbidden},
		"OAuth error": {respondWith(401, `{"error":"invalid_token"}`), coder.Unauthorized},
		"nginx without a certificate": {respondWith(400, nginxPage("No required SSL certificate was sent"),
			"Content-Type: text/html", "Server: nginx"), coder.ClientCertificateRequired},
		"nginx with another certificate": {respondWith(400, nginxPage("The SSL certificate error"),
			"Content-Type: text/html"), coder.ClientCertificateRejected},
		"another page of nginx": {respondWith(400, nginxPage("Bad Request"), "Content-Type: text/html"), coder.EdgeRefused},
		"http to an https port of nginx": {
			respondWith(400, nginxPage("The plain HTTP request was sent to HTTPS port"), "Content-Type: text/html"),
			coder.SpeaksHTTPS},
		"http to an https port of Go": {respondWith(400, "Client sent an HTTP request to an HTTPS server.\n"),
			coder.SpeaksHTTPS},
		"a token of that name": {respondWith(400, `{"message":"The SSL certificate error"}`), coder.Invalid},
		"forbidden":            {respondWith(403, `{"message":"Forbidden."}`, ofCoder), coder.Forbidden},
		"missing": {
			respondWith(404, `{"message":"Resource not found or you do not have access to this resource"}`), coder.NotFound},
		// contract A.6
		"unknown user":       {respondWith(400, `{"message":"User must be an existing uuid or username."}`), coder.NotFound},
		"unknown route":      {respondWith(404, `{"message":"Route not found."}`), coder.Malformed},
		"page for 404":       {respondWith(404, html, "Content-Type: text/html"), coder.Malformed},
		"other JSON for 404": {respondWith(404, `{"error":"nope"}`), coder.Malformed},
		"conflict":           {respondWith(409, `{"message":"exists"}`), coder.Conflict},
		"bad request":        {respondWith(400, `{"message":"request not valid"}`), coder.Invalid},
		// contract A.7
		"bypass header":   {respondWith(428, "only owners", "Content-Type: text/plain", ofCoder), coder.Invalid},
		"too large":       {respondWith(413, `{"message":"too large"}`), coder.Invalid},
		"rate limited":    {respondWith(429, `{"message":"slow down"}`), coder.RateLimited},
		"request timeout": {respondWith(408, ""), coder.Unavailable},
		"server error":    {respondWith(500, `{"message":"boom"}`), coder.Unavailable},
		"bad gateway":     {respondWith(502, html, "Content-Type: text/html"), coder.Unavailable},
		"redirect": {respondWith(302, "", "Location: https://login.example.test/x?token=S3NT1NEL"),
			coder.Redirected},
		"redirect, same origin":  {respondWith(307, "", "Location: /login"), coder.Redirected},
		"redirect, bad location": {respondWith(302, "", "Location: http://[S3NT1NEL"), coder.Redirected},
		"redirect to nowhere":    {respondWith(304, ""), coder.Malformed},
		"page for 200":           {respondWith(200, html, "Content-Type: text/html"), coder.Malformed},
		"page, JSON by name":     {respondWith(200, html), coder.Malformed},
		"wrong shape":            {respondWith(200, `[]`), coder.Malformed},
		"null":                   {respondWith(200, `null`), coder.Malformed},
		"object of another API":  {respondWith(200, `{"hello":"world"}`), coder.Malformed},
		"empty":                  {respondWith(200, ``), coder.Malformed},
		"two values":             {respondWith(200, userJSON+userJSON), coder.Malformed},
		"too large an answer":    {respondWith(200, `{"id":"`+strings.Repeat("x", 2<<20)+`"}`), coder.Malformed}, // B93
		"cut off":                {cutOff, coder.Unavailable},
		"connection closed": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
			coder.Unavailable},
		"mismatch in authenticate": {respondWith(401, signedOutBody("API key is invalid."),
			`WWW-Authenticate: Bearer error_description="expired"`), coder.KeyUnknown},
		"a good answer is no error": {respondWith(200, userJSON), ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := startServer(t, tt.handler, withToken(sentinel)).User(t.Context(), "ada")
			if got := coder.KindOf(err); got != tt.want {
				t.Fatalf("kind %q, want %q: %v", got, tt.want, err)
			}
			if err != nil && strings.Contains(err.Error(), "S3NT1NEL") {
				t.Errorf("quotes the answer: %v", err)
			}
		})
	}
}

// nginxPage is a page of nginx.
func nginxPage(title string) string {
	return "<html>\r\n<head><title>400 " + title + "</title></head>\r\n<body>\r\n<center><h1>400 Bad Request</h1>" +
		"</center>\r\n<center>" + title + "</center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
}

func cutOff(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "1000")
	_, _ = w.Write([]byte(`{"id":`))
}

func TestBodiesAreReadWithALimit(t *testing.T) { // B93
	t.Parallel()
	// It is valid JSON and only too large.
	body := userJSON + strings.Repeat(" ", 2<<20)
	_, err := startServer(t, respondWith(200, body)).Me(t.Context())
	if coder.KindOf(err) != coder.Malformed || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("got %v", err)
	}
	list := "[" + keyJSON + strings.Repeat(","+keyJSON, 5000) + "]"
	got, err := startServer(t, respondWith(200, list)).Tokens(t.Context(), coder.TokenFilter{})
	if len(got.Tokens) != 5001 || err != nil {
		t.Errorf("a long list: %d tokens, %v", len(got.Tokens), err)
	}
}

func TestKindsHaveAClass(t *testing.T) {
	t.Parallel()
	classes := map[coder.Kind]struct{ auth, transient bool }{
		coder.Unauthorized: {auth: true}, coder.UserSuspended: {auth: true}, coder.KeyExpired: {auth: true},
		coder.KeyUnknown:                {auth: true},
		coder.ClientCertificateRejected: {auth: true}, coder.ClientCertificateRefused: {auth: true},
		coder.ClientCertificateRequired: {auth: true},
		coder.RateLimited:               {transient: true}, coder.Unavailable: {transient: true},
		coder.Canceled:  {transient: true},
		coder.Forbidden: {}, coder.NotFound: {}, coder.Conflict: {}, coder.Invalid: {}, coder.Malformed: {},
		coder.Redirected: {}, coder.EdgeRefused: {},
		coder.ServerCertificateUntrusted: {}, "": {},
	}
	for kind, want := range classes {
		if kind.Auth() != want.auth || kind.Transient() != want.transient {
			t.Errorf("%q: auth %v, transient %v", kind, kind.Auth(), kind.Transient())
		}
	}
}

func TestKindOfLooksThroughWrapping(t *testing.T) {
	t.Parallel()
	inner := &coder.Error{Kind: coder.Conflict}
	if got := coder.KindOf(fmt.Errorf("minting: %w", errors.Join(errors.New("x"), inner))); got != coder.Conflict {
		t.Errorf("kind %q", got)
	}
	if got := coder.KindOf(errors.New("x")); got != "" {
		t.Errorf("kind %q of an error that is not ours", got)
	}
}

func TestMessageIsShortCleanAndOneLine(t *testing.T) { // B90
	t.Parallel()
	long := `{"message":"bad\u0000\u001b[31m\nname","detail":"sent --token ` + sentinel +
		` and ` + strings.Repeat("é", 500) + `",
		"validations":[{"field":"name","detail":"x"}]}`
	_, err := startServer(t, respondWith(400, long)).Tokens(t.Context(), coder.TokenFilter{})
	var e *coder.Error
	if !errors.As(err, &e) {
		t.Fatal(err)
	}
	if n := utf8.RuneCountInString(e.Message); n > 200 {
		t.Errorf("%d runes", n)
	}
	if strings.ContainsFunc(e.Message, unicode.IsControl) || strings.Contains(e.Error(), sentinel) {
		t.Errorf("not clean: %q", e.Message)
	}
	if !strings.HasPrefix(e.Message, "bad [31m name: sent --token [redacted] and é") || e.Field != "name" ||
		e.Op != coder.OpTokens || e.Status != 400 {
		t.Errorf("got %+v", e)
	}
}

// B123
func TestDetailsAreQuotedOnlyIfTheyAreAboutAToken(t *testing.T) {
	t.Parallel()
	const detail = "S3NT1NEL"
	answer := func(status int, message, detail string, headers ...string) http.HandlerFunc {
		return respondWith(status, fmt.Sprintf(`{"message":%q,"detail":%q,"validations":[{"field":"f","detail":%q}]}`,
			message, detail, detail), headers...)
	}
	tests := map[string]struct {
		handler      http.HandlerFunc
		user, tokens bool // whether each request quotes it
	}{
		"server error":           {answer(500, "boom", detail), false, false},
		"unavailable":            {answer(503, "boom", detail), false, false},
		"internal error":         {answer(401, "An internal error occurred.", detail), false, false},
		"internal error, detail": {answer(401, signedOut, "Internal error fetching user: "+detail), false, false},
		"login provider":         {answer(401, "Could not refresh expired token", detail), false, false},
		"suspended":              {answer(401, `user is not active (status = "suspended")`, detail), false, false},
		"rate limited":           {answer(429, "slow down", detail), false, false},
		"expired key":            {answer(401, signedOut, "API key expired at "+detail), true, true},
		"unknown key":            {answer(401, signedOut, "API key is invalid: "+detail), true, true},
		"forbidden":              {answer(403, "Forbidden.", detail, ofCoder), false, true},
		"gateway forbids":        {answer(403, "Forbidden.", detail), false, false},
		"bad request":            {answer(400, "request not valid", detail), false, true},
		"not found":              {answer(404, "not found", detail), false, true},
		"text of a server error": {respondWith(500, detail, "Content-Type: text/plain"), false, false},
		"JSON of another server": {respondWith(502, `{"error":"`+detail+`"}`), false, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := startServer(t, tt.handler)
			_, err := c.User(t.Context(), "ada")
			if err == nil || strings.Contains(err.Error(), detail) != tt.user {
				t.Errorf("user: got %v", err)
			}
			if _, err = c.Tokens(t.Context(), coder.TokenFilter{}); err == nil ||
				strings.Contains(err.Error(), detail) != tt.tokens {
				t.Errorf("tokens: got %v", err)
			}
		})
	}
}

func TestRetryAfter(t *testing.T) { // B52, B53
	t.Parallel()
	now := time.Date(2026, 2, 20, 10, 0, 0, 0, time.UTC)
	in := func(d time.Duration) string { return "Retry-After: " + now.Add(d).Format(http.TimeFormat) }
	date := func(d time.Duration) string { return "Date: " + now.Add(d).Format(http.TimeFormat) }
	tests := map[string]struct {
		status int
		header []string
		want   time.Duration
	}{
		"seconds":               {429, []string{"Retry-After: 17"}, 17 * time.Second},
		"absent":                {429, nil, time.Minute},
		"nonsense":              {429, []string{"Retry-After: soon"}, time.Minute},
		"zero":                  {429, []string{"Retry-After: 0"}, time.Second},
		"a year":                {429, []string{"Retry-After: 31536000"}, time.Hour},
		"date":                  {429, []string{in(30 * time.Second), date(0)}, 30 * time.Second},
		"date, server behind":   {429, []string{in(-5 * time.Minute), date(-6 * time.Minute)}, time.Minute},
		"date, no clock to ask": {429, []string{in(30 * time.Second), "Date: "}, 30 * time.Second},
		"past":                  {429, []string{in(-time.Minute), date(0)}, time.Second},
		"unavailable":           {503, []string{"Retry-After: 5"}, 5 * time.Second},
		"unavailable, absent":   {503, nil, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := startServer(t, respondWith(tt.status, `{"message":"m"}`, tt.header...),
				func(c *coder.Config) { c.Clock = testclock.NewFakeClock(now) })
			_, err := c.Me(t.Context())
			var e *coder.Error
			if !errors.As(err, &e) || e.RetryAfter != tt.want {
				t.Errorf("got %+v, want %s", e, tt.want)
			}
		})
	}
}

func TestRedirectTellsTheOriginOnly(t *testing.T) {
	t.Parallel()
	c := startServer(t, respondWith(302, "", "Location: https://u:"+sentinel+"@login.example.test/path?token="+sentinel))
	_, err := c.Me(t.Context())
	var e *coder.Error
	if !errors.As(err, &e) || e.Location != "https://login.example.test" || strings.Contains(e.Error(), sentinel) {
		t.Errorf("got %v", err)
	}
}

func TestTimeoutAndCancellationDiffer(t *testing.T) { // B93
	t.Parallel()
	arrived, release := make(chan struct{}, 2), make(chan struct{})
	silent := func(http.ResponseWriter, *http.Request) {
		arrived <- struct{}{}
		<-release
	}
	c, patient := startServer(t, silent, func(c *coder.Config) { c.Timeout = 50 * time.Millisecond }),
		startServer(t, silent)
	t.Cleanup(func() { close(release) }) // before the servers close, which wait for their handlers

	_, err := c.Me(t.Context())
	if coder.KindOf(err) != coder.Unavailable || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("own deadline: %v", err)
	}
	<-arrived
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	if _, err := patient.Me(ctx); coder.KindOf(err) != coder.Canceled || !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	c := newClient(t, "http://127.0.0.1:1")
	if _, err := c.Me(t.Context()); coder.KindOf(err) != coder.Unavailable {
		t.Errorf("got %v", err)
	}
}
