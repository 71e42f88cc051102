// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"time"
)

// serveFaulty answers a request with the armed faults applied. A cut connection is
// http.ErrAbortHandler, which net/http turns into a closed connection (HTTP/1) or a reset stream
// (HTTP/2).
func (s *Server) serveFaulty(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	faults := s.faults.takeMatching(r.Method, r.URL.Path)
	if len(faults) == 0 {
		next(w, r)
		return
	}
	// The body is read first, because net/http notices only after that when a client disconnects.
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	var late []Fault
	for _, f := range faults {
		switch {
		case f.Late || f.Kind == FaultDropAnswer:
			late = append(late, f)
		case f.Kind == FaultRolesLookup:
			exchangeOf(r).trouble = f.troubleDetail()
		case f.Kind.isTerminal():
			s.answerFault(w, r, f)
			return
		default:
			holdRequest(r, f)
		}
	}
	if len(late) == 0 {
		next(w, r)
		return
	}
	held := &heldAnswer{header: w.Header(), status: http.StatusOK}
	next(held, r)
	for _, f := range late {
		if f.Kind == FaultDropAnswer {
			panic(http.ErrAbortHandler)
		}
		holdRequest(r, f)
	}
	w.WriteHeader(held.status)
	_, _ = w.Write(held.body.Bytes())
}

// troubleDetail is the detail of the answer to FaultRolesLookup.
func (f Fault) troubleDetail() string {
	if f.Detail != "" {
		return f.Detail
	}
	return "Internal error fetching the user's roles: connect to host=db user=coder password=" + TroubleSecret
}

// holdRequest waits for a latency or a gate. It aborts the request if the client disconnects or the
// listener stops.
func holdRequest(r *http.Request, f Fault) {
	var released <-chan struct{}
	var elapsed <-chan time.Time
	switch f.Kind {
	case FaultGate:
		f.Gate.markEntered()
		released = f.Gate.released
	case FaultLatency:
		timer := time.NewTimer(f.Latency)
		defer timer.Stop()
		elapsed = timer.C
	default:
		return
	}
	var stopped <-chan struct{}
	if l := exchangeOf(r).listener; l != nil {
		stopped = l.stopSignal()
	}
	select {
	case <-released:
	case <-elapsed:
	case <-r.Context().Done():
		panic(http.ErrAbortHandler)
	case <-stopped:
		panic(http.ErrAbortHandler)
	}
}

func (s *Server) answerFault(w http.ResponseWriter, r *http.Request, f Fault) {
	opts := s.currentOptions()
	if f.Kind != FaultHTML {
		w.Header().Set("X-Coder-Build-Version", opts.buildVersion())
	}
	text := func(value, fallback string) string {
		if value == "" {
			return fallback
		}
		return value
	}
	switch f.Kind {
	case FaultDropBefore:
		panic(http.ErrAbortHandler)
	case FaultStatus:
		status := orStatus(f.Status, http.StatusInternalServerError)
		s.faultBody(r.URL.Path, status, text(f.Message, "internal error"), f.Detail).writeTo(w)
	case FaultHTML:
		status := orStatus(f.Status, http.StatusBadGateway)
		writeHTML(w, status, strconv.Itoa(status)+" "+http.StatusText(status))
	case FaultUnauthorized:
		detail := f.Detail
		if f.Message == "" && detail == "" {
			detail = "the API key is invalid"
		}
		unauthorizedReply(opts.AccessURL, text(f.Message, signedOut), detail).writeTo(w)
	case FaultTooManyRequests:
		wait := f.RetryAfter
		if wait == 0 {
			wait = rateWindow
		}
		s.faultBody(r.URL.Path, http.StatusTooManyRequests, text(f.Message, "rate limit reached"), f.Detail).
			withHeader("Retry-After", strconv.Itoa(int(wait/time.Second))).
			withHeader("X-RateLimit-Limit", strconv.Itoa(opts.APIRateLimit)).
			withHeader("X-RateLimit-Remaining", "0").
			withHeader("X-RateLimit-Reset", strconv.FormatInt(s.Now().Add(wait).Unix(), 10)).writeTo(w)
	default: // served elsewhere: before the request, or after its answer
	}
}

func orStatus(status, fallback int) int {
	if status == 0 {
		return fallback
	}
	return status
}

// heldAnswer buffers an answer, so that the connection can be cut after the work is done.
type heldAnswer struct {
	header  http.Header
	status  int
	written bool
	body    bytes.Buffer
}

func (h *heldAnswer) Header() http.Header { return h.header }

func (h *heldAnswer) WriteHeader(status int) {
	if !h.written {
		h.status, h.written = status, true
	}
}

func (h *heldAnswer) Write(p []byte) (int, error) {
	h.written = true
	return h.body.Write(p)
}
