// SPDX-License-Identifier: Apache-2.0

package coder

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
)

// UserStatus is the state of a user's account. Unknown values are returned unchanged.
type UserStatus string

// The states of an account (contract B.2).
const (
	UserStatusActive UserStatus = "active"
	// UserStatusDormant: not active for a long time. Using a valid key makes the account active again.
	UserStatusDormant UserStatus = "dormant"
	// UserStatusSuspended: every key of the user is rejected until the account is reactivated.
	UserStatusSuspended UserStatus = "suspended"
)

// User is an account.
type User struct {
	// ID is the user's UUID. A username can move to another account, an ID cannot (contract G.30).
	ID       string
	Username string
	Status   UserStatus
	// LoginType is password, github, oidc, token, none or another.
	LoginType string
	// ServiceAccount: the account cannot log in, and has no e-mail address (contract B.10).
	ServiceAccount bool
	// Roles are the names of the site-wide roles, without the implied role member.
	Roles []string
}

// me is the path element for the caller.
const me = "me"

// Me returns the caller. The request marks a minted token as used, and on older servers extends it
// (contract G.8).
func (c *Client) Me(ctx context.Context) (User, error) {
	return c.fetchUser(ctx, OpMe, me)
}

// User returns the user with an ID or a username. If the user does not exist or is not visible, the
// error is NotFound (contract A.6). A deleted user may still be found by ID, but not by name.
func (c *Client) User(ctx context.Context, nameOrID string) (User, error) {
	return c.fetchUser(ctx, OpUser, nameOrID)
}

func (c *Client) fetchUser(ctx context.Context, op, nameOrID string) (User, error) {
	var answer userBody
	err := c.doRequest(ctx, request{
		op: op, method: http.MethodGet, path: []string{"users", nameOrID}, result: &answer,
		check: answer.findProblem,
	})
	if err != nil {
		return User{}, err
	}
	return answer.toUser(), nil
}

// Paging of lists of users.
const (
	userPage = 500
	// maxUserPages ends a listing if the server returns wrong counts.
	maxUserPages = 1000
)

// SuspendedUsers returns all suspended users that the caller may see, without duplicates. One
// request returns up to 500 of them.
func (c *Client) SuspendedUsers(ctx context.Context) ([]User, error) {
	var found []User
	seen := make(map[string]bool)
	offset := 0
	for range maxUserPages {
		users, count, err := c.suspendedPage(ctx, offset)
		if err != nil {
			return nil, err
		}
		for _, u := range users {
			// A server that does not support the filter would return all users.
			if u.Status == UserStatusSuspended && !seen[u.ID] {
				seen[u.ID] = true
				found = append(found, u)
			}
		}
		offset += len(users)
		if len(users) == 0 || offset >= count {
			return found, nil
		}
	}
	return nil, &Error{Kind: Malformed, Op: OpSuspendedUsers, Message: "the list of users does not end"}
}

// suspendedPage returns the users from offset on, and the total number.
func (c *Client) suspendedPage(ctx context.Context, offset int) ([]User, int, error) {
	var answer struct {
		Users []userBody `json:"users"`
		Count *int       `json:"count"`
	}
	err := c.doRequest(ctx, request{
		op: OpSuspendedUsers, method: http.MethodGet, path: []string{"users"}, limit: maxListBody,
		query: url.Values{
			"q": {"status:suspended"}, "limit": {strconv.Itoa(userPage)}, "offset": {strconv.Itoa(offset)},
		},
		result: &answer,
		check: func() string {
			if answer.Count == nil {
				return "the answer has no count"
			}
			return checkAll(answer.Users, (*userBody).findProblem)
		},
	})
	if err != nil {
		return nil, 0, err
	}
	users := make([]User, len(answer.Users))
	for i := range answer.Users {
		users[i] = answer.Users[i].toUser()
	}
	return users, *answer.Count, nil
}

// userBody is a user in JSON (contract B.2).
type userBody struct {
	ID        string `json:"id"`
	Username  string `json:"username"`
	Status    string `json:"status"`
	LoginType string `json:"login_type"`
	// IsServiceAccount is in the answers of 2.32 and newer, for service accounts only.
	IsServiceAccount bool `json:"is_service_account"`
	Roles            []struct {
		Name string `json:"name"`
	} `json:"roles"`
}

func (b *userBody) findProblem() string {
	return firstOf(missingField(b.ID, "id"), missingField(b.Username, "username"), missingField(b.Status, "status"))
}

func (b *userBody) toUser() User {
	u := User{ID: b.ID, Username: b.Username, Status: UserStatus(b.Status), LoginType: b.LoginType,
		ServiceAccount: b.IsServiceAccount}
	for _, role := range b.Roles {
		u.Roles = append(u.Roles, role.Name)
	}
	return u
}
