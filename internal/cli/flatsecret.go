// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"unicode"

	"golang.org/x/net/idna"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/tokenformat"
)

// flatSecret is a Secret that was written by hand and has a server's URL and a token. The token is
// not copied out of the Secret.
type flatSecret struct {
	secret *corev1.Secret
	// tokenKey is the key of the token in the Secret.
	tokenKey string
	// server is the URL in the form of a deployment's spec.url.
	server string
}

// keyPair has the keys of a URL and a token.
type keyPair struct{ url, token string }

// keyPairs are the names that the Coder CLI uses: in its config directory, and in the environment
// (contract E).
var keyPairs = []keyPair{{"url", "session"}, {"CODER_URL", "CODER_SESSION_TOKEN"}}

// selectNotGenerated selects the Secrets of a namespace that the operator did not generate.
func selectNotGenerated(namespace string) *client.ListOptions {
	return &client.ListOptions{
		Namespace: namespace,
		Raw:       &metav1.ListOptions{LabelSelector: "!" + v1alpha1.LabelSession + ",!" + v1alpha1.LabelGrant},
	}
}

// selectFlatCandidates selects those of them that have the type Opaque.
func selectFlatCandidates(namespace string) *client.ListOptions {
	options := selectNotGenerated(namespace)
	options.FieldSelector = fields.OneTermEqualSelector("type", string(corev1.SecretTypeOpaque))
	return options
}

// isFlat reports whether a Secret has both keys of a pair.
func isFlat(s *corev1.Secret) bool {
	for _, p := range keyPairs {
		if hasKey(s, p.url) && hasKey(s, p.token) {
			return true
		}
	}
	return false
}

func hasKey(s *corev1.Secret, key string) bool {
	_, found := s.Data[key]
	return found
}

// parseFlatSecret parses a flat Secret. Its errors name the Secret and the key, and never quote a
// value.
func parseFlatSecret(s *corev1.Secret) (flatSecret, error) {
	if session := s.Labels[v1alpha1.LabelSession]; session != "" {
		return flatSecret{}, fmt.Errorf(
			"the Secret %s is the one that session %s generates: there is nothing to migrate", fullName(s), session)
	}
	var read []flatSecret
	var tokens []string
	for _, p := range keyPairs {
		if !hasKey(s, p.url) || !hasKey(s, p.token) {
			continue
		}
		server, err := serverURL(strings.TrimPrefix(string(s.Data[p.url]), byteOrderMark))
		if err != nil {
			return flatSecret{}, fmt.Errorf("in Secret %s, key %s: %w", fullName(s), p.url, err)
		}
		token, err := tokenformat.Parse(s.Data[p.token])
		switch {
		case err != nil:
			return flatSecret{}, fmt.Errorf("in Secret %s, key %s: the value %w", fullName(s), p.token, err)
		case token.Empty():
			return flatSecret{}, fmt.Errorf("in Secret %s, key %s: the token is empty: write one, or name the Secrets to "+
				"migrate without this one", fullName(s), p.token)
		}
		read, tokens = append(read, flatSecret{secret: s, tokenKey: p.token, server: server}), append(tokens, token.Reveal())
	}
	switch {
	case len(read) == 0:
		return flatSecret{}, fmt.Errorf(
			"the Secret %s has neither the keys url and session nor CODER_URL and CODER_SESSION_TOKEN", fullName(s))
	case len(read) == 2 && (read[0].server != read[1].server || tokens[0] != tokens[1]):
		return flatSecret{}, fmt.Errorf("in Secret %s the keys url and session say something else than CODER_URL and "+
			"CODER_SESSION_TOKEN: remove the pair that nothing uses", fullName(s))
	}
	return read[0], nil
}

// byteOrderMark is what Windows programs write in front of UTF-8.
const byteOrderMark = "\uFEFF"

// hostName matches the host names that a deployment's spec.url accepts.
var hostName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9_.]*[a-z0-9])?$`)

// hostOf returns the host of a URL in the form in which it is looked up: international names in their
// ASCII form, IPv6 addresses in brackets.
func hostOf(u *url.URL) (string, error) {
	host := strings.ToLower(u.Hostname())
	if address, err := netip.ParseAddr(host); err == nil && address.Is6() {
		return "[" + address.String() + "]", nil
	}
	if strings.ContainsFunc(host, func(c rune) bool { return c > unicode.MaxASCII }) {
		var err error
		if host, err = idna.Lookup.ToASCII(host); err != nil {
			return "", errNoHost // the error of idna quotes the host
		}
	}
	if !hostName.MatchString(host) {
		return "", errNoHost
	}
	return host, nil
}

var errNoHost = errors.New("the URL's host is no host name: write one such as https://coder.example.com")

// serverURL normalizes a URL to the form of a deployment's spec.url.
func serverURL(text string) (string, error) {
	text = strings.TrimSpace(text)
	u, err := url.Parse(text)
	switch {
	case strings.Contains(text, "\x00"):
		return "", errors.New("the value is binary or UTF-16: write the URL in UTF-8")
	case strings.HasPrefix(text, `"`), strings.HasPrefix(text, "'"):
		return "", errors.New("the URL is in quotation marks: write it without them")
	case strings.ContainsAny(text, "\r\n"):
		return "", errors.New("the value has more than one line: write the URL alone")
	case err != nil, u.Scheme != "https" && u.Scheme != "http", u.Host == "", u.Opaque != "":
		return "", errors.New("the value is no http or https URL: write one such as https://coder.example.com")
	case u.User != nil, u.RawQuery != "", u.ForceQuery, u.Fragment != "":
		return "", errors.New("the URL has user information, a query or a fragment: write it without")
	case strings.Trim(u.Path, "/") != "":
		return "", errors.New("the URL has a path: write it without, because Coder is served at the root of its host")
	}
	host, err := hostOf(u)
	if err != nil {
		return "", err
	}
	if port := u.Port(); port != "" && port != map[string]string{"http": "80", "https": "443"}[u.Scheme] {
		host += ":" + port
	}
	return u.Scheme + "://" + host, nil
}
