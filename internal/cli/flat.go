// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// flat is a Secret from before the operator: an address and a token, side by side. The token stays in the Secret.
type flat struct {
	secret *corev1.Secret
	// tokenKey is where in the Secret the token is.
	tokenKey string
	// server is the address as a deployment has it.
	server string
}

// pair names the keys of an address and of a token.
type pair struct{ url, token string }

// pairs are those that the Coder CLI reads: from its config directory, and from the environment (contract E).
var pairs = []pair{{"url", "session"}, {"CODER_URL", "CODER_SESSION_TOKEN"}}

// notGenerated selects the Secrets of a namespace that the operator did not write.
func notGenerated(namespace string) *client.ListOptions {
	return &client.ListOptions{
		Namespace: namespace,
		Raw:       &metav1.ListOptions{LabelSelector: "!" + v1alpha1.LabelSession + ",!" + v1alpha1.LabelGrant},
	}
}

// maybeFlat selects those among them that can be flat ones.
func maybeFlat(namespace string) *client.ListOptions {
	options := notGenerated(namespace)
	options.FieldSelector = fields.OneTermEqualSelector("type", string(corev1.SecretTypeOpaque))
	return options
}

// isFlat reports whether a Secret has the keys of a pair.
func isFlat(s *corev1.Secret) bool {
	for _, p := range pairs {
		if has(s, p.url) && has(s, p.token) {
			return true
		}
	}
	return false
}

func has(s *corev1.Secret, key string) bool {
	_, found := s.Data[key]
	return found
}

// readFlat reads a flat Secret. Its errors name the Secret and the key, and nothing of the values.
func readFlat(s *corev1.Secret) (flat, error) {
	if session := s.Labels[v1alpha1.LabelSession]; session != "" {
		return flat{}, fmt.Errorf("the Secret %s is the one that session %s generates: there is nothing to migrate", fullName(s), session)
	}
	var read []flat
	var tokens []string
	for _, p := range pairs {
		if !has(s, p.url) || !has(s, p.token) {
			continue
		}
		server, err := serverOf(string(s.Data[p.url]))
		if err != nil {
			return flat{}, fmt.Errorf("in Secret %s, key %s: %w", fullName(s), p.url, err)
		}
		token := strings.TrimSpace(string(s.Data[p.token]))
		if err := checkToken(token); err != nil {
			return flat{}, fmt.Errorf("in Secret %s, key %s: %w", fullName(s), p.token, err)
		}
		read, tokens = append(read, flat{secret: s, tokenKey: p.token, server: server}), append(tokens, token)
	}
	switch {
	case len(read) == 0:
		return flat{}, fmt.Errorf("the Secret %s has neither the keys url and session nor CODER_URL and CODER_SESSION_TOKEN", fullName(s))
	case len(read) == 2 && (read[0].server != read[1].server || tokens[0] != tokens[1]):
		return flat{}, fmt.Errorf("in Secret %s the keys url and session say something else than CODER_URL and CODER_SESSION_TOKEN: remove the pair that nothing uses", fullName(s))
	}
	return read[0], nil
}

// hostName is one that a deployment's URL can have.
var hostName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9_.]*[a-z0-9])?$`)

// serverOf is an address as a deployment's spec.url takes it.
func serverOf(text string) (string, error) {
	u, err := url.Parse(strings.TrimSpace(text))
	switch {
	case err != nil, u.Scheme != "https" && u.Scheme != "http", u.Host == "", u.Opaque != "":
		return "", errors.New("the value is no http or https URL such as https://coder.example.com")
	case u.User != nil, u.RawQuery != "", u.ForceQuery, u.Fragment != "":
		return "", errors.New("the URL has user information, a query or a fragment: write it without")
	case strings.Trim(u.Path, "/") != "":
		return "", errors.New("the URL has a path: Coder is served at the root of its host")
	}
	host := strings.ToLower(u.Hostname())
	if address, err := netip.ParseAddr(host); err == nil && address.Is6() {
		host = "[" + host + "]"
	} else if !hostName.MatchString(host) {
		return "", errors.New("the URL's host is no host name")
	}
	if port := u.Port(); port != "" && port != map[string]string{"http": "80", "https": "443"}[u.Scheme] {
		host += ":" + port
	}
	return u.Scheme + "://" + host, nil
}

// tokenShape is the form of a token (contract A.4).
var tokenShape = regexp.MustCompile(`^[0-9A-Za-z]{10}-[0-9A-Za-z]{22}$`)

func checkToken(token string) error {
	switch {
	case token == "":
		return errors.New("the token is empty")
	case !tokenShape.MatchString(token):
		return errors.New("the value does not have the shape of a Coder token")
	}
	return nil
}
