// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"fmt"
	"net/http"
)

// SeedWorkspace is a workspace on the administration port.
type SeedWorkspace struct {
	Owner  string          `json:"owner"`
	Name   string          `json:"name"`
	Status WorkspaceStatus `json:"status,omitempty"`
}

func (a *admin) listWorkspaces(*http.Request) (any, error) { return a.server.Workspaces(), nil }

func (a *admin) createWorkspace(r *http.Request) (any, error) {
	in, err := readJSON[SeedWorkspace](r)
	if err != nil {
		return nil, err
	}
	return a.server.CreateWorkspace(WorkspaceOptions(in))
}

// pathRef is the workspace of {owner} and {name}.
func pathRef(r *http.Request) string { return r.PathValue("owner") + "/" + r.PathValue("name") }

func (a *admin) deleteWorkspace(r *http.Request) (any, error) {
	return nil, a.server.DeleteWorkspace(pathRef(r))
}

func (a *admin) buildWorkspace(r *http.Request) (any, error) {
	in, err := readJSON[struct{ Transition string }](r)
	if err != nil {
		return nil, err
	}
	switch in.Transition {
	case transitionStart:
		return nil, a.server.StartWorkspace(pathRef(r))
	case transitionStop:
		return nil, a.server.StopWorkspace(pathRef(r))
	default:
		return nil, fmt.Errorf("transition %q: %w", in.Transition, ErrInvalid)
	}
}

func (a *admin) setDormant(r *http.Request) (any, error) {
	in, err := readJSON[struct{ Dormant bool }](r)
	if err != nil {
		return nil, err
	}
	return nil, a.server.SetDormant(pathRef(r), in.Dormant)
}

func (a *admin) listStreams(*http.Request) (any, error) { return a.server.Streams(), nil }

func (a *admin) cutStreams(*http.Request) (any, error) {
	return map[string]int{"cut": a.server.CutStreams()}, nil
}
