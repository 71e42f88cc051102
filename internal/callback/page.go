// SPDX-License-Identifier: Apache-2.0

package callback

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // for the files of the pages
	"encoding/base64"
	"html/template"
	"net/http"
	"strings"

	"k8s.io/apimachinery/pkg/types"
)

var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageCSS string

	page = template.Must(template.New("page").Parse(pageHTML))

	// policy lets a page have its own style and nothing else: no script, image, form, frame or request to anywhere.
	policy = "default-src 'none'; style-src '" + digest(pageCSS) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

// digest is how a policy names an inline style (CSP Level 3, section 2.3.1).
func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// sessionRef is the session that a page is about; zero: none. Its names are ones that Kubernetes allows.
type sessionRef types.NamespacedName

// view is what the template gets.
type view struct {
	Style              template.CSS
	Tone               severity
	Title, About, Next string
	Namespace, Name    string
	Commands           []viewCommand
}

type viewCommand struct{ What, Line string }

// show writes the page of an outcome.
func show(w http.ResponseWriter, o outcome, at sessionRef) {
	c := contents[o]
	v := view{
		Style: template.CSS(pageCSS), //nolint:gosec // it is this package's own, and known by its digest
		Tone:  c.tone, Title: c.title, About: c.about, Next: c.next, Namespace: at.Namespace, Name: at.Name,
	}
	for _, command := range c.commands {
		v.Commands = append(v.Commands, viewCommand{What: command.what, Line: command.line(at)})
	}
	var body bytes.Buffer
	if err := page.Execute(&body, v); err != nil {
		http.Error(w, c.title, http.StatusInternalServerError) // the template is fixed: this is out of reach
		return
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", policy)
	header.Set("Referrer-Policy", "no-referrer") // the page's own address has the code in it
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	if c.retryAfter != "" {
		header.Set("Retry-After", c.retryAfter)
	}
	w.WriteHeader(c.status)
	_, _ = w.Write(body.Bytes()) // a browser that went away is nobody to tell
}

// line is the command as it is typed. Without a session it leaves the names to be filled in.
func (c command) line(at sessionRef) string {
	words := []string{c.before, "-n", at.Namespace, at.Name}
	if at.Name == "" {
		words = []string{c.before, "-n NAMESPACE", "SESSION"}
	}
	if c.after != "" {
		words = append(words, c.after)
	}
	return strings.Join(words, " ")
}
