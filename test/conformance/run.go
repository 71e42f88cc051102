// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Options say what is asked of which server.
type Options struct {
	// URL is the server's, without a path.
	URL string
	// Token is of a user of the server, at best an owner's. "" asks only what needs no token.
	Token string
	// HTTPClient is used with its transport and timeout; nil is one of its own.
	HTTPClient *http.Client
	// Profile overrides the choice by the server's version.
	Profile Profile
	// Template is the name of the template of the workspaces that are made; "" makes none.
	Template string
	// Flood allows questions that fill a rate limit.
	Flood bool
	// Only is the beginning of the names of the questions that are asked; "" is all.
	Only string
	// Strict reports fields and headers that the recorded answers do not have.
	Strict bool
	// MoveClock moves the server's clock forward; nil is a server whose clock runs by itself.
	MoveClock func(context.Context, time.Duration) error
	// Wait waits for a rate limit or a build; nil waits in real time.
	Wait func(context.Context, time.Duration) error
	// Progress is called with the name of each question before it is asked; nil is no-one.
	Progress func(string)
}

// run is what one run of the suite has made on the server. It is used by one goroutine.
type run struct {
	*client
	options      Options
	prefix       string
	password     string
	caller       userJSON
	callerToken  string
	organization string
	templateID   string
	can          map[Need]bool
	users        map[string]*user
	clients      map[string]*oauthClient
	workspaces   map[string]*workspaceJSON
	lastKey      string
	removals     []removal
}

// removal takes away what a run has made.
type removal struct {
	what string
	do   func(context.Context) error
}

// asking is a run while it asks one question.
type asking struct {
	*run
	number int
	// memo has the values of placeholders that must not be made twice in a question.
	memo  map[string]string
	saved map[string]any
}

const (
	// namePrefix begins the name of everything that a run makes.
	namePrefix = "conformance-"
	// removalTimeout bounds the removal, which happens after a failure and a signal, too.
	removalTimeout = 5 * time.Minute
)

// Run asks a server all questions of its profile, and removes what it has made for that. The error
// says why they could not be asked at all; the report is valid with it, if it is not nil.
func Run(ctx context.Context, o Options) (report *Report, err error) {
	c, err := newClient(o)
	if err != nil {
		return nil, err
	}
	r := &run{
		client: c, options: o, callerToken: o.Token, can: map[Need]bool{}, users: map[string]*user{},
		clients: map[string]*oauthClient{}, workspaces: map[string]*workspaceJSON{},
	}
	if err := r.drawNames(); err != nil {
		return nil, err
	}
	defer func() {
		leftovers := r.removeAll(ctx)
		if report != nil {
			report.Leftovers = leftovers
		}
	}()
	report, err = r.meetServer(ctx)
	if err != nil {
		return nil, err
	}
	return report, r.askAll(ctx, report)
}

func (r *run) drawNames() error {
	var random [3 + passwordLength/2]byte
	if _, err := rand.Read(random[:]); err != nil {
		return fmt.Errorf("drawing names: %w", err)
	}
	r.prefix = namePrefix + hex.EncodeToString(random[:3])
	r.password = hex.EncodeToString(random[3:])
	return nil
}

// limited reports whether the caller may not make users: then questions are asked as the caller only.
func (r *run) limited() bool {
	for _, role := range r.caller.Roles {
		if role.Name == "owner" {
			return false
		}
	}
	return true
}

// askAll asks the questions of the report's profile.
func (r *run) askAll(ctx context.Context, report *Report) error {
	questions, err := Questions()
	if err != nil {
		return err
	}
	answers := map[Profile]map[string]Answer{}
	for _, profile := range Profiles {
		if answers[profile], err = Answers(profile); err != nil {
			return err
		}
	}
	for i, q := range questions {
		answer, known := answers[report.Profile][q.Name]
		if !known || !strings.HasPrefix(q.Name, r.options.Only) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if r.options.Progress != nil {
			r.options.Progress(q.Name)
		}
		a := &asking{run: r, number: i, memo: map[string]string{}, saved: map[string]any{}}
		result, res := a.answerTo(ctx, q, answer)
		if res != nil && len(result.Differences) > 0 {
			result.Like = r.findAlike(q, res, answers)
		}
		report.add(result)
	}
	return nil
}

// findAlike returns the profile whose answer this is.
func (r *run) findAlike(q Question, res *response, answers map[Profile]map[string]Answer) Profile {
	for _, profile := range Profiles {
		want, known := answers[profile][q.Name]
		c := &comparison{}
		if known && want.Contract == "" {
			c.compareResponse(q, want, res, r.client)
			if len(c.found) == 0 {
				return profile
			}
		}
	}
	return ""
}

