// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/coder-session-operator/coder-session-operator/test/conformance"
)

const (
	exitDifferent = 1
	exitUsage     = 2
	// requestTimeout bounds each request.
	requestTimeout = time.Minute
)

var errUsage = errors.New("usage")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// settings are the parsed flags.
type settings struct {
	options                   conformance.Options
	tokenFile, profile        string
	caFile, certFile, keyFile string
	headerFile                string
	cleanUp                   bool
}

func parseSettings(args []string, errOut io.Writer) (*settings, error) {
	s := &settings{}
	f := flag.NewFlagSet("coder-conformance", flag.ContinueOnError)
	f.SetOutput(errOut)
	f.StringVar(&s.options.URL, "url", "", "the server's URL")
	f.StringVar(&s.tokenFile, "token-file", "", "file with a token, at best an owner's; without it less is asked")
	f.StringVar(&s.profile, "profile", "", "R30, MID or NEW; without it the server's version decides")
	f.StringVar(&s.options.Template, "template", "", "template to make two workspaces from; without it none is made")
	f.StringVar(&s.options.Only, "only", "", "ask only questions whose names begin so")
	f.BoolVar(&s.options.Flood, "flood", false,
		"fill the rate limit of logins from this address, too: no one behind it can log in for a minute")
	f.BoolVar(&s.options.Strict, "strict", false, "report fields that the recorded answers do not have")
	f.StringVar(&s.caFile, "ca-file", "", "authorities (PEM) of the server's certificate, instead of the system's")
	f.StringVar(&s.certFile, "cert-file", "", "client certificate (PEM), with --key-file")
	f.StringVar(&s.keyFile, "key-file", "", "its private key (PEM)")
	f.StringVar(&s.headerFile, "header-file", "", "file with headers for what stands in front of the server, a line each")
	f.BoolVar(&s.cleanUp, "clean-up", false, "only remove what earlier runs left behind")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	halfPair := (s.certFile == "") != (s.keyFile == "")
	if s.options.URL == "" || len(f.Args()) > 0 || halfPair || s.cleanUp && s.tokenFile == "" {
		f.Usage()
		return nil, errUsage
	}
	s.options.Profile = conformance.Profile(strings.ToUpper(s.profile))
	return s, nil
}

// load reads the files that the flags name.
func (s *settings) load() error {
	if s.tokenFile != "" {
		token, err := os.ReadFile(s.tokenFile)
		if err != nil {
			return err
		}
		if s.options.Token = strings.TrimSpace(string(token)); s.options.Token == "" {
			return fmt.Errorf("%s is empty", s.tokenFile)
		}
		if strings.ContainsAny(s.options.Token, " \t\r\n") {
			return fmt.Errorf("%s holds more than a token", s.tokenFile)
		}
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.caFile != "" {
		text, err := os.ReadFile(s.caFile)
		if err != nil {
			return err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return fmt.Errorf("%s holds no certificate", s.caFile)
		}
	}
	if s.certFile != "" {
		pair, err := tls.LoadX509KeyPair(s.certFile, s.keyFile)
		if err != nil {
			return err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	headers, err := readHeaders(s.headerFile)
	if err != nil {
		return err
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: config}
	s.options.HTTPClient = &http.Client{Timeout: requestTimeout, Transport: edgeTransport{transport, headers}}
	return nil
}

// edgeTransport adds headers that something in front of the server demands.
type edgeTransport struct {
	next    http.RoundTripper
	headers http.Header
}

// RoundTrip sends the request with the headers.
func (e edgeTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	for name, values := range e.headers {
		req.Header[name] = values
	}
	return e.next.RoundTrip(req)
}

// readHeaders reads lines of the form "Name: value". The error does not show a line: it may be secret.
func readHeaders(path string) (http.Header, error) {
	headers := http.Header{}
	if path == "" {
		return headers, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		name, value, found := strings.Cut(line, ":")
		if !found {
			return nil, fmt.Errorf("%s has a line that is not \"Name: value\"", path)
		}
		headers.Add(name, strings.TrimSpace(value))
	}
	return headers, nil
}

func run(ctx context.Context, args []string, out, errOut io.Writer) int {
	s, err := parseSettings(args, errOut)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return exitUsage
	}
	if err := s.load(); err != nil {
		return fail(errOut, err)
	}
	if s.cleanUp {
		removed, err := conformance.CleanUp(ctx, s.options)
		for _, what := range removed {
			_, _ = fmt.Fprintln(out, "removed", what)
		}
		if err != nil {
			return fail(errOut, err)
		}
		return 0
	}
	report, err := conformance.Run(ctx, s.options)
	if report != nil {
		if err := report.Write(out); err != nil {
			return fail(errOut, err)
		}
	}
	switch {
	case err != nil:
		return fail(errOut, err)
	case !report.Passed():
		return exitDifferent
	}
	return 0
}

func fail(errOut io.Writer, err error) int {
	_, _ = fmt.Fprintln(errOut, "coder-conformance:", err)
	return exitDifferent
}
