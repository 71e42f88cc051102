// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Behaviour answers a request.
type Behaviour func(http.ResponseWriter, *http.Request)

// Start runs a server until the test ends, and returns its URL.
func Start(tb testing.TB, b Behaviour) string {
	tb.Helper()
	server := httptest.NewServer(http.HandlerFunc(b))
	tb.Cleanup(func() {
		server.CloseClientConnections() // drips do not end by themselves
		server.Close()
	})
	return server.URL
}

// Bomb answers with repeat, which is repeated until size bytes of it were sent in gzip, between begin
// and end. The answer takes about a thousandth of it on the wire.
func Bomb(size int, begin, repeat, end string) Behaviour {
	chunk := strings.Repeat(repeat, max(1, 64<<10/len(repeat)))
	return compressed(func(to io.Writer) {
		_, _ = io.WriteString(to, begin) // a buffer takes everything
		for sent := 0; sent < size; sent += len(chunk) {
			_, _ = io.WriteString(to, chunk)
		}
		_, _ = io.WriteString(to, end)
	})
}

// compressed answers with what write writes. It is compressed once: a server is not to take the memory that
// a test measures.
func compressed(write func(io.Writer)) Behaviour {
	var zipped bytes.Buffer
	to, err := gzip.NewWriterLevel(&zipped, gzip.BestSpeed)
	if err != nil {
		panic(err) // the level is valid
	}
	write(to)
	_ = to.Close()
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(zipped.Bytes())
	}
}

// Answer answers with a status, headers and a body.
func Answer(status int, body string, header ...string) Behaviour {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for _, line := range header {
			name, value, _ := strings.Cut(line, ": ")
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// Drip sends the beginning of a body and no end, until the client goes away.
func Drip(body string) Behaviour {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, body)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
}

// Silence answers nothing, until the client goes away.
func Silence(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// Echo answers with an error that quotes the request's headers.
func Echo(status int) Behaviour {
	return func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		_ = r.Header.Write(w)
	}
}

// Headers answers with as many headers.
func Headers(count int) Behaviour {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := range count {
			w.Header().Set(fmt.Sprintf("X-Flood-%d", i), strings.Repeat("x", 64))
		}
		_, _ = io.WriteString(w, "{}")
	}
}

// CutOff announces more than it sends.
func CutOff(body string) Behaviour {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(body)+100))
		_, _ = io.WriteString(w, body)
	}
}

// Events sends an event stream of the same text until the client goes away.
func Events(text string) Behaviour {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for {
			if _, err := io.WriteString(w, text); err != nil {
				return
			}
		}
	}
}

// ByPath chooses a behaviour by what the request's path ends with; otherwise by default.
func ByPath(fallback Behaviour, byEnding map[string]Behaviour) Behaviour {
	return func(w http.ResponseWriter, r *http.Request) {
		for ending, b := range byEnding {
			if strings.HasSuffix(r.URL.Path, ending) {
				b(w, r)
				return
			}
		}
		fallback(w, r)
	}
}
