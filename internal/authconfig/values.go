// SPDX-License-Identifier: Apache-2.0

package authconfig

import (
	"bytes"
	"strings"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/redact"
	"github.com/coder-session-operator/coder-session-operator/internal/tokenformat"
)

// whiteSpace is what editors and shells append to a value.
const whiteSpace = " \t\r\n"

// resolveHeaders returns the headers of the spec that have a value, in its order.
func (r *resolution) resolveHeaders() []Header {
	var out []Header
	for _, h := range r.deployment.Spec.Headers {
		value, ok := r.headerValue(h)
		if !ok || value == "" {
			continue
		}
		if p := checkHeader(h.Name, value); p.isPresent() {
			r.addHeaderFault(h, p)
			continue
		}
		out = append(out, Header{Name: h.Name, Value: redact.New(value)})
	}
	return out
}

// checkHeader refuses headers that the server looks at before it looks at the token (contract A.3).
func checkHeader(name, value string) problem {
	switch {
	case strings.EqualFold(name, "Coder-Session-Token"):
		return problem{text: "takes the place of the token: name the Secret of the token in spec.token instead"}
	case strings.EqualFold(name, "Cookie") && tokenformat.HasSessionCookie(value):
		return problem{text: "has the cookie coder_session_token, which takes the place of every token: remove that " +
			"cookie, and name the Secret of the token in spec.token"}
	}
	return problem{}
}

// addHeaderFault adds a fault of a header that can be read.
func (r *resolution) addHeaderFault(h v1alpha1.Header, p problem) {
	if w, ok := headerRef(r.deployment, h); ok {
		r.faults.add(invalidValue(w, p))
		return
	}
	r.faults.add(invalidField(r.deployment, "spec.headers["+h.Name+"]", p.text))
}

// headerValue returns the value of one header. If it cannot be read, headerValue adds a fault and
// returns false.
func (r *resolution) headerValue(h v1alpha1.Header) (string, bool) {
	w, ok := headerRef(r.deployment, h)
	if !ok {
		return r.literalHeader(h)
	}
	raw, ok := r.readValue(w)
	if !ok {
		return "", false
	}
	value, p := headerText(raw)
	if p.isPresent() {
		r.faults.add(invalidValue(w, p))
		return "", false
	}
	return value, true
}

func (r *resolution) literalHeader(h v1alpha1.Header) (string, bool) {
	path := "spec.headers[" + h.Name + "]"
	if h.Value == nil {
		r.faults.add(invalidField(r.deployment, path,
			"has no value: write value, or valueFrom with a secretKeyRef or configMapKeyRef"))
		return "", false
	}
	value, p := headerText([]byte(*h.Value))
	if p.isPresent() {
		r.faults.add(invalidField(r.deployment, path+".value", p.text))
		return "", false
	}
	return value, true
}

// resolveToken returns the operator's token. It is zero if the deployment has none.
func (r *resolution) resolveToken() redact.Secret {
	w, ok := tokenRef(r.deployment)
	if !ok {
		return redact.Secret{}
	}
	raw, ok := r.readValue(w)
	if !ok {
		return redact.Secret{}
	}
	token, err := tokenformat.Parse(raw)
	if err != nil {
		r.faults.add(invalidValue(w, problem{text: err.Error()}))
		return redact.Secret{}
	}
	return token
}

// requireIdentity adds a fault if the deployment names a token that is empty, and nothing else
// identifies the operator: that is a variable that was not set, and not a wish to be anonymous.
func (r *resolution) requireIdentity(s *Snapshot) {
	w, ok := tokenRef(r.deployment)
	if !ok || len(r.faults) > 0 || s.Token.Reveal() != "" || s.IdentifiesByConnection() {
		return
	}
	r.faults.add(invalidValue(w, problem{text: "is empty, and neither a client certificate nor headers identify " +
		"the operator: write a token there, or remove spec.token"}))
}

// headerText returns the value of a header without white space at its end.
func headerText(raw []byte) (string, problem) {
	if bytes.HasPrefix(raw, utf8Mark) {
		return "", problem{text: "begins with a byte order mark: write the value without it, in UTF-8"}
	}
	value := strings.TrimRight(string(raw), whiteSpace)
	if hasControl(value) {
		return "", problem{text: "holds more than one line or a control character: write the value on one line"}
	}
	return value, problem{}
}

// hasControl reports whether s contains characters that are not allowed in a header (RFC 9110,
// section 5.5). Tabs are allowed.
func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f })
}
