// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// settings are the parsed flags.
type settings struct {
	listen, adminListen string
	anyInterface        bool
	http2               bool
	options             coderd.Options
	oauth2Provider      bool
	tlsCert, tlsKey     string
	clientCA            string
	edgeIdentity        bool
	identityHeader      string
	headers             headerFlag
	seed, seedTokens    string
	version             bool
}

// headerFlag collects NAME=VALUE.
type headerFlag map[string]string

// String names the headers without their values, which may be secret.
func (h headerFlag) String() string {
	names := make([]string, 0, len(h))
	for name := range h {
		names = append(names, name)
	}
	return strings.Join(names, ",")
}

var errHeaderForm = errors.New("a header is given as NAME=VALUE")

// Set takes one header.
func (h headerFlag) Set(text string) error {
	name, value, found := strings.Cut(text, "=")
	if !found || name == "" {
		return errHeaderForm
	}
	h[name] = value
	return nil
}

func parseSettings(args []string, errOut io.Writer) (*settings, error) {
	s := &settings{headers: headerFlag{}}
	var profile string
	f := flag.NewFlagSet("coderd-sim", flag.ContinueOnError)
	f.SetOutput(errOut)
	f.StringVar(&s.listen, "listen", "127.0.0.1:0", "loopback address of the Coder API")
	f.BoolVar(&s.anyInterface, "any-interface", false,
		"let --listen be of any interface: for a pod, which has a network of its own")
	f.StringVar(&s.adminListen, "admin-listen", "127.0.0.1:0", "loopback address of the administration")
	f.StringVar(&profile, "profile", string(coderd.ProfileNew), "server generation: R30, MID or NEW")
	f.StringVar(&s.options.AccessURL, "access-url", "", "the deployment's external URL")
	f.IntVar(&s.options.APIRateLimit, "api-rate-limit", 0, "requests per minute; 0 is the default of 512, negative is off")
	f.BoolVar(&s.options.DisableExpiryRefresh, "disable-expiry-refresh", false, "no session slides")
	f.BoolVar(&s.oauth2Provider, "oauth2-provider", false,
		"switch the OAuth2 provider on; --access-url has to be the URL that clients use")
	f.BoolVar(&s.options.DynamicRegistration, "dynamic-registration", false,
		"open dynamic client registration (R30 is always open)")
	f.BoolVar(&s.http2, "http2", false, "offer HTTP/2 on TLS")
	f.StringVar(&s.tlsCert, "tls-cert", "", "file with the server certificate (PEM); with --tls-key serves HTTPS")
	f.StringVar(&s.tlsKey, "tls-key", "", "file with the server's private key (PEM)")
	f.StringVar(&s.clientCA, "client-ca", "", "file with the authorities (PEM) that client certificates must come from")
	f.BoolVar(&s.edgeIdentity, "edge-identity", false, "identify users by the common name of their client certificate")
	f.StringVar(&s.identityHeader, "identity-header", "", "identify users by this header")
	f.Var(s.headers, "require-header", "NAME=VALUE that every request must carry (repeatable)")
	f.StringVar(&s.seed, "seed", "", "JSON file with users and tokens to create")
	f.StringVar(&s.seedTokens, "seed-tokens", "",
		"file (mode 0600) that gets the seeded tokens' values; overrides the seed's token_file")
	f.BoolVar(&s.version, "version", false, "print the version and exit")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	s.options.Profile = coderd.Profile(strings.ToUpper(profile))
	if err := s.checkFlags(f.Args()); err != nil {
		return nil, err
	}
	return s, nil
}

var (
	errProfile  = errors.New("--profile is R30, MID or NEW")
	errPair     = errors.New("--tls-cert and --tls-key go together")
	errClientCA = errors.New("--client-ca and --edge-identity need TLS, and --edge-identity needs --client-ca")
	errArgs     = errors.New("arguments are not expected")
)

func (s *settings) checkFlags(rest []string) error {
	switch {
	case len(rest) > 0:
		return errArgs
	case !s.options.Profile.IsKnown():
		return errProfile
	case (s.tlsCert == "") != (s.tlsKey == ""):
		return errPair
	case s.clientCA != "" && s.tlsCert == "", s.edgeIdentity && s.clientCA == "":
		return errClientCA
	default:
		return nil
	}
}

// loadEdge reads the files that the flags name.
func (s *settings) loadEdge() (coderd.Edge, error) {
	edge := coderd.Edge{
		IdentifyByCertificate: s.edgeIdentity, IdentityHeader: s.identityHeader, RequiredHeaders: s.headers,
	}
	if s.tlsCert != "" {
		pair, err := tls.LoadX509KeyPair(s.tlsCert, s.tlsKey)
		if err != nil {
			return edge, fmt.Errorf("loading the server certificate: %w", err)
		}
		edge.Certificate = &pair
	}
	if s.clientCA != "" {
		text, err := os.ReadFile(s.clientCA)
		if err != nil {
			return edge, fmt.Errorf("loading the client authorities: %w", err)
		}
		edge.ClientCAs = x509.NewCertPool()
		if !edge.ClientCAs.AppendCertsFromPEM(text) {
			return edge, fmt.Errorf("no certificate in %s", s.clientCA)
		}
	}
	return edge, nil
}
