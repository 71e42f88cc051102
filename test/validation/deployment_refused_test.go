// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"strings"
	"testing"
)

const url = "url: https://coder.example.com\n"

func TestRefusedURLs(t *testing.T) {
	t.Parallel()
	expectRefused(t, map[string]fault{
		"none": {deployment("verify: {}"), "spec.url: Required value"},
		"another scheme": {
			deployment("url: ftp://coder.example.com"),
			"write an http or https URL with a host, such as https://coder.example.com",
		},
		"no scheme":        {deployment("url: coder.example.com"), "write an http or https URL"},
		"no host":          {deployment("url: https://"), "write an http or https URL with a host"},
		"a port, no host":  {deployment("url: https://:8443"), "write an http or https URL with a host"},
		"a path":           {deployment("url: https://example.com/coder"), "write the URL without a path"},
		"a trailing slash": {deployment("url: https://coder.example.com/"), "a trailing slash is one"},
		"user information": {
			deployment("url: https://ada:pw@coder.example.com"),
			"write the URL without user information: put credentials into a Secret",
		},
		"a query":         {deployment("url: https://coder.example.com?x=1"), "write the URL without a query"},
		"a fragment":      {deployment(`url: "https://coder.example.com#x"`), "write the URL without a query or fragment"},
		"too long":        {deployment("url: https://" + strings.Repeat("a", 2048)), "spec.url: Too long"},
		"a proxy by file": {deployment(url + "proxyURL: file:///proxy"), "write an http, https or socks5 URL"},
		"a proxy's password": {
			deployment(url + "proxyURL: http://ada:pw@proxy:3128"), "write the proxy's URL without user information",
		},
		"a misspelt field": {deployment(url + "tsl: {}"), `unknown field "spec.tsl"`},
	})
}

func TestRefusedTLS(t *testing.T) {
	t.Parallel()
	expectRefused(t, map[string]fault{
		"on http": {
			deployment("url: http://coder:3000\ntls: {serverName: coder}"), "write https:// or remove tls",
		},
		"two kinds of trust": {
			deployment(url + "tls: {insecureSkipVerify: true, caBundle: {kind: Secret, name: ca}}"), "remove one of the two",
		},
		"a CA of no kind": {
			deployment(url + "tls: {caBundle: {kind: File, name: ca}}"), `supported values: "Secret", "ConfigMap"`,
		},
		"a CA's name": {
			deployment(url + "tls: {caBundle: {kind: Secret, name: My_CA}}"), "write the object's name: lower-case letters",
		},
		"a CA's key": {
			deployment(url + "tls: {caBundle: {kind: Secret, name: ca, key: certs/ca.crt}}"), "write a key of the object's data",
		},
		"a server's port": {
			deployment(url + `tls: {serverName: "coder:443"}`), "write a host name without scheme and port",
		},
		"a certificate file": {
			deployment(url + "tls: {clientCertificateSecretName: /etc/tls.crt}"), "write the object's name",
		},
	})
}

func TestRefusedHeaders(t *testing.T) {
	t.Parallel()
	header := func(text string) string { return deployment(url + "headers:\n  - " + text) }
	expectRefused(t, map[string]fault{
		"two values": {
			header(`{name: X-Edge, value: a, valueFrom: {secretKeyRef: {name: s, key: k}}}`),
			"write exactly one of value and valueFrom",
		},
		"no value": {header(`{name: X-Edge}`), "write exactly one of value and valueFrom"},
		"two sources": {
			header(`{name: X-Edge, valueFrom: {secretKeyRef: {name: s, key: k}, configMapKeyRef: {name: s, key: k}}}`),
			"write exactly one of secretKeyRef and configMapKeyRef",
		},
		"no source": {header(`{name: X-Edge, valueFrom: {}}`), "write exactly one of secretKeyRef and configMapKeyRef"},
		"no name":   {header(`{name: "", value: a}`), "write a header name: letters, digits and '-'"},
		"a colon":   {header(`{name: "X-Edge:", value: a}`), "write a header name: letters, digits and '-'"},
		"a cookie": {
			header(`{name: Cookie, value: "_oauth2_proxy=a; Coder_Session_Token=b"}`), "remove the cookie coder_session_token",
		},
		"Coder's token":  {header(`{name: coder-session-TOKEN, value: a}`), "name the Secret of the token in spec.token"},
		"the host":       {header(`{name: Host, value: a}`), "use url or tls.serverName"},
		"the connection": {header(`{name: Transfer-Encoding, value: chunked}`), "belongs to the connection"},
		"a line feed":    {header(`{name: X-Edge, value: "a\nX-Other: b"}`), "write the value on one line"},
		"a carriage":     {header(`{name: X-Edge, value: "a\r"}`), "write the value on one line"},
		"a null":         {header(`{name: X-Edge, value: "a\0"}`), "without control characters"},
		"twice by case":  {header("{name: X-Edge, value: a}\n  - {name: x-edge, value: b}"), "write each header once"},
		"a Secret's name": {
			header(`{name: X-Edge, valueFrom: {secretKeyRef: {name: "a b", key: k}}}`), "write the object's name",
		},
	})
}

