// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// passwordLength is that of the password of the users who can log in.
const passwordLength = 24

// user is a user whom a run made, or the caller where it may make none.
type user struct {
	id, username, email string
	token               string
}

// userPlan says how a user is made.
type userPlan struct {
	role      string
	loginType string // "" is "none"
	dormant   bool   // as users are who were created without a status
	// after are requests that change the user once a token is minted.
	after []request
}

// userPlans are the users of a run by the name in placeholders. Each is made when it is first needed.
var userPlans = map[string]userPlan{
	"admin":       {role: "owner"},
	"manager":     {role: "user-admin"},
	"ada":         {loginType: "password"},
	"bob":         {},
	"bot":         {},
	"suspended":   {loginType: "password", after: []request{suspend}},
	"reactivated": {after: []request{suspend, {method: http.MethodPut, path: "/status/activate"}}},
	"deleted":     {after: []request{{method: http.MethodDelete}}},
	"promoted":    {after: []request{{method: http.MethodPut, path: "/roles", body: `{"roles":["owner"]}`}}},
	"dormant":     {dormant: true},
	"newcomer":    {dormant: true},
	"fresh":       {},
}

var suspend = request{method: http.MethodPut, path: "/status/suspend"}

// standingToken returns the user's token, and mints it if there is none.
func (r *run) standingToken(ctx context.Context, u *user) (string, error) {
	if u.token != "" {
		return u.token, nil
	}
	var err error
	u.token, err = r.mintToken(ctx, u, mintBody{Lifetime: tokenLifetime})
	return u.token, err
}

// user returns a user of a placeholder, and makes it if there is none yet.
func (a *asking) user(ctx context.Context, name string) (*user, error) {
	key := name
	if name == "fresh" {
		key = fmt.Sprintf("fresh%d", a.number)
	}
	if u := a.users[key]; u != nil {
		return u, nil
	}
	if a.limited() {
		return nil, errNotOwner
	}
	plan, known := userPlans[name]
	if !known {
		return nil, fmt.Errorf("user %q: %w", name, errPlaceholder)
	}
	return a.makeUser(ctx, key, plan)
}

// userJSON is what is read of a user (contract B.2).
type userJSON struct {
	ID              string     `json:"id"`
	Username        string     `json:"username"`
	Email           string     `json:"email"`
	OrganizationIDs []string   `json:"organization_ids"`
	Roles           []roleJSON `json:"roles"`
}

type roleJSON struct {
	Name string `json:"name"`
}

// createBody is the request that creates a user.
type createBody struct {
	Email           string   `json:"email"`
	Username        string   `json:"username"`
	Password        string   `json:"password,omitempty"`
	LoginType       string   `json:"login_type"`
	UserStatus      string   `json:"user_status,omitempty"`
	OrganizationIDs []string `json:"organization_ids"`
}

// makeUser creates a user with a token. The user is removed at the end of the run.
func (r *run) makeUser(ctx context.Context, name string, plan userPlan) (*user, error) {
	body := createBody{
		Username: r.prefix + "-" + name, Email: r.prefix + "-" + name + "@example.test",
		LoginType: "none", UserStatus: "active", OrganizationIDs: []string{r.organization},
	}
	if plan.dormant {
		body.UserStatus = ""
	}
	if plan.loginType == "password" && r.can["password"] {
		body.LoginType, body.Password = plan.loginType, r.password
	}
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	var made userJSON
	create := request{method: http.MethodPost, path: "/api/v2/users", body: string(text)}
	if err := r.call(ctx, r.callerToken, create, &made); err != nil {
		return nil, fmt.Errorf("creating the user %s: %w", body.Username, err)
	}
	u := &user{id: made.ID, username: made.Username, email: made.Email}
	path := "/api/v2/users/" + u.id
	r.removeLater("user "+u.username, request{method: http.MethodDelete, path: path}, r.callerToken)
	if plan.role != "" {
		roles := request{method: http.MethodPut, path: path + "/roles", body: `{"roles":["` + plan.role + `"]}`}
		if err := r.call(ctx, r.callerToken, roles, nil); err != nil {
			return nil, err
		}
	}
	r.users[name] = u
	if len(plan.after) > 0 {
		if _, err := r.standingToken(ctx, u); err != nil {
			return nil, err
		}
	}
	for _, change := range plan.after {
		change.path = path + change.path
		if err := r.call(ctx, r.callerToken, change, nil); err != nil {
			return nil, err
		}
	}
	return u, nil
}
