package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// coderServer is the simulated Coder server, a process of its own.
type coderServer struct {
	*process
	url    string            // of the Coder API, behind the edge
	admin  string            // URL of the port that only demonstrations and tests have
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
func startCoder(ctx context.Context, root string, f *folder, m *material) (*coderServer, error) {
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
		if files[name], err = f.write(filepath.Join("coderd", name), content); err != nil {
			return nil, err
		}
	}
	tokenFile := filepath.Join(f.work, "coderd", "tokens.json")
	p, err := startProcess(f.logs, filepath.Join(root, "bin", "coderd-sim"),
		"--tls-cert", files["server.crt"], "--tls-key", files["server.key"],
		"--client-ca", files["client-ca.crt"], "--edge-identity", "--oauth2-provider", "--dynamic-registration",
		"--seed", files["seed.json"], "--seed-tokens", tokenFile)
	if err != nil {
		return nil, err
	}
	c := &coderServer{process: p}
	err = c.ready(ctx, tokenFile)
	if err == nil {
		// Where the OAuth2 provider says that it is. It was not known before.
		err = c.setOptions(ctx, map[string]string{"access_url": c.url})
	}
	if err == nil {
		err = c.changeEdge(ctx, map[string]any{"required_headers": map[string]string{headerName: m.header}})
	}
	if err != nil {
		return nil, errors.Join(err, p.stop())
	}
	return c, nil
}

// ready waits until the server has printed where it listens.
func (c *coderServer) ready(ctx context.Context, tokenFile string) error {
	_, err := await(ctx, "coderd-sim prints its URLs", func(context.Context) (string, bool, error) {
		select {
		case <-c.ended:
			return "", false, &exitError{process: c.process}
		default:
		}
		output, err := os.ReadFile(c.log)
		for line := range strings.Lines(string(output)) {
			if value, found := strings.CutPrefix(line, "url="); found {
				c.url = strings.TrimSpace(value)
			}
			if value, found := strings.CutPrefix(line, "admin_url="); found {
				c.admin = strings.TrimSpace(value)
			}
		}
		return "no URLs yet", c.admin != "", err
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

// call asks the administration port; in and out may be nil.
func (c *coderServer) call(ctx context.Context, method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("encode a request: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, c.admin+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make a request: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("ask the administration of coderd-sim: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("read the answer of coderd-sim: %w", err)
	}
	if response.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s %s of coderd-sim: %s: %s", method, path, response.Status, bytes.TrimSpace(answer))
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}

// changeEdge changes what stands before the server, in one step.
func (c *coderServer) changeEdge(ctx context.Context, change map[string]any) error {
	return c.call(ctx, http.MethodPut, "/edge", change, nil)
}

// setOptions changes what the server itself does, in one step.
func (c *coderServer) setOptions(ctx context.Context, change map[string]string) error {
	return c.call(ctx, http.MethodPut, "/options", change, nil)
}

// verifications is how often anybody has asked the server who it is, which is how
// the operator begins every verification.
func (c *coderServer) verifications(ctx context.Context) (int, error) {
	var answer struct{ Count int }
	query := url.Values{"method": {http.MethodGet}, "route": {"/api/v2/buildinfo"}}
	err := c.call(ctx, http.MethodGet, "/count?"+query.Encode(), nil, &answer)
	return answer.Count, err
}

// accepts reports whether the server would accept a token now.
func (c *coderServer) accepts(ctx context.Context, token string) (bool, error) {
	var answer struct{ Accepted bool }
	err := c.call(ctx, http.MethodPost, "/accepts-token", map[string]string{"token": token}, &answer)
	return answer.Accepted, err
}

// minted are the live tokens that the operator made.
func (c *coderServer) minted(ctx context.Context) ([]coderd.Key, error) {
	var keys []coderd.Key
	err := c.call(ctx, http.MethodGet, "/tokens?prefix=cso-&live=true", nil, &keys)
	return keys, err
}

// lastRequest is the latest request for a route.
func (c *coderServer) lastRequest(ctx context.Context, route string) (coderd.Request, error) {
	var requests []coderd.Request
	if err := c.call(ctx, http.MethodGet, "/requests", nil, &requests); err != nil {
		return coderd.Request{}, err
	}
	var last coderd.Request
	for _, request := range requests {
		if request.Route == route {
			last = request
		}
	}
	return last, nil
}
