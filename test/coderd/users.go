// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

func (c *call) getUser() reply {
	u, refused := c.pathUser()
	if refused != nil {
		return *refused
	}
	return jsonReply(http.StatusOK, u.toJSON())
}

func (c *call) suspendUser() reply  { return c.setStatus(StatusSuspended) }
func (c *call) activateUser() reply { return c.setStatus(StatusActive) }

func (c *call) setStatus(status UserStatus) reply {
	u, refused := c.pathUser()
	if refused != nil {
		return *refused
	}
	if !c.mayUpdateUser(u) {
		return hiddenReply()
	}
	if u == c.key.user && status == StatusSuspended {
		return errorReply(http.StatusBadRequest, "you cannot suspend yourself", "")
	}
	u.status, u.updatedAt = status, c.now
	return jsonReply(http.StatusOK, u.toJSON())
}

type usersJSON struct {
	Users []userJSON `json:"users"`
	Count int        `json:"count"`
}

// listUsers is GET /users (contract B.2): what the caller may read and the query selects, paged;
// count is before paging.
func (c *call) listUsers() reply {
	query := c.request.URL.Query()
	filter, bad := parseUserFilter(query.Get("q"))
	if bad != nil {
		return invalidReply(*bad)
	}
	limit, bad := queryCount(query.Get("limit"), "limit")
	if bad != nil {
		return invalidReply(*bad)
	}
	offset, bad := queryCount(query.Get("offset"), "offset")
	if bad != nil {
		return invalidReply(*bad)
	}
	found := sortedUsers(c.store.users, func(u *user) bool {
		return !u.deleted && !u.system && filter.selects(u) && c.mayReadUser(u)
	})
	page := usersJSON{Users: []userJSON{}, Count: len(found)}
	if after := query.Get("after_id"); after != "" {
		found = found[slices.IndexFunc(found, func(u *user) bool { return u.id == after })+1:]
	}
	found = found[min(offset, len(found)):]
	if limit > 0 {
		found = found[:min(limit, len(found))]
	}
	for _, u := range found {
		page.Users = append(page.Users, u.toJSON())
	}
	return jsonReply(http.StatusOK, page)
}

// queryCount reads a number that is not negative; absent is 0.
func queryCount(value, field string) (int, *validation) {
	if value == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 {
		return 0, &validation{Field: field, Detail: "must be a number and not negative"}
	}
	return n, nil
}

// userFilter is a parsed q. Terms of one kind are alternatives, different kinds must all hold, each
// word must be found (chosen; the contract names the kinds only).
type userFilter struct {
	statuses, roles, loginTypes, words []string
}

func parseUserFilter(q string) (userFilter, *validation) {
	var f userFilter
	for _, term := range strings.Fields(strings.ToLower(strings.ReplaceAll(q, `"`, ""))) {
		kind, value, found := strings.Cut(term, ":")
		if !found {
			f.words = append(f.words, term)
			continue
		}
		values := strings.Split(value, ",")
		switch kind {
		case "status":
			for _, v := range values {
				if !slices.Contains([]UserStatus{StatusActive, StatusDormant, StatusSuspended}, UserStatus(v)) {
					return f, &validation{Field: "status", Detail: "unknown status"}
				}
			}
			f.statuses = append(f.statuses, values...)
		case "role":
			f.roles = append(f.roles, values...)
		case "login_type":
			f.loginTypes = append(f.loginTypes, values...)
		default:
			return f, &validation{Field: kind, Detail: "unknown kind of term"}
		}
	}
	return f, nil
}

func (f userFilter) selects(u *user) bool {
	oneOf := func(wanted []string, has func(string) bool) bool {
		return len(wanted) == 0 || slices.ContainsFunc(wanted, has)
	}
	for _, word := range f.words {
		if !strings.Contains(strings.ToLower(u.username), word) && !strings.Contains(strings.ToLower(u.email), word) {
			return false
		}
	}
	return oneOf(f.statuses, func(v string) bool { return UserStatus(v) == u.status }) &&
		oneOf(f.roles, u.hasRole) &&
		oneOf(f.loginTypes, func(v string) bool { return v == u.loginType })
}
