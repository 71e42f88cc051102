// SPDX-License-Identifier: Apache-2.0

package coder

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"unsafe"

	"github.com/coder-session-operator/coder-session-operator/internal/boundedjson"
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
	user := answer.toUser()
	c.hideIn(&user.ID, &user.Username, &user.LoginType)
	for i := range user.Roles {
		c.hideIn(&user.Roles[i])
	}
	return user, nil
}

// Limits of the list of suspended users (B130).
const (
	userPage = 500
	// maxUserPages ends a listing if the server returns wrong counts or small pages.
	maxUserPages = 200
	maxSuspended = 100_000
)

// SuspendedUsers returns the IDs of all suspended users that the caller may see, without duplicates.
// One request returns up to 500 of them. More than 200 pages, or 100,000 users, or more than could be
// reserved, are Malformed, with TooLarge.
func (c *Client) SuspendedUsers(ctx context.Context, reserve Reserve) ([]string, error) {
	var found []string
	seen := make(map[string]bool)
	offset := 0
	for range maxUserPages {
		listed, count, err := c.suspendedPage(ctx, offset, func(id string) error {
			if seen[id] {
				return nil
			}
			seen[id] = true
			found = append(found, id)
			return reserve.take(UserIDSize(id))
		})
		if err != nil {
			return nil, err
		}
		offset += listed
		if listed == 0 || offset >= count {
			return found, nil
		}
		if len(found) > maxSuspended {
			break
		}
	}
	return nil, &Error{Kind: Malformed, Op: OpSuspendedUsers, TooLarge: true,
		Message: fmt.Sprintf("the list of suspended users does not end after %d", offset)}
}

// UserIDSize returns about how much memory a user's ID takes in a list, in bytes.
func UserIDSize(id string) int { return int(unsafe.Sizeof(id)) + len(id) }

// suspendedPage calls add for each suspended user from offset on. It returns the number of users on
// the page, and that of all.
func (c *Client) suspendedPage(ctx context.Context, offset int, add func(id string) error,
) (listed, count int, err error) {
	var total *int
	var body userBody
	decodeUser := func(d *boundedjson.Decoder) error {
		body = userBody{Roles: body.Roles[:0]}
		if err := d.Value(&body); err != nil {
			return err
		}
		listed++
		// A server that does not support the filter would return all users.
		if UserStatus(body.Status) == UserStatusSuspended {
			if err := add(string(body.ID)); err != nil {
				return err
			}
		}
		return problemError(body.findProblem())
	}
	err = c.doRequest(ctx, request{
		op: OpSuspendedUsers, method: http.MethodGet, path: []string{"users"},
		query: url.Values{
			"q": {"status:suspended"}, "limit": {strconv.Itoa(userPage)}, "offset": {strconv.Itoa(offset)},
		},
		list: func(d *boundedjson.Decoder) error {
			err := d.Object(func(name string) error {
				switch name {
				case "users":
					return d.Array(maxSuspended, func() error { return decodeUser(d) })
				case "count":
					return d.Value(&total)
				}
				return d.Skip()
			})
			if err == nil && total == nil {
				return &answerError{"the answer has no count"}
			}
			return err
		},
	})
	if err != nil {
		return 0, 0, err
	}
	return listed, *total, nil
}

// maxRoles is how many roles a user may have. The status has room for as many.
const maxRoles = 64

// userBody is a user in JSON (contract B.2).
type userBody struct {
	ID        boundedjson.Word `json:"id"`
	Username  boundedjson.Word `json:"username"`
	Status    boundedjson.Word `json:"status"`
	LoginType boundedjson.Word `json:"login_type"`
	// IsServiceAccount is in the answers of 2.32 and newer, for service accounts only.
	IsServiceAccount bool `json:"is_service_account"`
	Roles            []struct {
		Name boundedjson.Word `json:"name"`
	} `json:"roles"`
}

func (b *userBody) findProblem() string {
	if len(b.Roles) > maxRoles {
		return fmt.Sprintf("the answer has more than %d roles", maxRoles)
	}
	return firstOf(missingField(b.ID, "id"), missingField(b.Username, "username"), missingField(b.Status, "status"))
}

func (b *userBody) toUser() User {
	u := User{ID: string(b.ID), Username: string(b.Username), Status: UserStatus(b.Status), LoginType: string(b.LoginType),
		ServiceAccount: b.IsServiceAccount}
	for _, role := range b.Roles {
		u.Roles = append(u.Roles, string(role.Name))
	}
	return u
}
