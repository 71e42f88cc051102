// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/coderd/remote"
	"github.com/coder-session-operator/coder-session-operator/test/program"
	"github.com/coder-session-operator/coder-session-operator/test/walk"
)

// coderServer is the simulated Coder server, a process of its own.
type coderServer struct {
	*program.Process
	remote.Admin
	url    string            // of the Coder API, behind the edge
	tokens map[string]string // seeded ones, by user/name
}

// The users of the server.
const (
	operatorUser = "operator"
	machineUser  = "ci-bot"
	personUser   = "ada"
)

// startCoder starts the server with an edge that demands a client certificate and
// takes the user from it. The header that it demands too is set later: a secret does
// not belong on a command line.
func startCoder(ctx context.Context, root string, f *walk.Folder, m *material) (*coderServer, error) {
	seed := map[string]any{
		"users": []coderd.SeedUser{
			{Username: operatorUser, Roles: []string{coderd.RoleOwner}}, {Username: machineUser}, {Username: personUser},
		},
		"tokens": []coderd.SeedToken{
			{User: operatorUser, Name: "bootstrap", Lifetime: "144h"}, {User: personUser, Name: "laptop", Lifetime: "24h"},
		},
	}
	text, err := json.Marshal(seed)
	if err != nil {
		return nil, fmt.Errorf("encode the seed: %w", err)
	}
	files := map[string]string{}
	for name, content := range map[string][]byte{
		"seed.json": text, "server.crt": m.server.CertPEM, "server.key": m.server.KeyPEM, "client-ca.crt": m.clients.PEM(),
	} {
		if files[name], err = f.Write(filepath.Join("coderd", name), content); err != nil {
			return nil, err
		}
	}
	tokenFile := filepath.Join(f.Work, "coderd", "tokens.json")
	p, err := program.Start(program.Command{
		Path: filepath.Join(root, "bin", "coderd-sim"), Log: f.Log("coderd-sim"),
		Args: []string{
			"--tls-cert", files["server.crt"], "--tls-key", files["server.key"],
			"--client-ca", files["client-ca.crt"], "--edge-identity", "--oauth2-provider", "--dynamic-registration",
			"--seed", files["seed.json"], "--seed-tokens", tokenFile,
		},
	})
	if err != nil {
		return nil, err
	}
	c := &coderServer{Process: p}
	err = c.awaitReady(ctx, tokenFile)
	if err == nil {
		// Where the OAuth2 provider says that it is. It was not known before.
		err = c.SetOptions(ctx, map[string]string{"access_url": c.url})
	}
	if err == nil {
		err = c.ChangeEdge(ctx, map[string]any{"required_headers": map[string]string{headerName: m.header}})
	}
	if err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	return c, nil
}

// awaitReady waits until the server has printed its address.
func (c *coderServer) awaitReady(ctx context.Context, tokenFile string) error {
	_, err := walk.Await(ctx, "coderd-sim prints its URLs", func(context.Context) (string, bool, error) {
		if err := c.Running(); err != nil {
			return "", false, err
		}
		output, err := os.ReadFile(c.Log)
		for line := range strings.Lines(string(output)) {
			if value, found := strings.CutPrefix(line, "url="); found {
				c.url = strings.TrimSpace(value)
			}
			if value, found := strings.CutPrefix(line, "admin_url="); found {
				c.URL = strings.TrimSpace(value)
			}
		}
		return "no URLs yet", c.URL != "", err
	})
	if err != nil {
		return err
	}
	content, err := os.ReadFile(tokenFile)
	if err != nil {
		return fmt.Errorf("read the seeded tokens: %w", err)
	}
	if err := json.Unmarshal(content, &c.tokens); err != nil {
		return fmt.Errorf("decode the seeded tokens: %w", err)
	}
	return nil
}
