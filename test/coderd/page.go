// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"fmt"
	"html/template"
	"strings"
)

// The HTML pages for people: no scripts, no external resources, a light and a dark colour scheme.
// Their ids are for browser tests.
const (
	pageHead = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{.Title}} - Coder</title>
<style>
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
body { margin: 0; background: Canvas; color: CanvasText; }
main { max-width: 32rem; margin: 4rem auto; padding: 0 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; }
dt { font-weight: 600; margin-top: .75rem; }
dd { margin: 0; }
dd ul, .users { margin: 0; padding: 0; list-style: none; }
.users li { margin: .5rem 0; }
.actions { display: flex; flex-wrap: wrap; gap: .75rem; margin-top: 1.5rem; }
button { font: inherit; padding: .5rem 1rem; border: 2px solid ButtonBorder; border-radius: .375rem; cursor: pointer; }
button.primary { background: light-dark(#0b5cad, #8ec5ff); color: light-dark(#fff, #06233f);` +
		` border-color: transparent; }
:focus-visible { outline: 3px solid Highlight; outline-offset: 2px; }
</style>
</head>
<body>
<main>
<h1>{{.Title}}</h1>
`
	pageFoot = `</main>
</body>
</html>
`
	consentBody = `<p><strong id="client-name">{{.Client}}</strong> wants to act for you on this Coder deployment.</p>
<dl>
<dt>Signed in as</dt>
<dd id="username">{{.Username}}</dd>
<dt>It may</dt>
<dd><ul id="scopes">{{range .Scopes}}<li><code>{{.}}</code></li>{{end}}</ul></dd>
<dt>You will be sent to</dt>
<dd id="redirect-host">{{.Destination}}</dd>
</dl>
<form method="post" action="{{.Action}}">
<input type="hidden" name="csrf_token" value="{{.FormToken}}">
<div class="actions">
<button type="submit" id="approve" class="primary" name="decision" value="approve">Approve</button>
<button type="submit" id="cancel" name="decision" value="cancel">Cancel</button>
</div>
</form>
<p><a id="switch-user" href="{{.SwitchUser}}">Sign in as another user</a></p>
`
	signInBody = `{{with .Message}}<p id="message" role="status">{{.}}</p>{{end}}
{{if .Usernames}}<p>This is a simulated server: choose who you are.</p>
<form method="post" action="/login">
<input type="hidden" name="redirect" value="{{.Redirect}}">
<ul class="users">{{range .Usernames}}
<li><button type="submit" id="signin-{{.}}" name="user" value="{{.}}">{{.}}</button></li>{{end}}
</ul>
</form>{{else}}<p>There is no active user.</p>{{end}}
`
	failureBody = `<p id="error" role="alert">{{.Description}}</p>
<p><code id="error-code">{{.Code}}</code></p>
`
)

var (
	consentPage = template.Must(template.New("consent").Parse(pageHead + consentBody + pageFoot))
	signInPage  = template.Must(template.New("sign-in").Parse(pageHead + signInBody + pageFoot))
	failurePage = template.Must(template.New("failure").Parse(pageHead + failureBody + pageFoot))
)

type consentPageData struct {
	Title, Client, Username, Destination, Action, FormToken, SwitchUser string
	Scopes                                                              []string
}

type signInPageData struct {
	Title, Message, Redirect string
	Usernames                []string
}

type failurePageData struct{ Title, Code, Description string }

// pageReply executes one of this package's templates; an error is a bug and panics. Other sites
// must not frame a page. form-action is not restricted, because browsers would apply it to the
// redirect to the client as well.
func pageReply(status int, page *template.Template, data any) reply {
	var out strings.Builder
	if err := page.Execute(&out, data); err != nil {
		panic(fmt.Sprintf("coderd: rendering the page %s: %v", page.Name(), err))
	}
	return reply{status: status, html: out.String()}.
		withHeader("Content-Security-Policy",
			"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'").
		withHeader("Referrer-Policy", "no-referrer")
}

// htmlPage is the answer of a proxy or of the single-page application. Clients can learn nothing
// from it but that it is HTML.
func htmlPage(title string) string {
	return fmt.Sprintf("<!doctype html>\n<html><head><title>%s</title></head><body><h1>%s</h1></body></html>\n",
		title, title)
}