func TestRefusedOperatorCredentials(t *testing.T) {
	t.Parallel()
	token := func(renew string) string {
		return deployment(url + "token: {secretRef: {name: operator}, renew: {" + renew + "}}")
	}
	expectRefused(t, map[string]fault{
		"no reference": {deployment(url + "token: {}"), "spec.token.secretRef: Required value"},
		"no key": {
			deployment(url + `token: {secretRef: {name: operator, key: ""}}`), "write a key of the object's data",
		},
		"a key with a slash": {
			deployment(url + "token: {secretRef: {name: operator, key: a/b}}"), "write a key of the object's data",
		},
		"renewed before it is":    {token("lifetime: 24h, before: 24h"), "write a before that is shorter than lifetime"},
		"before the default life": {token("before: 200h"), "write a before that is shorter than lifetime"},
		"a lifetime in days":      {token("lifetime: 6d"), "write 168h for 7 days"},
		"a client's name":         {deployment(url + "oauth: {clientSecretName: Coder}"), "write the object's name"},
		"no name": {
			deployment(url + "access: [{namespaceSelector: {}, auth: [Token]}]"), "name: Required value",
		},
		"a name with capitals": {
			deployment(url + "access: [{name: Team, namespaceSelector: {}, auth: [Token]}]"), "such as team-a",
		},
		"a name twice": {
			deployment(url +
				"access: [{name: a, namespaceSelector: {}, auth: [Token]}, {name: a, namespaceSelector: {}, auth: [OAuth]}]"),
			"Duplicate value",
		},
		"the scope all": {deployment(url + "oauth: {scopes: [all]}"), "the alias all is written coder:all"},
		"a scope twice": {deployment(url + `oauth: {scopes: ["coder:all", "coder:all"]}`), "Duplicate value"},
	})
}

func TestRefusedDurations(t *testing.T) {
	t.Parallel()
	const advice = `write a positive duration such as "500ms", "5m" or "24h"`
	expectRefused(t, map[string]fault{
		"no unit":        {deployment(url + `verify: {interval: "5"}`), advice},
		"negative":       {deployment(url + "verify: {interval: -5m}"), advice},
		"zero":           {deployment(url + "verify: {timeout: 0s}"), advice},
		"zero of a ms":   {deployment(url + "verify: {timeout: 0.0ms}"), advice},
		"days":           {deployment(url + "verify: {interval: 1d}"), advice},
		"empty":          {deployment(url + `verify: {interval: ""}`), advice},
		"a space":        {deployment(url + "verify: {interval: 5 m}"), advice},
		"no number":      {deployment(url + "verify: {quietPeriod: s}"), advice},
		"a cap, no unit": {deployment(url + `verify: {maxDelay: "5"}`), advice},
		"a number":       {deployment(url + "verify: {interval: 5}"), "must be of type string"},
		"a cap too low": {
			deployment(url + "verify: {quietPeriod: 5s, maxDelay: 500ms}"), "write a maxDelay that is not below quietPeriod",
		},
		"above the cap": {deployment(url + "verify: {quietPeriod: 1m}"), "write a maxDelay that is not below quietPeriod"},
		"a timeout that holds a worker up": { // B131
			deployment(url + "verify: {timeout: 61s}"), "write a timeout of at most 1m",
		},
		"too long a text": {deployment(url + "verify: {interval: " + strings.Repeat("1h", 20) + "}"), "Too long"},
	})
}

func TestRefusedAccess(t *testing.T) {
	t.Parallel()
	rule := func(text string) string {
		return deployment(url + "access:\n  - {name: all, namespaceSelector: {}, " + text + "}")
	}
	expectRefused(t, map[string]fault{
		"minting without users": {rule("auth: [Mint]"), "name the users that may be minted for in users"},
		"minting for no users":  {rule("auth: [Token, Mint], users: []"), "or remove Mint from auth"},
		"an empty user":         {rule(`auth: [Mint], users: [""]`), "should be at least 1 chars long"},
		"a class of characters in a user": {
			rule(`auth: [Mint], users: ["[^r]*"]`), "write a glob of letters, digits",
		},
		"an escape in a workspace owner": {
			rule(`auth: [Token], workspaceOwners: ["a\\*"]`), "write a glob of letters, digits",
		},
		"no method":       {rule("auth: []"), "should have at least 1 items"},
		"a method's case": {rule("auth: [token]"), `supported values: "Mint", "OAuth", "Token", "Certificate"`},
		"a method twice":  {rule("auth: [Token, Token]"), "Duplicate value"},
		"no selector": {
			deployment(url + "access: [{name: all, auth: [Token]}]"), "namespaceSelector: Required value",
		},
		"no name": {
			deployment(url + "access: [{namespaceSelector: {}, auth: [Token]}]"), "name: Required value",
		},
		"a name with capitals": {
			deployment(url + "access: [{name: Team, namespaceSelector: {}, auth: [Token]}]"), "such as team-a",
		},
		"a name twice": {
			deployment(url +
				"access: [{name: a, namespaceSelector: {}, auth: [Token]}, {name: a, namespaceSelector: {}, auth: [OAuth]}]"),
			"Duplicate value",
		},
		"the scope all": {rule("auth: [Token], scopes: [all]"), "the alias all is written coder:all"},
		"no lifetime":   {rule("auth: [Token], maxLifetime: 0s"), "write a positive duration"},
	})
}

func TestRefusedRetentionAndRate(t *testing.T) {
	t.Parallel()
	expectRefused(t, map[string]fault{
		"nothing to retain": {deployment(url + "retention: {}"), "write idleTimeout, maxSessions or both"},
		"below the grain": {
			deployment(url + "retention: {idleTimeout: 30m}"),
			"write at least 2h: the server records the use of a token once an hour",
		},
		"in days":     {deployment(url + "retention: {idleTimeout: 30d}"), "write 168h for 7 days"},
		"no sessions": {deployment(url + "retention: {maxSessions: 0}"), "greater than or equal to 1"},
		"no requests": {deployment(url + "rateLimit: {requestsPerMinute: 0}"), "greater than or equal to 1"},
	})
}
