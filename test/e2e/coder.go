// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	_ "embed"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/coderd/remote"
	"github.com/coder-session-operator/coder-session-operator/test/program"
	"github.com/coder-session-operator/coder-session-operator/test/walk"
)

// The users of the server.
const (
	operatorUser = "operator"
	machineUser  = "ci-bot"
	personUser   = "ada"
)

//go:embed manifests/coder.yaml
var coderManifest string

// coder is the simulated Coder server, a pod whose administration is reached by a port-forward.
type coder struct {
	remote.Admin
	forward *program.Process
}

// startCoder starts the server in the cluster, with its users.
func (w *e2eRun) startCoder(ctx context.Context, _ options) error {
	for name, content := range map[string][]byte{
		"server.crt": w.material.server.CertPEM, "server.key": w.material.server.KeyPEM,
		"client-ca.crt": w.material.clients.PEM(),
	} {
		if _, err := w.folder.Write(name, content); err != nil {
			return err
		}
	}
	for _, args := range [][]string{
		{"create", "namespace", coderdNamespace},
		{
			"-n", coderdNamespace, "create", "secret", "generic", "coderd-tls", "--from-file=server.crt",
			"--from-file=server.key", "--from-file=client-ca.crt",
		},
	} {
		if _, err := w.kubectl.Run(ctx, args...); err != nil {
			return err
		}
	}
	if err := w.applyManifest(ctx, w.kubectl, "coder.yaml", coderManifest); err != nil {
		return err
	}
	if _, err := w.kubectl.Run(ctx, "-n", coderdNamespace, "rollout", "status", "deployment/coder",
		"--timeout=120s"); err != nil {
		return err
	}
	if err := w.forwardCoder(ctx); err != nil {
		return err
	}
	for _, user := range []coderd.SeedUser{
		{Username: operatorUser, Roles: []string{coderd.RoleOwner}}, {Username: machineUser}, {Username: personUser},
	} {
		if err := w.coder.Call(ctx, http.MethodPost, "/users", user, nil); err != nil {
			return err
		}
	}
	// Set through the administration, since a secret does not belong on a command line.
	err := w.coder.ChangeEdge(ctx, map[string]any{"required_headers": map[string]string{headerName: w.material.header}})
	if err != nil {
		return err
	}
	w.term.Seen("the simulated Coder server runs at %s; its edge demands a client certificate and the header %s", coderURL,
		headerName)
	return nil
}

// forwardCoder leads a port of this machine to the server's administration.
func (w *e2eRun) forwardCoder(ctx context.Context) error {
	forward, err := program.Start(program.Command{
		Path: w.kubectl.Path, Log: w.folder.Log(w.kubectl.Path),
		Args: []string{"--kubeconfig", w.cluster.Kubeconfig, "-n", coderdNamespace,
			"port-forward", "deployment/coder", ":9090", "--address=127.0.0.1"},
	})
	if err != nil {
		return err
	}
	forward.Guard(ctx, w.abort)
	w.coder = &coder{forward: forward}
	_, err = walk.Await(ctx, "kubectl port-forward says where it listens", func(context.Context) (string, bool, error) {
		text, err := os.ReadFile(forward.Log)
		address, _, found := strings.Cut(strings.TrimPrefix(string(text), "Forwarding from "), " ")
		w.coder.URL = "http://" + address
		return string(text), found, err
	})
	return err
}

// createToken creates a token of a user, as the user would.
func (c *coder) createToken(ctx context.Context, user, name string) (string, error) {
	var answer struct{ Token string }
	err := c.Call(ctx, http.MethodPost, "/tokens", coderd.SeedToken{User: user, Name: name, Lifetime: "144h"}, &answer)
	return answer.Token, err
}

// gateRequests holds the next request for a route until it is released.
func (c *coder) gateRequests(
	ctx context.Context, method, path string,
) (release func(context.Context) error, waiting walk.Look, err error) {
	var fault struct{ ID, Hits int }
	err = c.Call(ctx, http.MethodPost, "/faults", map[string]any{
		"kind": coderd.FaultGate, "method": method, "path": path, "times": 1,
	}, &fault)
	release = func(ctx context.Context) error {
		return c.Call(ctx, http.MethodDelete, fmt.Sprintf("/faults/%d", fault.ID), nil, nil)
	}
	waiting = func(ctx context.Context) (string, bool, error) {
		var all []struct{ ID, Hits int }
		if err := c.Call(ctx, http.MethodGet, "/faults", nil, &all); err != nil {
			return "", false, err
		}
		for _, f := range all {
			if f.ID == fault.ID {
				return fmt.Sprintf("%d requests", f.Hits), f.Hits > 0, nil
			}
		}
		return "the gate is gone", false, nil
	}
	return release, waiting, err
}
