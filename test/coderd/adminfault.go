// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"fmt"
	"net/http"
	"time"
)

// faultJSON is a Fault as the administration port shows it. A gate fault gets its own gate, which
// POST /faults/{id}/release releases.
type faultJSON struct {
	ID         int          `json:"id,omitempty"`   // answers only
	Hits       int          `json:"hits,omitempty"` // answers only
	Kind       FaultKind    `json:"kind"`
	Method     string       `json:"method,omitempty"`
	Path       string       `json:"path,omitempty"`
	Skip       int          `json:"skip,omitempty"`
	Times      int          `json:"times,omitempty"`
	Late       bool         `json:"late,omitempty"`
	Latency    jsonDuration `json:"latency,omitempty"`
	Status     int          `json:"status,omitempty"`
	RetryAfter jsonDuration `json:"retry_after,omitempty"`
	Message    string       `json:"message,omitempty"`
	Detail     string       `json:"detail,omitempty"`
	Alert      uint8        `json:"alert,omitempty"`
}

func (in faultJSON) toFault() Fault {
	f := Fault{
		Kind: in.Kind, Method: in.Method, Path: in.Path, Skip: in.Skip, Times: in.Times, Late: in.Late,
		Latency: time.Duration(in.Latency), Status: in.Status, RetryAfter: time.Duration(in.RetryAfter),
		Message: in.Message, Detail: in.Detail, Alert: in.Alert,
	}
	if f.Kind == FaultGate {
		f.Gate = NewGate()
	}
	return f
}

func (a *admin) listFaults(*http.Request) (any, error) {
	out := []faultJSON{}
	for _, f := range a.server.faults.listFaults() {
		out = append(out, faultJSON{
			ID: f.id, Hits: f.hits, Kind: f.Kind, Method: f.Method, Path: f.Path, Skip: f.Skip, Times: f.Times, Late: f.Late,
			Latency: jsonDuration(f.Latency), Status: f.Status, RetryAfter: jsonDuration(f.RetryAfter),
			Message: f.Message, Detail: f.Detail, Alert: f.Alert,
		})
	}
	return out, nil
}

func (a *admin) injectFault(r *http.Request) (any, error) {
	in, err := readJSON[faultJSON](r)
	if err != nil {
		return nil, err
	}
	if !in.Kind.isKnown() {
		return nil, fmt.Errorf("fault of kind %q: %w", in.Kind, ErrInvalid)
	}
	return map[string]int{"id": a.server.faults.addFault(in.toFault())}, nil
}

func (a *admin) clearFaults(*http.Request) (any, error) {
	a.server.ClearFaults()
	return nil, nil
}

func (a *admin) disarmFault(r *http.Request) (any, error) {
	f, err := a.pathFault(r)
	if err != nil {
		return nil, err
	}
	a.server.faults.removeFault(f.id)
	if f.Gate != nil {
		f.Gate.Release()
	}
	return nil, nil
}

func (a *admin) releaseGate(r *http.Request) (any, error) {
	f, err := a.pathFault(r)
	if err != nil {
		return nil, err
	}
	if f.Gate == nil {
		return nil, fmt.Errorf("fault %d has no gate: %w", f.id, ErrInvalid)
	}
	f.Gate.Release()
	return nil, nil
}
