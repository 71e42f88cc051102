// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// FaultKind is what a fault does to a request.
type FaultKind string

const (
	// FaultLatency holds the request for Fault.Latency of real time.
	FaultLatency FaultKind = "latency"
	// FaultGate holds the request until Fault.Gate is released.
	FaultGate FaultKind = "gate"
	// FaultDropBefore cuts the connection before the server has seen the request.
	FaultDropBefore FaultKind = "drop-before"
	// FaultDropAnswer lets the server do its work and cuts the connection without an answer. Go's
	// client silently repeats a GET that fails on a reused connection, but not a POST, PUT or DELETE.
	FaultDropAnswer FaultKind = "drop-answer"
	// FaultStatus answers Fault.Status (0: 500) in the Coder error shape.
	FaultStatus FaultKind = "status"
	// FaultHTML answers Fault.Status (0: 502) with a proxy's HTML page.
	FaultHTML FaultKind = "html"
	// FaultUnauthorized answers 401 as the auth layer does, for a key that does not exist unless
	// Message or Detail say otherwise.
	FaultUnauthorized FaultKind = "unauthorized"
	// FaultTooManyRequests answers 429 with Retry-After (0: 60 s).
	FaultTooManyRequests FaultKind = "too-many-requests"
	// FaultRolesLookup makes the roles lookup of an otherwise valid key fail: an internal error, with
	// the status 401 in R30 and 500 in later profiles (A.5). Its detail is that of a database driver
	// and has TroubleSecret in it, or Fault.Detail instead (A.9).
	FaultRolesLookup FaultKind = "roles-lookup"
	// FaultTLSAlert refuses a TLS connection with Fault.Alert; see alert.go for what is sent when.
	// Method and Path do not apply.
	FaultTLSAlert FaultKind = "tls-alert"
)

// TroubleSecret stands for the password that a real server may show in the detail of its own
// trouble (A.9).
const TroubleSecret = "made-up-database-password"

// isTerminal reports whether the fault answers in place of the server. Faults after it do not
// apply.
func (k FaultKind) isTerminal() bool {
	return slices.Contains([]FaultKind{
		FaultDropBefore, FaultStatus, FaultHTML, FaultUnauthorized, FaultTooManyRequests,
	}, k)
}

func (k FaultKind) isKnown() bool {
	return k.isTerminal() ||
		slices.Contains([]FaultKind{FaultLatency, FaultGate, FaultDropAnswer, FaultRolesLookup, FaultTLSAlert}, k)
}

// Fault disturbs the requests that it matches. Several faults on one request apply in the order of
// their injection.
type Fault struct {
	Kind FaultKind
	// Method limits the fault to a method; "" is every method.
	Method string
	// Path limits the fault to a path: segment by segment, where * or {anything} stands for one
	// segment and a final ** for the rest, so that a route pattern can be used as it is; "" is every
	// path.
	Path string
	// Skip lets that many matching requests pass first.
	Skip int
	// Times is how many requests are disturbed; 0 is all of them, until removed.
	Times int
	// Late applies FaultLatency and FaultGate between the server's work and the answer instead of
	// before the work.
	Late bool
	// Latency is for FaultLatency.
	Latency time.Duration
	// Gate is for FaultGate.
	Gate *Gate
	// Status is for FaultStatus and FaultHTML.
	Status int
	// RetryAfter is for FaultTooManyRequests, in whole seconds.
	RetryAfter time.Duration
	// Message and Detail replace the texts of FaultStatus, FaultUnauthorized and FaultTooManyRequests.
	// On the OAuth2 protocol's paths they are the error code, such as invalid_grant, and its
	// description.
	Message, Detail string
	// Alert is for FaultTLSAlert: the alert's number, such as 44 for certificate_revoked.
	Alert uint8
}

// Gate holds requests until it is released. It is made by NewGate and can be used once.
type Gate struct {
	entered, released         chan struct{}
	enteredOnce, releasedOnce sync.Once
}

// NewGate makes a closed gate.
func NewGate() *Gate {
	return &Gate{entered: make(chan struct{}), released: make(chan struct{})}
}

// Entered is closed when the first request has arrived at the gate.
func (g *Gate) Entered() <-chan struct{} { return g.entered }

// Release lets all held and future requests pass. It may be called more than once.
func (g *Gate) Release() { g.releasedOnce.Do(func() { close(g.released) }) }

func (g *Gate) markEntered() { g.enteredOnce.Do(func() { close(g.entered) }) }

// armedFault is an injected fault with its counters.
type armedFault struct {
	Fault
	id   int
	seen int
	hits int
}

// tryFire counts a matching request and reports whether the fault applies to it.
func (f *armedFault) tryFire() bool {
	f.seen++
	if f.seen <= f.Skip || f.isSpent() {
		return false
	}
	f.hits++
	return true
}

func (f *armedFault) isSpent() bool { return f.Times > 0 && f.hits >= f.Times }

type faultSet struct {
	mu    sync.Mutex
	last  int
	armed []*armedFault
}

func newFaultSet() *faultSet { return &faultSet{} }

// Inject arms a fault and returns the function that disarms it. Disarming does not release requests
// that wait at a gate. An unknown kind, or FaultGate without a gate, is a mistake in the test and
// panics.
func (s *Server) Inject(f Fault) (remove func()) {
	id := s.faults.addFault(f)
	return func() { s.faults.removeFault(id) }
}

// ClearFaults disarms all faults and releases their gates.
func (s *Server) ClearFaults() {
	for _, f := range s.faults.listFaults() {
		s.faults.removeFault(f.id)
		if f.Gate != nil {
			f.Gate.Release()
		}
	}
}

func (fs *faultSet) addFault(f Fault) int {
	if !f.Kind.isKnown() || (f.Kind == FaultGate && f.Gate == nil) {
		panic("coderd: fault of unknown kind or without its gate: " + string(f.Kind))
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.last++
	fs.armed = append(fs.armed, &armedFault{Fault: f, id: fs.last})
	return fs.last
}

func (fs *faultSet) removeFault(id int) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.armed = slices.DeleteFunc(fs.armed, func(f *armedFault) bool { return f.id == id })
}

func (fs *faultSet) listFaults() []armedFault {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	out := make([]armedFault, 0, len(fs.armed))
	for _, f := range fs.armed {
		out = append(out, *f)
	}
	return out
}

// takeMatching returns the faults that apply to a request, up to the first terminal one, and counts
// them.
func (fs *faultSet) takeMatching(method, path string) []Fault {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	var out []Fault
	for _, f := range fs.armed {
		if f.Kind == FaultTLSAlert || (f.Method != "" && f.Method != method) || !pathMatches(f.Path, path) || !f.tryFire() {
			continue
		}
		out = append(out, f.Fault)
		if f.Kind.isTerminal() {
			break
		}
	}
	return out
}

// takeAlert returns the alert of the first fault that applies to a TLS connection and counts it; 0
// is none.
func (fs *faultSet) takeAlert() uint8 {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for _, f := range fs.armed {
		if f.Kind == FaultTLSAlert && f.tryFire() {
			return f.Alert
		}
	}
	return 0
}

func pathMatches(pattern, path string) bool {
	if pattern == "" {
		return true
	}
	want, got := strings.Split(pattern, "/"), strings.Split(path, "/")
	for i, segment := range want {
		if segment == "**" && i == len(want)-1 {
			return true
		}
		wild := segment == "*" || (strings.HasPrefix(segment, "{") && strings.HasSuffix(segment, "}"))
		if i >= len(got) || (!wild && segment != got[i]) {
			return false
		}
	}
	return len(want) == len(got)
}
