// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"io"
	"net/http"
	"strings"
)

// List answers with a list of items, in gzip. It is compressed once, when the behaviour is made.
func List(count int, begin string, item func(int) string, end string) Behaviour {
	return compressed(func(to io.Writer) {
		separator := begin
		for i := range count {
			_, _ = io.WriteString(to, separator+item(i)) // a buffer takes everything
			separator = ","
		}
		_, _ = io.WriteString(to, end)
	})
}

// Only uses a behaviour for requests with a method, and another one for the others.
func Only(method string, b, others Behaviour) Behaviour {
	return func(w http.ResponseWriter, r *http.Request) {
		if strings.EqualFold(r.Method, method) {
			b(w, r)
			return
		}
		others(w, r)
	}
}

// Counted calls count for each request, before it is answered.
func Counted(b Behaviour, count func()) Behaviour {
	return func(w http.ResponseWriter, r *http.Request) {
		count()
		b(w, r)
	}
}
