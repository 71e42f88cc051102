// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Placeholders of the OAuth2 provider. Clients are main and other (static, made by an owner), own
// (another static one in each question), listed (with coder:workspaces.access as its allow-list), and
// those that register themselves: reg, pub (public), two (with two redirect URIs), ownreg (another one
// in each question).
//
//	${client A} ${secret A} ${callback A} ${registration A}   what a client has
//	${authorize A [change ...]}        the query of an authorization request
//	${code A [change ...]}             a code that ada approved
//	${access A [change ...]} ${refresh A [change ...]}        the tokens of a new grant of ada's
//	${exchange A CODE [change ...]} ${renew A TOKEN [change ...]} ${revoke A TOKEN [change ...]}
//	                                   forms of the token endpoint and of revocation
//	${saved FIELD}                     of the answer to the last request of Before
//
// A change is name=value, or -name to leave a parameter out; user=U lets another user approve.

const (
	verifier    = "vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv"
	grantOfCode = "authorization_code"
	// secondCallback is the other redirect URI of the client two.
	secondCallback = "http://localhost:9999/other"
)

// oauthClient is a client of the provider.
type oauthClient struct {
	id, secret, callback, registration string
}

var callbacks = map[string]string{
	"main": "http://localhost:9999/cb", "other": "http://localhost:9999/cb", "own": "http://localhost:9999/cb",
	"two": "http://localhost:9999/cb", "listed": "http://localhost:9999/cb", "ownreg": "http://localhost:7777/cb",
	"reg": "http://localhost:7777/cb", "pub": "http://127.0.0.1:7777/cb",
}

// grant is the answer of the token endpoint.
type grant struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
}

func (a *asking) evaluateOAuth(ctx context.Context, name string, args []string) (string, error) {
	if len(args) == 0 {
		return "", fmt.Errorf("%q: %w", name, errPlaceholder)
	}
	if name == "saved" {
		value, _ := a.saved[args[0]].(string)
		return value, nil
	}
	app, err := a.oauthClient(ctx, args[0])
	if err != nil {
		return "", err
	}
	changes := args[1:]
	switch name {
	case "client":
		return app.id, nil
	case "secret":
		return app.secret, nil
	case "callback":
		return url.QueryEscape(app.callback), nil
	case "registration":
		return app.registration, nil
	case "authorize":
		return a.authorization(app, changes).Encode(), nil
	case "code":
		return a.approve(ctx, app, args)
	case "access", "refresh":
		return a.grantToken(ctx, name, app, args)
	case "exchange", "renew", "revoke":
		return tokenForm(name, app, changes)
	}
	return "", fmt.Errorf("%q: %w", name, errPlaceholder)
}

// changeValues applies changes to parameters.
func changeValues(values url.Values, changes []string) url.Values {
	for _, change := range changes {
		name, value, found := strings.Cut(change, "=")
		switch {
		case name == "user":
		case found:
			values.Set(name, value)
		default:
			values.Del(strings.TrimPrefix(name, "-"))
		}
	}
	return values
}

func (a *asking) authorization(app *oauthClient, changes []string) url.Values {
	sum := sha256.Sum256([]byte(verifier))
	return changeValues(url.Values{
		"client_id": {app.id}, "response_type": {"code"}, "redirect_uri": {app.callback}, "state": {"state-" + a.prefix},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}, changes)
}

var errNoCode = errors.New("the authorization gave no code")

// approve lets a user approve, with a session in a header, and returns the code (contract C.6).
func (a *asking) approve(ctx context.Context, app *oauthClient, args []string) (string, error) {
	memo := strings.Join(slices.Concat([]string{"code"}, args), " ")
	if code, known := a.memo[memo]; known {
		return code, nil
	}
	u, err := a.user(ctx, approver(args))
	if err != nil {
		return "", err
	}
	token, err := a.standingToken(ctx, u)
	if err != nil {
		return "", err
	}
	res, err := a.send(ctx, request{
		method: http.MethodPost, path: "/oauth2/authorize?" + a.authorization(app, args[1:]).Encode(),
		headers: map[string]string{sessionHeader: token},
	})
	if err != nil {
		return "", err
	}
	to, err := url.Parse(res.header.Get("Location"))
	if err != nil || to.Query().Get("code") == "" {
		return "", fmt.Errorf("status %d: %w", res.status, errNoCode)
	}
	a.memo[memo] = to.Query().Get("code")
	return a.memo[memo], nil
}

func approver(changes []string) string {
	for _, change := range changes {
		if name, found := strings.CutPrefix(change, "user="); found {
			return name
		}
	}
	return "ada"
}

