// SPDX-License-Identifier: Apache-2.0

package callback

import "net/http"

// outcome is the result of a request; each has a page. The empty one means none yet.
type outcome string

const (
	// done: the grant is stored.
	done outcome = "Done"
	// denied: the person did not consent. This is recorded, as is refused.
	denied outcome = "Denied"
	// refused: the server did not accept the authorization request.
	refused outcome = "Refused"
	// failed: the attempt is spent or can no longer succeed, and there is no grant. The operator
	// makes another attempt automatically.
	failed outcome = "Failed"

	// All of the following leave everything unchanged.

	// unknown: no session has an attempt with this state.
	unknown outcome = "Unknown"
	// used: an earlier callback has used this state.
	used outcome = "Used"
	// expired: the attempt has expired.
	expired outcome = "Expired"
	// gone: the session is being deleted, or uses another method.
	gone outcome = "Gone"
	// paused: the session is paused by a person.
	paused outcome = "Paused"
	// unavailable: the API server or the deployment cannot be reached, or the deployment's settings
	// are invalid.
	unavailable outcome = "Unavailable"
	// busy: the rate limit of the endpoint is exceeded.
	busy outcome = "Busy"
	// incomplete: the request has no state, or neither a code nor an error, or one of them more
	// than once.
	incomplete outcome = "Incomplete"
	// wrongMethod: the method is not GET.
	wrongMethod outcome = "WrongMethod"
	// absent: the path is not served.
	absent outcome = "Absent"
)

// severity selects the style of a page.
type severity string

const (
	good    severity = "good"
	neutral severity = "neutral"
	warning severity = "warning"
	bad     severity = "bad"
)

// content is the fixed text of a page. The template adds the names.
type content struct {
	status int
	// retryAfter is in seconds; empty: a retry is useless.
	retryAfter string
	severity   severity
	// title says what happened, about what that means, next what to do.
	title, about, next string
	// commands are shown for the session, or with placeholders if it is not known.
	commands []command
}

// command is one that a person can paste into a shell.
type command struct {
	what string
	// before and after are the parts of the command around the session's namespace and name.
	before, after string
}

var (
	login  = command{what: "Get a new link", before: "kubectl coder login"}
	look   = command{what: "Look at the session", before: "kubectl get codersession"}
	why    = command{what: "See why", before: "kubectl describe codersession"}
	resume = command{what: "Resume the session", before: "kubectl patch codersession",
		after: `--type merge --patch '{"spec":{"paused":false}}'`}
)

const nothingChanged = " Nothing has changed."

var pageContents = map[outcome]content{
	done: {
		status: http.StatusOK, severity: good, title: "Access granted",
		about: "The session has its access to Coder now, and its Secret follows within seconds.",
		next:  "You can close this page.", commands: []command{look},
	},
	denied: {
		status: http.StatusOK, severity: neutral, title: "Access was not granted",
		about:    "Consent was declined on Coder’s page, so the session gets no access.",
		next:     "If that is what you meant to do, close this page. Otherwise start again with a new link.",
		commands: []command{login},
	},
	refused: {
		status: http.StatusBadRequest, severity: bad, title: "Coder refused the request",
		about:    "Coder did not accept what the session asks for, and gave no access.",
		next:     "The session’s status has the reason. Once that is settled, start again with a new link.",
		commands: []command{why, login},
	},
	failed: {
		status: http.StatusBadGateway, severity: bad, title: "This could not be completed",
		about: "Your consent arrived, but the session did not get its access.",
		next: "This link is of no use any more. A new one is made within a minute; the session’s status has it, " +
			"and the reason.",
		commands: []command{why, login},
	},
	unknown: {
		status: http.StatusNotFound, severity: warning, title: "This link is not known",
		about: "No session is waiting for it: a newer link may have taken its place, or the session was deleted." +
			nothingChanged,
		next: "Start again with a new link.", commands: []command{login},
	},
	used: {
		status: http.StatusGone, severity: neutral, title: "This link was already used",
		about:    "Each link works once, and this one was used before." + nothingChanged,
		next:     "If it was you, there is nothing left to do. Otherwise see how the session is.",
		commands: []command{look, login},
	},
	expired: {
		status: http.StatusGone, severity: warning, title: "This link has expired",
		about: "Links are good for ten minutes." + nothingChanged,
		next:  "Start again with a new link.", commands: []command{login},
	},
	gone: {
		status: http.StatusGone, severity: warning, title: "This session takes no consent any more",
		about: "It is being deleted, or gets its access to Coder in another way now." + nothingChanged,
		next:  "You can close this page.", commands: []command{look},
	},
	paused: {
		status: http.StatusConflict, severity: warning, title: "This session is paused",
		about: "A person has paused it, so it does not connect to Coder." + nothingChanged,
		next: "Have it resumed, then reload this page. That works for a few minutes; after that, start again " +
			"with a new link.",
		commands: []command{resume, login},
	},
	unavailable: {
		status: http.StatusServiceUnavailable, retryAfter: "5", severity: warning, title: "Not possible right now",
		about: "The operator cannot reach Coder or the cluster, or the deployment’s settings are invalid." +
			nothingChanged,
		next: "Reload this page in a moment; your consent is good for a few minutes. If it stays like this, see " +
			"what the session says.",
		commands: []command{why},
	},
	busy: {
		status: http.StatusTooManyRequests, retryAfter: "1", severity: warning, title: "Too many requests",
		about: "A lot of people, or one machine, came at the same time." + nothingChanged,
		next:  "Reload this page in a moment.",
	},
	incomplete: {
		status: http.StatusBadRequest, severity: warning, title: "This address is not complete",
		about:    "Part of what Coder sends along is missing, or is there twice." + nothingChanged,
		next:     "Do not copy the address by hand. Open the session’s link again, or get a new one.",
		commands: []command{login},
	},
	wrongMethod: {
		status: http.StatusMethodNotAllowed, severity: warning, title: "Not like this",
		about: "This address is for a browser that comes back from Coder." + nothingChanged,
		next:  "Open the session’s link again, or get a new one.", commands: []command{login},
	},
	absent: {
		status: http.StatusNotFound, severity: neutral, title: "There is nothing here",
		about: "This server only takes browsers that come back from Coder.",
		next:  "Open the session’s link, or get one.", commands: []command{login},
	},
}
