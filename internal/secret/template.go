// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"text/template"

	corev1 "k8s.io/api/core/v1"

	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

// maxOutput is the maximum length of a template's output, in bytes.
const maxOutput = 256 << 10

// TemplateError is about one template of spec.secret.template. Its text, and that of Err, contains
// no value that was passed to the template.
type TemplateError struct {
	// Key of the template.
	Key string
	// Err says what is wrong. It wraps nothing, so that no further details are printed.
	Err error
}

// Error names the template.
func (e *TemplateError) Error() string { return fmt.Sprintf("template %q: %v", e.Key, e.Err) }

// Unwrap returns Err.
func (e *TemplateError) Unwrap() error { return e.Err }

// values are passed to templates.
type values struct {
	// URL of the server, without a trailing slash.
	URL string
	// Host is the server's name or address without the port, as .netrc and similar files need it.
	Host string
	// Token is empty if none is published.
	Token string
	User  string
	// Headers by name, as the deployment spells them.
	Headers map[string]string
}

// Made-up values, with which templates are tried. None depends on the real one, not even its length.
const (
	madeUpURL    = "https://coder.example.com"
	madeUpHost   = "coder.example.com"
	madeUpToken  = "0000000000-0000000000000000000000"
	madeUpHeader = "0000000000000000000000000000000000000000000000000000000000000000"
)

// renderTemplates adds the keys of the session's templates to data. First it tries all of them with
// made-up values: an error of that depends on the templates and the names of headers only. A template
// that fails with the real values only leaves its key empty, so that nothing outside of the Secret
// depends on them (B133).
func renderTemplates(data map[string][]byte, in Input) error {
	if in.Session.Spec.Secret == nil || len(in.Session.Spec.Secret.Template) == 0 {
		return nil
	}
	given := values{
		URL: clientURL(in.URL), Host: in.URL.Hostname(), Token: in.Token.Value.Reveal(), User: in.User,
		Headers: make(map[string]string, len(in.Headers)),
	}
	names := make([]string, 0, len(in.Headers))
	for _, header := range in.Headers {
		given.Headers[header.Name] = header.Value.Reveal()
		names = append(names, header.Name)
	}
	templates := in.Session.Spec.Secret.Template
	if _, err := tryTemplates(templates, newMadeUpValues(in.User, names, given.Token != "")); err != nil {
		return err
	}
	total := 0
	for key, value := range data {
		total += len(key) + len(value)
	}
	for key := range templates {
		total += len(key)
	}
	var spent costBudget
	for _, key := range slices.Sorted(maps.Keys(templates)) {
		data[key] = []byte{}
		output, err := executeTemplate(key, templates[key], given, &spent)
		if err != nil || total+len(output) > corev1.MaxSecretSize {
			continue
		}
		total += len(output)
		data[key] = output
	}
	return nil
}

// newMadeUpValues returns values for a user, with these headers.
func newMadeUpValues(user string, headers []string, hasToken bool) values {
	madeUp := values{URL: madeUpURL, Host: madeUpHost, User: user, Headers: make(map[string]string, len(headers))}
	if hasToken {
		madeUp.Token = madeUpToken
	}
	for _, name := range headers {
		madeUp.Headers[name] = madeUpHeader
	}
	return madeUp
}

// PreviewTemplates renders the templates of spec.secret.template with made-up values, as [Render] tries
// them before it uses the real ones. User may be empty; headers are the names of those that the
// deployment sends; hasToken is false for sessions that publish no token. The error is a
// *[TemplateError].
func PreviewTemplates(
	templates map[string]string, user string, headers []string, hasToken bool,
) (map[string][]byte, error) {
	return tryTemplates(templates, newMadeUpValues(user, headers, hasToken))
}

// tryTemplates renders all templates with made-up values. The error is a *[TemplateError].
func tryTemplates(templates map[string]string, madeUp values) (map[string][]byte, error) {
	total := 0
	rendered := make(map[string][]byte, len(templates))
	var spent costBudget
	for _, key := range slices.Sorted(maps.Keys(templates)) {
		if slices.Contains(reserved, key) {
			return nil, &TemplateError{Key: key, Err: errors.New("the key is the operator's own: write another one")}
		}
		output, err := executeTemplate(key, templates[key], madeUp, &spent)
		if err != nil {
			return nil, &TemplateError{Key: key, Err: err}
		}
		if total += len(key) + len(output); total > corev1.MaxSecretSize {
			return nil, &TemplateError{Key: key, Err: fmt.Errorf("with it the Secret is larger than %d bytes: shorten it",
				corev1.MaxSecretSize)}
		}
		rendered[key] = output
	}
	return rendered, nil
}

// executeTemplate renders one template. See templateFuncs for the allowed functions and costBudget
// for the limits. Its errors contain no values.
func executeTemplate(key, text string, given values, spent *costBudget) (output []byte, err error) {
	defer func() {
		// text/template does not catch runtime panics, and their text may quote a value.
		if recover() != nil {
			output, err = nil, fault("it cannot be evaluated")
		}
	}()
	available := templateFuncs(spent)
	parsed, err := template.New(key).Option("missingkey=error").Funcs(available).Parse(text)
	if err != nil {
		return nil, errors.New(redact.Text(err.Error())) // quotes the template only
	}
	if parsed.Tree == nil { // there is no text outside definitions
		return []byte{}, nil
	}
	if err := sandbox(parsed.Root, available); err != nil {
		return nil, err
	}
	var written limited
	if err := parsed.Execute(&written, given); err != nil {
		return nil, explainError(key, err)
	}
	return []byte(written.String()), nil
}

// fault is an error of this package, whose text contains no value.
type fault string

func (f fault) Error() string { return string(f) }

// harmless matches the ends of those errors of text/template that name only fields and types.
// Others quote values ("range can't iterate over ...").
var harmless = regexp.MustCompile(`: (can't evaluate field \w+ in type [\w.\[\]]+` +
	`|map has no entry for key "[\w-]*"` +
	`|wrong number of args for \w+: want (?:at least )?\d+ got \d+` +
	`|wrong type for value; expected [\w.\[\]]+; got [\w.\[\]]+` +
	`|error calling \w+: incompatible types for comparison(?:: [\w.\[\]]+ and [\w.\[\]]+)?)$`)

// unknownField matches the end of the error about a name that the data of a template do not have.
var unknownField = regexp.MustCompile(`: can't evaluate field (\w+) in type secret\.values$`)

// explainError returns an error with the position and, if that needs no value, the cause.
func explainError(key string, err error) error {
	why := fault("it cannot be evaluated")
	if own := fault(""); errors.As(err, &own) {
		why = own
	} else if found := unknownField.FindStringSubmatch(err.Error()); found != nil {
		why = fault("there is no ." + found[1] + ": write .URL, .Host, .Token, .User or .Headers")
	} else if found := harmless.FindStringSubmatch(err.Error()); found != nil {
		why = fault(found[1])
	}
	// Everything up to here was written before any value was evaluated.
	place := regexp.MustCompile(`^template: ` + regexp.QuoteMeta(key) + `:(\d+):(\d+): `).FindStringSubmatch(err.Error())
	if place == nil {
		return errors.New(redact.Text(string(why)))
	}
	return errors.New(redact.Text(fmt.Sprintf("line %s, column %s: %s", place[1], place[2], why)))
}

// limited collects output up to maxOutput.
type limited struct{ strings.Builder }

func (l *limited) Write(p []byte) (int, error) {
	if l.Len()+len(p) > maxOutput {
		return 0, fault(fmt.Sprintf("it makes more than %d bytes: shorten it", maxOutput))
	}
	return l.Builder.Write(p)
}
