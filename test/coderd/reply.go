// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
)

// reply is a handler's answer. It is made under the server's lock and written without it, so body
// must not share data that can change.
type reply struct {
	status int
	header http.Header // may be nil
	body   any         // encoded as JSON, unless text or html is set; nil is no body
	text   string      // plain text instead of JSON
	html   string      // a page instead of JSON
	// takeOver, if set, writes the whole answer itself, without the server's lock. Streams use it.
	takeOver http.HandlerFunc
}

// errorJSON is the body of an error (contract A.2).
type errorJSON struct {
	Message     string       `json:"message"`
	Detail      string       `json:"detail,omitempty"`
	Validations []validation `json:"validations,omitempty"`
}

type validation struct {
	Field  string `json:"field"`
	Detail string `json:"detail"`
}

func jsonReply(status int, body any) reply { return reply{status: status, body: body} }

func noContent() reply { return reply{status: http.StatusNoContent} }

func errorReply(status int, message, detail string, validations ...validation) reply {
	return jsonReply(status, errorJSON{Message: message, Detail: detail, Validations: validations})
}

// hiddenReply is the answer both for objects that do not exist and for those that the caller must
// not see (A.6).
func hiddenReply() reply {
	return errorReply(http.StatusNotFound, "not found or you do not have access to it", "")
}

func forbiddenReply() reply {
	return errorReply(http.StatusForbidden, "forbidden", "no permission for this")
}

func routeNotFound() reply {
	return errorReply(http.StatusNotFound, "Route not found.", "")
}

// invalidReply is a request that fails its validation, one entry per field (A.1).
func invalidReply(validations ...validation) reply {
	return errorReply(http.StatusBadRequest, "validation failed", "", validations...)
}

func (rp reply) withHeader(name, value string) reply {
	if rp.header == nil {
		rp.header = http.Header{}
	}
	rp.header.Add(name, value)
	return rp
}

// writeTo sends the answer. An error of the connection is ignored, because it cannot be answered.
func (rp reply) writeTo(w http.ResponseWriter) {
	for name, values := range rp.header {
		w.Header()[name] = values
	}
	var payload []byte
	contentType := ""
	switch {
	case rp.html != "":
		contentType, payload = "text/html; charset=utf-8", []byte(rp.html)
	case rp.text != "":
		contentType, payload = "text/plain; charset=utf-8", []byte(rp.text)
	case rp.body != nil:
		contentType, payload = "application/json; charset=utf-8", encodeJSON(rp.body)
	}
	if contentType != "" && rp.header.Get("Content-Type") == "" {
		w.Header().Set("Content-Type", contentType)
	}
	w.WriteHeader(rp.status)
	_, _ = w.Write(payload)
}

// encodeJSON escapes HTML, as the server does (A.1). Bodies are this package's own types; an error
// is a bug and panics.
func encodeJSON(body any) []byte {
	var buf bytes.Buffer
	if err := json.NewEncoder(&buf).Encode(body); err != nil {
		panic(fmt.Sprintf("coderd: encoding a %T: %v", body, err))
	}
	return buf.Bytes()
}

// writeHTML answers as a proxy or the single-page application would.
func writeHTML(w http.ResponseWriter, status int, title string) {
	reply{status: status, html: htmlPage(title)}.writeTo(w)
}
