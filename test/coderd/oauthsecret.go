// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"io"
	"strings"
)

// Client secrets, authorization codes and refresh tokens look alike: coder_<public part>_<secret
// part> (contract A.4).
const (
	oauthSecretPrefix = "coder_"
	oauthPublicLength = 10
	oauthSecretLength = 40
	// registrationTokenLength is that of a registration access token, which has no prefix.
	registrationTokenLength = 40
)

// oauthSecret is the stored form of such a secret: its public part finds it, the hash checks it.
type oauthSecret struct {
	public string
	hash   secretHash
}

// newOAuthSecret makes a random secret and returns its value, which cannot be read again.
func newOAuthSecret(random io.Reader) (string, oauthSecret, error) {
	public, err := randomString(random, oauthPublicLength)
	if err != nil {
		return "", oauthSecret{}, err
	}
	secret, err := randomString(random, oauthSecretLength)
	if err != nil {
		return "", oauthSecret{}, err
	}
	return oauthSecretPrefix + public + "_" + secret, oauthSecret{public: public, hash: hashSecret(secret)}, nil
}

// splitOAuthSecret splits a value into its parts; ok is false if it has another format.
func splitOAuthSecret(value string) (public, secret string, ok bool) {
	rest, found := strings.CutPrefix(value, oauthSecretPrefix)
	if !found {
		return "", "", false
	}
	public, secret, found = strings.Cut(rest, "_")
	return public, secret, found && len(public) == oauthPublicLength && len(secret) == oauthSecretLength
}

func (s oauthSecret) matches(value string) bool {
	public, secret, ok := splitOAuthSecret(value)
	return ok && public == s.public && s.hash.matches(secret)
}