// answerTo asks one question and compares the answer, which is nil if there is none.
func (a *asking) answerTo(ctx context.Context, q Question, want Answer) (Result, *response) {
	out := Result{Question: q, Contract: want.Contract}
	for _, need := range q.Needs {
		if !a.can[need] {
			out.Skipped = needs[need]
			return out, nil
		}
	}
	res, err := a.ask(ctx, q, want.Status)
	var unavailable errUnavailable
	switch {
	case errors.As(err, &unavailable):
		out.Skipped = string(unavailable)
	case err != nil:
		out.Differences = []string{"could not be asked: " + err.Error()}
	default:
		c := &comparison{strict: a.options.Strict}
		c.compareResponse(q, want, res, a.client)
		out.Differences = c.found
	}
	return out, res
}

// compareResponse compares status, headers and body. Of another status only that is said, and in
// what the body differs.
func (c *comparison) compareResponse(q Question, want Answer, got *response, from *client) {
	if got.status != want.Status {
		c.found = append(c.found, fmt.Sprintf("status %d instead of %d", got.status, want.Status))
		return
	}
	c.compareHeaders(want.Headers, headersOf(q.Group, want.Headers, got.header, from.base))
	c.compareBodies(want.Body, decodeShape(got.header.Get("Content-Type"), got.body))
}

// ask prepares and sends a question.
func (a *asking) ask(ctx context.Context, q Question, status int) (*response, error) {
	for _, before := range q.Before {
		if err := a.prepare(ctx, before); err != nil {
			return nil, fmt.Errorf("preparing: %w", err)
		}
	}
	r, err := a.requestOf(ctx, q)
	if err != nil {
		return nil, err
	}
	r.busyIsAnswer = status == http.StatusTooManyRequests
	var res *response
	if q.Watch != "" {
		res, err = a.watch(ctx, q.Watch, r)
	} else {
		res, err = a.send(ctx, r)
	}
	if err != nil {
		return nil, err
	}
	a.rememberAnswer(ctx, q, res)
	return res, nil
}

// requestOf replaces the placeholders of a question: of the credential first, because it may be made
// with them.
func (a *asking) requestOf(ctx context.Context, q Question) (request, error) {
	r := request{method: q.Method, headers: map[string]string{}}
	var err error
	if q.As != "" {
		if r.headers[sessionHeader], err = a.expand(ctx, q.As); err != nil {
			return r, err
		}
	}
	for name, value := range q.Headers {
		if r.headers[name], err = a.expand(ctx, value); err != nil {
			return r, err
		}
		if name == "Authorization" {
			r.headers[name] = encodeBasic(r.headers[name])
		}
	}
	if r.path, err = a.expand(ctx, q.Path); err != nil {
		return r, err
	}
	r.body, err = a.expand(ctx, q.Body)
	if isForm(r) {
		r.headers["Content-Type"] = formType
	}
	return r, err
}

// prepare does a step of Before. It is a request of the caller's, "METHOD path [body]", or
//
//	make ${...}            evaluates placeholders, and no more
//	try STEP               goes on if the step is refused
//	as TOKEN STEP          sends the request with another token
//	advance DURATION       moves the server's clock
//	flood N METHOD path    sends the request so often, until it is refused because of a rate limit
func (a *asking) prepare(ctx context.Context, text string) error {
	text, err := a.expand(ctx, text)
	if err != nil {
		return err
	}
	word, rest, _ := strings.Cut(text, " ")
	switch word {
	case "make":
		return nil
	case "try":
		var refused *errStatus
		if err := a.sendStep(ctx, a.callerToken, rest); err != nil && !errors.As(err, &refused) {
			return err
		}
		return nil
	case "as":
		token, step, _ := strings.Cut(rest, " ")
		return a.sendStep(ctx, token, step)
	case "advance":
		return a.advance(ctx, rest)
	case "flood":
		count, step, _ := strings.Cut(rest, " ")
		return a.flood(ctx, count, step)
	}
	return a.sendStep(ctx, a.callerToken, text)
}

// sendStep sends "METHOD path [body]" and keeps the fields of the answer for ${saved}: of its first
// item, if it is a list. Forms authenticate themselves.
func (a *asking) sendStep(ctx context.Context, token, text string) error {
	method, rest, _ := strings.Cut(text, " ")
	path, body, _ := strings.Cut(rest, " ")
	if strings.HasPrefix(path, "/oauth2/") && method == http.MethodPost {
		token = ""
	}
	var out any
	if err := a.call(ctx, token, request{method: method, path: path, body: body}, &lenient{&out}); err != nil {
		return err
	}
	if list, isList := out.([]any); isList && len(list) > 0 {
		out = list[0]
	}
	if fields, isObject := out.(map[string]any); isObject {
		a.saved = fields
	}
	return nil
}

// advance moves the server's clock. The standing tokens are short-lived: they are minted again when needed.
func (a *asking) advance(ctx context.Context, text string) error {
	d, err := time.ParseDuration(text)
	if err != nil {
		return err
	}
	for _, u := range a.users {
		u.token = ""
	}
	return a.options.MoveClock(ctx, d)
}

// lenient decodes an answer that may be empty.
type lenient struct{ into *any }

// UnmarshalJSON decodes any value.
func (l *lenient) UnmarshalJSON(text []byte) error { return json.Unmarshal(text, l.into) }
