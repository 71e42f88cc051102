// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// credentials are all that the environment gives, read once.
type credentials struct {
	url, token  string
	headers     []string // name=value
	certificate []byte   // PEM, as is the key
	key         []byte
	authorities []byte
	pair        *tls.Certificate
	roots       *x509.CertPool
}

// loadCredentials reads the variables that the Coder CLI reads: CODER_CONFIG_DIR, or CODER_URL and
// CODER_SESSION_TOKEN; CODER_HEADER_COMMAND; and CODER_CLIENT_TLS_*.
func loadCredentials() (*credentials, error) {
	c := &credentials{url: os.Getenv("CODER_URL"), token: os.Getenv("CODER_SESSION_TOKEN")}
	if folder := os.Getenv("CODER_CONFIG_DIR"); folder != "" {
		address, err := os.ReadFile(filepath.Join(folder, "url"))
		if err != nil {
			return nil, err
		}
		token, err := os.ReadFile(filepath.Join(folder, "session"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		c.url, c.token = string(address), string(token)
	}
	if err := c.loadHeaders(os.Getenv("CODER_HEADER_COMMAND")); err != nil {
		return nil, err
	}
	if err := c.loadTLS(); err != nil {
		return nil, err
	}
	return c, nil
}

// loadHeaders runs the header command. There is no shell in the image, so the only command that is
// used (cat) is built in.
func (c *credentials) loadHeaders(command string) error {
	if command == "" {
		return nil
	}
	path, found := strings.CutPrefix(command, "cat ")
	if !found {
		return fmt.Errorf("the header command %q is not \"cat <file>\"", command)
	}
	text, err := os.ReadFile(path)
	for line := range strings.Lines(string(text)) {
		c.headers = append(c.headers, strings.TrimSpace(line))
	}
	return err
}

func (c *credentials) loadTLS() error {
	for variable, into := range map[string]*[]byte{
		"CODER_CLIENT_TLS_CERT_FILE": &c.certificate,
		"CODER_CLIENT_TLS_KEY_FILE":  &c.key,
		"CODER_CLIENT_TLS_CA_FILE":   &c.authorities,
	} {
		path := os.Getenv(variable)
		if path == "" {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		*into = text
	}
	if len(c.certificate) > 0 {
		pair, err := tls.X509KeyPair(c.certificate, c.key)
		if err != nil {
			return err
		}
		c.pair = &pair
	}
	if len(c.authorities) > 0 {
		c.roots = x509.NewCertPool()
		c.roots.AppendCertsFromPEM(c.authorities)
	}
	return nil
}

func (c *credentials) equal(other *credentials) bool {
	return c.url == other.url && c.token == other.token && slices.Equal(c.headers, other.headers) &&
		bytes.Equal(c.certificate,
			other.certificate) && bytes.Equal(c.key, other.key) && bytes.Equal(c.authorities, other.authorities)
}

func (c *credentials) newClient() *http.Client {
	config := &tls.Config{RootCAs: c.roots, MinVersion: tls.VersionTLS12}
	if c.pair != nil {
		config.Certificates = []tls.Certificate{*c.pair}
	}
	return &http.Client{
		Transport:     &http.Transport{TLSClientConfig: config},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (c *credentials) addCredentials(r *http.Request) {
	for _, line := range c.headers {
		name, value, _ := strings.Cut(line, "=")
		r.Header.Set(name, value)
	}
	if c.token != "" {
		r.Header.Set("Coder-Session-Token", c.token)
	}
}

// tokenID is the public half of the token.
func (c *credentials) tokenID() string {
	id, _, _ := strings.Cut(c.token, "-")
	return id
}

// certificateSerial returns the certificate's serial number; empty if there is no certificate.
func (c *credentials) certificateSerial() string {
	if c.pair == nil || c.pair.Leaf == nil {
		return ""
	}
	return c.pair.Leaf.SerialNumber.String()
}
