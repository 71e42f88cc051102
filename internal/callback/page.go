// SPDX-License-Identifier: Apache-2.0

package callback

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // for the page's files
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

	// contentSecurityPolicy allows the page's own style and nothing else: no script, image, form,
	// frame or request.
	contentSecurityPolicy = "default-src 'none'; style-src '" + digest(pageCSS) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

// digest is the source expression of an inline style in a policy (CSP Level 3, section 2.3.1).
func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// sessionRef is the session that a page is about; zero: none. Its names are valid names of
// Kubernetes objects.
type sessionRef types.NamespacedName

// view is the data of the template.
type view struct {
	Style              template.CSS
	Tone               severity
	Title, About, Next string
	Namespace, Name    string
	Commands           []viewCommand
}

type viewCommand struct{ What, Line string }

// writePage writes the page of an outcome.
func writePage(w http.ResponseWriter, o outcome, at sessionRef) {
	c := pageContents[o]
	v := view{
		Style: template.CSS(pageCSS), //nolint:gosec // a constant of this package, allowed by its digest
		Tone:  c.severity, Title: c.title, About: c.about, Next: c.next, Namespace: at.Namespace, Name: at.Name,
	}
	for _, command := range c.commands {
		v.Commands = append(v.Commands, viewCommand{What: command.what, Line: command.shellLine(at)})
	}
	var body bytes.Buffer
	if err := page.Execute(&body, v); err != nil {
		http.Error(w, c.title, http.StatusInternalServerError) // out of reach: the template is constant
		return
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", contentSecurityPolicy)
	header.Set("Referrer-Policy", "no-referrer") // the page's address contains the code
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	if c.retryAfter != "" {
		header.Set("Retry-After", c.retryAfter)
	}
	w.WriteHeader(c.status)
	_, _ = w.Write(body.Bytes()) // the error means that the browser has disconnected
}

// shellLine returns the command as a line for a shell. Without a session it has placeholders for
// the names.
func (c command) shellLine(at sessionRef) string {
	words := []string{c.before, "-n", at.Namespace, at.Name}
	if at.Name == "" {
		words = []string{c.before, "-n NAMESPACE", "SESSION"}
	}
	if c.after != "" {
		words = append(words, c.after)
	}
	return strings.Join(words, " ")
}
