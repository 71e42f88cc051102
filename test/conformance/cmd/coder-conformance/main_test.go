// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/test/certs"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// server is a simulated server whose URL is its access URL, and a file with an owner's token.
type server struct {
	*coderd.Server
	url, token, tokenFile string
}

func startServer(t *testing.T, o coderd.ListenOptions) server {
	t.Helper()
	s := server{Server: coderd.New(coderd.Options{Profile: coderd.ProfileMid})}
	listener, err := s.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	s.url = listener.URL()
	s.Reconfigure(func(o *coderd.Options) { o.AccessURL = s.url })
	s.SetOAuth2Provider(true)
	if _, err := s.CreateUser(coderd.UserOptions{Username: "root", Roles: []string{coderd.RoleOwner}}); err != nil {
		t.Fatal(err)
	}
	if s.token, _, err = s.CreateToken(coderd.TokenOptions{User: "root"}); err != nil {
		t.Fatal(err)
	}
	s.tokenFile = writeFile(t, s.token+"\n")
	return s
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestExitCodes(t *testing.T) { // B129
	t.Parallel()
	s := startServer(t, coderd.ListenOptions{})
	url, token := "--url="+s.url, "--token-file="+s.tokenFile
	for name, tc := range map[string]struct {
		args []string
		code int
		says string
	}{
		"all":             {[]string{url, token, "--template=sim", "--only=d"}, 0, "0 differently"},
		"one group":       {[]string{url, token, "--only=a5-"}, 0, "0 differently"},
		"another profile": {[]string{url, token, "--profile=r30", "--only=a6-"}, 1, "status 404 instead of 400"},
		"no token":        {[]string{url, "--only=a5-"}, 0, "No token"},
		"nothing to tidy": {[]string{url, token, "--clean-up"}, 0, ""},
		"help":            {[]string{"--help"}, 0, "-token-file"},
		"no URL":          {[]string{token}, 2, "-token-file"},
		"an argument":     {[]string{url, token, "x"}, 2, "-token-file"},
		"unknown flag":    {[]string{url, "--token=x"}, 2, "not defined"},
		"half a pair":     {[]string{url, "--cert-file=x"}, 2, "-key-file"},
		"blind clean-up":  {[]string{url, "--clean-up"}, 2, "-clean-up"},
		"no such file":    {[]string{url, "--token-file=absent"}, 1, "absent"},
		"empty file":      {[]string{url, "--token-file=" + writeFile(t, "\n")}, 1, "is empty"},
		"two tokens":      {[]string{url, "--token-file=" + writeFile(t, "a b")}, 1, "more than a token"},
		"no header":       {[]string{url, token, "--header-file=" + writeFile(t, "x")}, 1, "Name: value"},
		"no header file":  {[]string{url, token, "--header-file=absent"}, 1, "absent"},
		"no authority":    {[]string{url, token, "--ca-file=" + writeFile(t, "x")}, 1, "holds no certificate"},
		"no certificate":  {[]string{url, token, "--cert-file=absent", "--key-file=absent"}, 1, "absent"},
		"unreachable":     {[]string{"--url=http://127.0.0.1:1", token}, 1, "cannot be reached"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			if code := run(t.Context(), tc.args, &out, &out); code != tc.code {
				t.Errorf("exit code %d, want %d:\n%s", code, tc.code, out.String())
			}
			if !strings.Contains(out.String(), tc.says) {
				t.Errorf("%q is missing in\n%s", tc.says, out.String())
			}
			if strings.Contains(out.String(), s.token) {
				t.Error("the token is printed")
			}
		})
	}
}

// TestPageNamesEveryFlag holds the user's page to the flags.
func TestPageNamesEveryFlag(t *testing.T) { // B129
	t.Parallel()
	page, err := os.ReadFile("../../../../docs/operations/upgrading-coder.md")
	if err != nil {
		t.Fatal(err)
	}
	var usage bytes.Buffer
	run(t.Context(), []string{"--help"}, &usage, &usage)
	known := map[string]bool{}
	for _, found := range regexp.MustCompile(`(?m)^  -([a-z-]+)`).FindAllStringSubmatch(usage.String(), -1) {
		known["--"+found[1]] = true
		if !bytes.Contains(page, []byte("--"+found[1])) {
			t.Errorf("the page does not name --%s", found[1])
		}
	}
	for _, row := range regexp.MustCompile("(?m)^\\| (`--.*?) \\|").FindAllSubmatch(page, -1) {
		for _, flag := range regexp.MustCompile(`--[a-z-]+`).FindAllString(string(row[1]), -1) {
			if !known[flag] {
				t.Errorf("the page names %s, which is no flag", flag)
			}
		}
	}
}

// TestInterruption ends a run as a signal does.
func TestInterruption(t *testing.T) { // B129
	t.Parallel()
	s := startServer(t, coderd.ListenOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	started := make(chan struct{})
	go func() {
		defer close(started)
		for s.Count("POST", "/api/v2/users/{user}/keys/tokens") < 50 && ctx.Err() == nil {
			<-time.After(time.Millisecond)
		}
		cancel()
	}()
	var out bytes.Buffer
	if code := run(ctx, []string{"--url=" + s.url, "--token-file=" + s.tokenFile}, &out, &out); code != exitDifferent {
		t.Errorf("exit code %d", code)
	}
	<-started
	if !strings.Contains(out.String(), "canceled") || strings.Contains(out.String(), "Could not be removed") {
		t.Error(out.String())
	}
	for _, u := range s.Users() {
		if u.Username != "root" && !u.Deleted {
			t.Errorf("user %s was left behind", u.Username)
		}
	}
}

// TestHeadersOfAnEdge asks a server that is reached with a header only, streams included.
func TestHeadersOfAnEdge(t *testing.T) { // B129
	t.Parallel()
	s := startServer(t, coderd.ListenOptions{Edge: coderd.Edge{RequiredHeaders: map[string]string{"X-Edge": "open"}}})
	args := []string{"--url=" + s.url, "--token-file=" + s.tokenFile, "--template=sim", "--only=d"}
	var out bytes.Buffer
	if code := run(t.Context(), args, &out, &out); code != exitDifferent {
		t.Errorf("without the header: exit code %d\n%s", code, out.String())
	}
	args = append(args, "--header-file="+writeFile(t, "X-Edge: open\n\nX-Other: 1\n"))
	if code := run(t.Context(), args, &out, &out); code != 0 {
		t.Errorf("exit code %d\n%s", code, out.String())
	}
}

// TestClientCertificate asks a server that is reached with a certificate only.
func TestClientCertificate(t *testing.T) { // B129
	t.Parallel()
	authority := certs.ForTest(t, "authority")
	served := authority.IssueForTest(t, certs.Request{CommonName: "server"})
	own := authority.IssueForTest(t, certs.Request{CommonName: "client", Usage: certs.Client})
	s := startServer(t, coderd.ListenOptions{Edge: coderd.Edge{Certificate: &served.TLS, ClientCAs: authority.Pool()}})
	args := []string{
		"--url=" + s.url, "--token-file=" + s.tokenFile, "--only=a3-", "--ca-file=" + writeFile(t, string(authority.PEM())),
	}
	var out bytes.Buffer
	if code := run(t.Context(), args, &out, &out); code != exitDifferent {
		t.Errorf("without a certificate: exit code %d\n%s", code, out.String())
	}
	args = append(args, "--cert-file="+writeFile(t, string(own.CertPEM)), "--key-file="+writeFile(t, string(own.KeyPEM)))
	if code := run(t.Context(), args, &out, &out); code != 0 {
		t.Errorf("exit code %d\n%s", code, out.String())
	}
}