// tokenForm is a form that the token endpoint or the revocation takes.
func tokenForm(name string, app *oauthClient, args []string) (string, error) {
	if len(args) == 0 {
		return "", fmt.Errorf("%q: %w", name, errPlaceholder)
	}
	form := url.Values{"client_id": {app.id}}
	if app.secret != "" {
		form.Set("client_secret", app.secret)
	}
	switch name {
	case "exchange":
		form.Set("grant_type", grantOfCode)
		form.Set("code", args[0])
		form.Set("code_verifier", verifier)
		form.Set("redirect_uri", app.callback)
	case "renew":
		form.Set("grant_type", "refresh_token")
		form.Set("refresh_token", args[0])
	default:
		form.Set("token", args[0])
	}
	return changeValues(form, args[1:]).Encode(), nil
}

// grantToken obtains a grant, once for the same arguments within a question.
func (a *asking) grantToken(ctx context.Context, name string, app *oauthClient, args []string) (string, error) {
	memo := " " + strings.Join(args, " ")
	if value, known := a.memo[name+memo]; known {
		return value, nil
	}
	code, err := a.approve(ctx, app, args)
	if err != nil {
		return "", err
	}
	options := []string{code}
	for _, change := range args[1:] {
		if strings.HasPrefix(change, "resource=") {
			options = append(options, change)
		}
	}
	form, err := tokenForm("exchange", app, options)
	if err != nil {
		return "", err
	}
	var made grant
	if err := a.call(ctx, "", request{method: http.MethodPost, path: "/oauth2/tokens", body: form}, &made); err != nil {
		return "", err
	}
	a.rememberKey(made.AccessToken)
	a.memo["access"+memo], a.memo["refresh"+memo] = made.AccessToken, made.RefreshToken
	return a.memo[name+memo], nil
}

// oauthClient returns a client of a placeholder, and makes it if there is none yet.
func (a *asking) oauthClient(ctx context.Context, name string) (*oauthClient, error) {
	key := name
	if strings.HasPrefix(name, "own") {
		key = fmt.Sprintf("%s%d", name, a.number)
	}
	if app := a.clients[key]; app != nil {
		return app, nil
	}
	callback, known := callbacks[name]
	if !known {
		return nil, fmt.Errorf("client %q: %w", name, errPlaceholder)
	}
	var app *oauthClient
	var err error
	switch name {
	case "reg", "pub", "two", "ownreg":
		app, err = a.registerClient(ctx, name, callback)
	default:
		app, err = a.createClient(ctx, key, callback)
	}
	if err != nil {
		return nil, err
	}
	a.clients[key] = app
	return app, nil
}

// createClient makes a static client (contract C.3).
func (r *run) createClient(ctx context.Context, key, callback string) (*oauthClient, error) {
	if r.limited() {
		return nil, errNotOwner
	}
	const apps = "/api/v2/oauth2-provider/apps"
	var app struct{ ID string }
	body := fmt.Sprintf(`{"name":%q,"callback_url":%q}`, r.prefix+"-"+key, callback)
	if key == "listed" {
		body = fmt.Sprintf(`{"name":%q,"redirect_uris":[%q],"scope":"coder:workspaces.access"}`, r.prefix+"-"+key, callback)
	}
	create := request{method: http.MethodPost, path: apps, body: body}
	if err := r.call(ctx, r.callerToken, create, &app); err != nil {
		return nil, err
	}
	path := apps + "/" + app.ID
	r.removeLater("OAuth client "+r.prefix+"-"+key, request{method: http.MethodDelete, path: path}, r.callerToken)
	var secret struct {
		Full string `json:"client_secret_full"`
	}
	if err := r.call(ctx, r.callerToken, request{method: http.MethodPost, path: path + "/secrets"}, &secret); err != nil {
		return nil, err
	}
	return &oauthClient{id: app.ID, secret: secret.Full, callback: callback}, nil
}

// registration is what is read of the answer to a registration (contract C.4).
type registration struct {
	ID     string `json:"client_id"`
	Secret string `json:"client_secret"`
	Token  string `json:"registration_access_token"`
}

// registerClient makes a client that registers itself.
func (r *run) registerClient(ctx context.Context, name, callback string) (*oauthClient, error) {
	if !r.can["registration"] {
		return nil, errUnavailable(needs["registration"])
	}
	body := map[string]any{"redirect_uris": []string{callback}, "client_name": r.prefix + "-" + name}
	switch name {
	case "pub":
		body["token_endpoint_auth_method"] = "none"
	case "two":
		body["redirect_uris"] = []string{callback, secondCallback}
	}
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	var made registration
	register := request{method: http.MethodPost, path: "/oauth2/register", body: string(text)}
	if err := r.call(ctx, "", register, &made); err != nil {
		return nil, err
	}
	r.rememberRegistration(made)
	return &oauthClient{id: made.ID, secret: made.Secret, callback: callback, registration: made.Token}, nil
}
