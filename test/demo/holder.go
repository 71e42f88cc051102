// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/coder-session-operator/coder-session-operator/test/walk"
)

// holder is a client that has nothing but what a generated Secret holds.
type holder struct {
	data        map[string][]byte
	certificate bool // use tls.crt and tls.key
}

// getStatus sends a GET request and returns the status.
func (h holder) getStatus(ctx context.Context, path string) (int, error) {
	config, err := h.tlsConfig()
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, string(h.data["url"])+path, nil)
	if err != nil {
		return 0, fmt.Errorf("make a request: %w", err)
	}
	for line := range strings.Lines(string(h.data["headers"])) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		request.Header.Set(name, value)
	}
	if token := h.data["session"]; len(token) > 0 {
		request.Header.Set("Coder-Session-Token", string(token))
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return 0, fmt.Errorf("ask the Coder server: %w", err)
	}
	return response.StatusCode, response.Body.Close()
}

func (h holder) tlsConfig() (*tls.Config, error) {
	config := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	if !config.RootCAs.AppendCertsFromPEM(h.data["ca.crt"]) {
		return nil, &walk.UnexpectedError{Expected: "certificates in ca.crt", Seen: "none"}
	}
	if !h.certificate {
		return config, nil
	}
	pair, err := tls.X509KeyPair(h.data["tls.crt"], h.data["tls.key"])
	if err != nil {
		return nil, fmt.Errorf("use tls.crt and tls.key: %w", err)
	}
	config.Certificates = []tls.Certificate{pair}
	return config, nil
}
