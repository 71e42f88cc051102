// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"net/http"
	"net/url"
	"strings"
)

// loginPath is the page for people without a session.
const loginPath = "/login"

// showSignIn lists the active users. On a simulated server a person may sign in as any of them.
func (c *call) showSignIn() reply {
	query := c.request.URL.Query()
	return c.signInPage(http.StatusOK, query.Get("message"), query.Get("redirect"))
}

func (c *call) signInPage(status int, message, redirect string) reply {
	data := signInPageData{Title: "Sign in", Message: message, Redirect: localPath(redirect)}
	for _, u := range sortedUsers(c.store.users, canSignIn) {
		data.Usernames = append(data.Usernames, u.username)
	}
	return pageReply(status, signInPage, data)
}

func canSignIn(u *user) bool { return u.status == StatusActive && !u.deleted && !u.system }

// signIn starts a browser session without a password, and goes on to where the person wanted to go.
func (c *call) signIn() reply {
	form, refused := c.readForm()
	if refused != nil {
		return *refused
	}
	u := c.store.findLogin(form.Get("user"))
	if u == nil || !canSignIn(u) {
		return c.signInPage(http.StatusBadRequest, "No user of that name can sign in.", form.Get("redirect"))
	}
	token, k, err := c.addKey(keySpec{user: u, loginType: LoginTypePassword, lifetime: c.opts.SessionDuration})
	if err != nil {
		return errorReply(http.StatusInternalServerError, "cannot create a session", err.Error())
	}
	c.ex.entry.KeyID, c.ex.entry.UserID, c.ex.entry.Username = k.id, u.id, u.username
	cookie := http.Cookie{
		Name: sessionCookie, Value: token, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: c.request.TLS != nil,
	}
	c.header.Add("Set-Cookie", cookie.String())
	return reply{status: http.StatusSeeOther}.withHeader("Location", localPath(form.Get("redirect")))
}

// localPath returns a redirect that is a path on this server, and "/" for anything that a browser
// could take for another host. Browsers read a backslash as a slash and drop control characters.
func localPath(redirect string) string {
	u, err := url.Parse(redirect)
	if err != nil || u.IsAbs() || u.Host != "" || u.User != nil || !strings.HasPrefix(redirect, "/") ||
		strings.HasPrefix(redirect, "//") || strings.ContainsAny(redirect, "\\\r\n\t") {
		return "/"
	}
	return redirect
}
