// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/test/certs"
)

// running is a started command.
type running struct {
	url, adminURL string
	output        *bytes.Buffer
	stop          func() error
}

// launchServer runs the command until the test stops it, and waits for its URLs.
func launchServer(t *testing.T, args ...string) running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, args, writer, io.Discard)
		_ = writer.CloseWithError(errors.Join(err, io.EOF))
		ended <- err
	}()
	out := running{output: &bytes.Buffer{}}
	lines := bufio.NewReader(io.TeeReader(reader, out.output))
	for _, field := range []struct {
		name string
		to   *string
	}{{"url=", &out.url}, {"admin_url=", &out.adminURL}} {
		line, err := lines.ReadString('\n')
		value, found := strings.CutPrefix(strings.TrimSpace(line), field.name)
		if err != nil || !found {
			t.Fatalf("line %q, error %v", line, err)
		}
		*field.to = value
	}
	out.stop = func() error {
		cancel()
		return <-ended
	}
	t.Cleanup(cancel)
	return out
}

func getStatus(t *testing.T, url, token string, headers ...string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Coder-Session-Token", token)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}

func writeTempFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSeededServer(t *testing.T) {
	t.Parallel()
	seed := writeTempFile(t, "seed.json", `{"users":[{"username":"op","roles":["owner"]}],`+
		`"tokens":[{"user":"op","name":"boot","lifetime":"1h"}]}`)
	tokens := writeTempFile(t, "tokens.json", "world-readable leftovers")
	server := launchServer(t, "--seed", seed, "--seed-tokens", tokens, "--profile", "r30",
		"--require-header", "X-Gate=a=b")
	info, err := os.Stat(tokens)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("mode %v", mode)
	}
	text, err := os.ReadFile(tokens)
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]string
	if err := json.Unmarshal(text, &values); err != nil {
		t.Fatal(err)
	}
	token := values["op/boot"]
	if got := getStatus(t, server.url+"/api/v2/users/me", token, "X-Gate", "a=b"); got != http.StatusOK {
		t.Errorf("with the seeded token: %d", got)
	}
	if got := getStatus(t, server.url+"/api/v2/users/me", token); got != http.StatusForbidden {
		t.Errorf("without the header: %d", got)
	}
	if got := getStatus(t, server.url+"/api/v2/users/absent", token, "X-Gate", "a=b"); got != http.StatusBadRequest {
		t.Errorf("an unknown user in R30: %d", got)
	}
	if got := getStatus(t, server.adminURL+"/users", ""); got != http.StatusOK {
		t.Errorf("administration: %d", got)
	}
	if token == "" || strings.Contains(server.output.String(), token) {
		t.Error("the token is missing, or printed")
	}
	if err := server.stop(); err != nil {
		t.Errorf("stopping: %v", err)
	}
}

func TestServerWithClientCertificates(t *testing.T) {
	t.Parallel()
	authority, err := certs.NewAuthority("test", nil)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := authority.Issue(certs.Request{CommonName: "coder"})
	if err != nil {
		t.Fatal(err)
	}
	server := launchServer(t,
		"--tls-cert", writeTempFile(t, "tls.crt", string(cert.CertPEM)),
		"--tls-key", writeTempFile(t, "tls.key", string(cert.KeyPEM)),
		"--client-ca", writeTempFile(t, "ca.crt", string(authority.PEM())), "--edge-identity")
	if !strings.HasPrefix(server.url, "https://127.0.0.1:") {
		t.Errorf("URL %s", server.url)
	}
	if err := server.stop(); err != nil {
		t.Errorf("stopping: %v", err)
	}
}

func TestServerWithOAuth2Provider(t *testing.T) {
	t.Parallel()
	for profile, off := range map[string][2]int{"R30": {200, 403}, "MID": {403, 403}, "NEW": {404, 404}} {
		for _, tc := range []struct {
			flags                 []string
			metadata, registering int
		}{
			{nil, off[0], off[1]},
			{[]string{"--oauth2-provider"}, http.StatusOK, http.StatusMethodNotAllowed},
		} {
			server := launchServer(t, append(tc.flags, "--profile", profile)...)
			if got := getStatus(t, server.url+"/.well-known/oauth-authorization-server", ""); got != tc.metadata {
				t.Errorf("%s %v: metadata %d", profile, tc.flags, got)
			}
			if got := getStatus(t, server.url+"/oauth2/register", ""); got != tc.registering {
				t.Errorf("%s %v: registration %d", profile, tc.flags, got)
			}
		}
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := run(t.Context(), []string{"--version"}, &out, io.Discard); err != nil || out.String() != "devel\n" {
		t.Errorf("output %q, error %v", out.String(), err)
	}
}

func TestRefusedCommandLines(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"unknown profile":                {"--profile", "R31"},
		"certificate without key":        {"--tls-cert", "x"},
		"client authorities without TLS": {"--client-ca", "x"},
		"identity without authorities":   {"--edge-identity"},
		"header without a value":         {"--require-header", "X-Gate"},
		"argument":                       {"now"},
		"open to the network":            {"--listen", "0.0.0.0:0"},
		"open administration":            {"--admin-listen", "0.0.0.0:0"},
		"absent certificate":             {"--tls-cert", "/nonexistent", "--tls-key", "/nonexistent"},
		"absent seed":                    {"--seed", "/nonexistent"},
		"tokens without a file": {"--seed",
			writeTempFile(t, "s.json", `{"users":[{"username":"a"}],"tokens":[{"user":"a"}]}`)},
		"tokens for an unknown user": {"--seed",
			writeTempFile(t, "s.json", `{"tokens":[{"user":"a"}],"token_file":"/nonexistent/x"}`)},
		"misspelt seed": {"--seed", writeTempFile(t, "s.json", `{"user":[]}`)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			if err := run(t.Context(), args, &out, io.Discard); err == nil || out.Len() > 0 {
				t.Errorf("error %v, output %q", err, out.String())
			}
		})
	}
}
