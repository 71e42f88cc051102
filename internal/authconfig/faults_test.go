// SPDX-License-Identifier: Apache-2.0

package authconfig_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/authconfig"
)

// sentinel is a value of which no longer part may appear in an error.
const sentinel = "sEnTiNeL0123456789sEnTiNeL"

// faultsOf returns the errors that are joined in an error.
func faultsOf(t *testing.T, err error) []*authconfig.ReferenceError {
	t.Helper()
	joined, ok := err.(interface{ Unwrap() []error }) // the error itself, not what it wraps
	if !ok {
		t.Fatalf("got %v, want joined faults", err)
	}
	var out []*authconfig.ReferenceError
	for _, one := range joined.Unwrap() {
		var fault *authconfig.ReferenceError
		if !errors.As(one, &fault) {
			t.Fatalf("%v is not a ReferenceError", one)
		}
		out = append(out, fault)
	}
	return out
}

type badInput struct {
	secrets map[string]map[string]string // besides those of the complete cluster
	with    func(*v1alpha1.CoderDeployment)
	want    []string // beginnings of the errors' texts
	missing bool
	says    string // what else a text holds
}

// B12, B26
func TestFaultsNameObjectAndKey(t *testing.T) {
	t.Parallel()
	cases := pairFaults(t)
	for _, more := range []map[string]badInput{bundleFaults(t), valueFaults(), fieldFaults()} {
		for name, tc := range more {
			cases[name] = tc
		}
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, _ := completeDeployment(t)
			for name, data := range tc.secrets {
				c.putSecret(name, data)
			}
			s, err := c.newResolver(t).Resolve(t.Context(), newDeployment(tc.with))
			if err == nil || s != nil {
				t.Fatalf("got snapshot %v and error %v", s, err)
			}
			found := faultsOf(t, err)
			if len(found) != len(tc.want) {
				t.Fatalf("got %d faults, want %d: %v", len(found), len(tc.want), err)
			}
			for i, fault := range found {
				if !strings.HasPrefix(fault.Error(), tc.want[i]) {
					t.Errorf("got  %s\nwant %s...", fault, tc.want[i])
				}
				if fault.Missing != tc.missing {
					t.Errorf("%s: Missing is %t", fault, fault.Missing)
				}
			}
			if !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%q does not say %q", err, tc.says)
			}
			wantNoLeak(t, err.Error(), tc.secrets)
		})
	}
}

// wantNoLeak fails if the text contains parts of the values.
func wantNoLeak(t *testing.T, text string, secrets map[string]map[string]string) {
	t.Helper()
	pieces := []string{sentinel, strings.ToLower(sentinel), sentinel[:10]}
	for _, data := range secrets {
		for _, value := range data {
			for _, line := range strings.Split(value, "\n") {
				if len(line) >= 32 { // a line of base64
					pieces = append(pieces, line[:32])
				}
			}
		}
	}
	for _, piece := range pieces {
		if strings.Contains(text, piece) {
			t.Errorf("%q shows in %q", piece, text)
		}
	}
}

func pairFaults(t *testing.T) map[string]badInput {
	own, other, ca := issueSelfSigned(t, "operator", keyECDSA), issueSelfSigned(t, "other", keyECDSA),
		issueAuthority(t, "corp")
	const crt, key = `Secret coder/bad: key "tls.crt": `, `Secret coder/bad: key "tls.key": `
	bad := func(data map[string]string, missing bool, says string, want ...string) badInput {
		return badInput{secrets: map[string]map[string]string{"bad": data}, with: withCertificate("bad"), want: want,
			missing: missing, says: says}
	}
	pair := func(cert, key string) map[string]string { return map[string]string{"tls.crt": cert, "tls.key": key} }
	return map[string]badInput{
		"no such Secret": {
			with: withCertificate("absent"), missing: true,
			want: []string{`Secret coder/absent: does not exist: create it with the keys "tls.crt" and "tls.key"`},
		},
		"no key":         bad(map[string]string{"tls.crt": own.cert}, true, "is missing", key),
		"no certificate": bad(map[string]string{"tls.key": own.key}, true, "is missing", crt),
		"neither":        bad(map[string]string{"other": sentinel}, true, "is missing", crt, key),
		"an empty key":   bad(pair(own.cert, ""), true, "is empty", key),
		"both blank":     bad(pair("\n", " "), true, "is empty", crt, key),
		"of two pairs":   bad(pair(own.cert, other.key), false, "does not match the certificate in tls.crt", key),
		"issuer first":   bad(pair(ca.cert+own.cert, own.key), false, "number 2", key),
		"swapped": bad(pair(own.key, own.cert), false, "holds a private key where only certificates belong",
			crt, key),
		"no PEM": bad(pair(sentinel, sentinel), false, "holds no PEM", crt, key),
		"cut off": bad(pair(own.cert[:len(own.cert)/2], own.key[:len(own.key)/2]), false,
			"line 1: the block that begins here has no END", crt, key),
		"damaged": bad(pair(strings.Replace(own.cert, "M", "*", 1), own.key), false, "line 2: is no base64",
			crt),
		"no certificate inside": bad(pair(block("CERTIFICATE", []byte(sentinel)), own.key), false, "cannot be read", crt),
		"no key inside":         bad(pair(own.cert, block("PRIVATE KEY", []byte(sentinel))), false, "cannot be read", key),
		"key among certificates": bad(pair(own.cert+own.key, own.key), false,
			"holds a private key where only certificates belong",
			crt),
		"a key of another": bad(pair(own.cert, agreementKey(t)), false, "X25519 key, which cannot sign", key),
		"encrypted":        bad(pair(own.cert, block("ENCRYPTED PRIVATE KEY", []byte(sentinel))), false, "encrypted", key),
		"encrypted, older": bad(pair(own.cert, legacyEncrypted([]byte(sentinel))), false, "encrypted", key),
		"OpenSSH's form":   bad(pair(own.cert, block("OPENSSH PRIVATE KEY", []byte(sentinel))), false, "OpenSSH", key),
		"a public key":     bad(pair(own.cert, block("PUBLIC KEY", []byte(sentinel))), false, "holds a public key", key),
		"a request": bad(pair(block("CERTIFICATE REQUEST", []byte(sentinel)), own.key), false,
			"a certificate request", crt),
		"two keys":        bad(pair(own.cert, own.key+other.key), false, "more than one", key),
		"parameters only": bad(pair(own.cert, block("EC PARAMETERS", []byte{6})), false, "holds no private key", key),
		"an unknown type": bad(pair(block(sentinel, []byte("x")), own.key), false, "of another kind", crt),
	}
}

func bundleFaults(t *testing.T) map[string]badInput {
	ca := issueAuthority(t, "corp")
	bad := func(value, says string) badInput {
		return badInput{
			secrets: map[string]map[string]string{"bad": {"ca.crt": value}}, with: withBundle("Secret", "bad", ""),
			want: []string{`Secret coder/bad: key "ca.crt": `}, says: says,
		}
	}
	return map[string]badInput{
		"bundle: no such ConfigMap": {
			with: withBundle("ConfigMap", "absent", "roots"), missing: true,
			want: []string{`ConfigMap coder/absent: does not exist: create it with the key "roots"`},
		},
		"bundle: no such key": {
			with: withBundle("ConfigMap", "corp-ca", "roots"), missing: true,
			want: []string{`ConfigMap coder/corp-ca: key "roots": is missing: add it to the ConfigMap`},
		},
		"bundle: empty": { // ACME issuers leave it empty, OpenShift fills it later
			secrets: map[string]map[string]string{"bad": {"ca.crt": "\n"}}, with: withBundle("Secret", "bad", ""), missing: true,
			want: []string{`Secret coder/bad: key "ca.crt": is empty: write PEM, or wait for what fills it`},
		},
		"bundle: no PEM":              bad(sentinel, "holds no PEM"),
		"bundle: a key":               bad(ca.key, "a private key"),
		"bundle: a key besides":       bad(ca.cert+ca.key, "a private key"),
		"bundle: cut off at the end":  bad(ca.cert+ca.cert[:len(ca.cert)-10], "the END is cut off or damaged"),
		"bundle: damaged in between":  bad(ca.cert+strings.Replace(ca.cert, "M", "*", 1)+ca.cert, "is no base64"),
		"bundle: no certificate":      bad(block("CERTIFICATE", []byte(sentinel)), "holds no certificate that can be read"),
		"bundle: OpenSSL's own trust": bad(block("TRUSTED CERTIFICATE", []byte(sentinel)), "trust settings"),
	}
}

func withOAuth(name v1alpha1.ObjectName) func(*v1alpha1.CoderDeployment) {
	return func(d *v1alpha1.CoderDeployment) { d.Spec.OAuth = &v1alpha1.OAuthClient{ClientSecretName: name} }
}

func valueFaults() map[string]badInput {
	two := map[string]map[string]string{"bad": {"value": sentinel + "\nX-Evil: " + sentinel}}
	return map[string]badInput{
		"header: no such key": {
			with: withSecretHeader("X-A", "edge", "nope"), missing: true,
			want: []string{`Secret coder/edge: key "nope": is missing: add it to the Secret`},
		},
		"header: two lines": {
			secrets: two, with: withSecretHeader("X-A", "bad", "value"),
			want: []string{`Secret coder/bad: key "value": holds more than one line`},
		},
		"header: a control character": {
			secrets: map[string]map[string]string{"bad": {"value": sentinel + "\x00"}},
			with:    withSecretHeader("X-A", "bad", "value"),
			want:    []string{`Secret coder/bad: key "value": holds more than one line or a control character`},
		},
		"header: literal": {with: withHeader("X-A", sentinel+"\r\nX-B: c"),
			want: []string{`CoderDeployment coder/prod: spec.headers[X-A].value: `}},
		"header: nothing": {with: addHeader(v1alpha1.Header{Name: "X-A"}),
			want: []string{`CoderDeployment coder/prod: spec.headers[X-A]: has no value`}},
		"header: from nothing": {
			with: addHeader(v1alpha1.Header{Name: "X-A", ValueFrom: &v1alpha1.HeaderSource{}}),
			want: []string{`CoderDeployment coder/prod: spec.headers[X-A]: has no value`},
		},
		"oauth: no such Secret": {
			with: withOAuth("absent"), missing: true,
			want: []string{`Secret coder/absent: does not exist: create it with the keys "client_id" and "client_secret"`},
		},
		"oauth: half a client": {
			secrets: map[string]map[string]string{"bad": {"client_id": "an-id"}}, with: withOAuth("bad"), missing: true,
			want: []string{`Secret coder/bad: key "client_secret": is missing`},
		},
		"oauth: an empty client": {
			secrets: map[string]map[string]string{"bad": {"client_id": "an-id", "client_secret": " "}}, with: withOAuth("bad"),
			want: []string{`Secret coder/bad: key "client_secret": is empty`},
		},
		"token: no such key": { // B26: an empty one would be valid
			with: withToken("operator-token", "nope"), missing: true,
			want: []string{`Secret coder/operator-token: key "nope": is missing`},
		},
		"token: empty, and nothing else identifies the operator": {
			secrets: map[string]map[string]string{"bad": {"token": " \n"}}, with: withToken("bad", ""),
			want: []string{`Secret coder/bad: key "token": is empty, and neither a client certificate nor headers identify ` +
				`the operator: write a token there, or remove spec.token`},
		},
		"token: no such Secret": {
			with: withToken("absent", ""), missing: true,
			want: []string{`Secret coder/absent: does not exist: create it with the key "token"`},
		},
		"token: two lines": {secrets: two, with: withToken("bad", "value"),
			want: []string{`Secret coder/bad: key "value": holds more than one line`}},
		"token: byte order mark": {
			secrets: map[string]map[string]string{"bad": {"token": byteOrderMark + sentinel}}, with: withToken("bad", ""),
			want: []string{`Secret coder/bad: key "token": begins with a byte order mark`},
		},
		"token: another thing": {
			secrets: map[string]map[string]string{"bad": {"token": sentinel}}, with: withToken("bad", ""),
			want: []string{`Secret coder/bad: key "token": is no Coder token: a token has 10 characters`},
		},
		"header: the session's cookie": {
			secrets: map[string]map[string]string{"bad": {"value": "a=b; coder_session_token=" + sentinel}},
			with:    withSecretHeader("cookie", "bad", "value"),
			want:    []string{`Secret coder/bad: key "value": has the cookie coder_session_token`},
		},
		"header: the session's cookie, inline": {
			with: withHeader("Cookie", "coder_session_token="+sentinel),
			want: []string{`CoderDeployment coder/prod: spec.headers[Cookie]: has the cookie coder_session_token`},
		},
		"header: the token's": {
			with: withHeader("coder-session-token", sentinel),
			want: []string{`CoderDeployment coder/prod: spec.headers[coder-session-token]: takes the place of the token`},
		},
		"header: byte order mark": {
			secrets: map[string]map[string]string{"bad": {"value": byteOrderMark + sentinel}},
			with:    withSecretHeader("X-A", "bad", "value"),
			want:    []string{`Secret coder/bad: key "value": begins with a byte order mark`},
		},
	}
}

func fieldFaults() map[string]badInput {
	out := make(map[string]badInput)
	for _, url := range []string{"", "coder.example.com", "ftp://coder.example.com", "https://",
		"https://coder.example.com/path",
		"https://coder.example.com?token=" + sentinel, "https://coder.example.com#" + sentinel,
		"https://ada:" + sentinel + "@coder.example.com",
		"https://ada:" + sentinel + "@coder.example.com:port", "https:" + sentinel, "socks5://coder.example.com",
		"https://coder.example.com?"} {
		out["url: "+url] = badInput{with: withURL(url), want: []string{"CoderDeployment coder/prod: spec.url: is no http " +
			"or https URL"}}
	}
	for _, url := range []string{"proxy", "ftp://proxy", "http://ada:" + sentinel + "@proxy:3128",
		"http://proxy/" + sentinel} {
		out["proxy: "+url] = badInput{with: withProxy(url), want: []string{"CoderDeployment coder/prod: spec.proxyURL: is " +
			"no http, https or socks5 URL"}}
	}
	return out
}

func TestAllFaultsAreToldAtOnce(t *testing.T) {
	t.Parallel()
	c, d := completeDeployment(t)
	c.putSecret("mtls", map[string]string{"tls.crt": "x"})
	c.configMap("corp-ca", map[string]string{"ca.crt": "x"})
	c.removeSecret("edge")
	c.putSecret("operator-token", nil)
	withURL("ftp://coder")(d)
	withProxy("ftp://proxy")(d)
	withConfigMapHeader("X-Again", "route", "nope")(d)
	withConfigMapHeader("X-And-Again", "route", "nope")(d)
	_, err := c.newResolver(t).Resolve(t.Context(), d)
	type fault struct {
		Ref, Key string
		Missing  bool
	}
	var got []fault
	for _, f := range faultsOf(t, err) {
		got = append(got, fault{f.Reference.String(), f.Key, f.Missing})
	}
	want := []fault{
		{"CoderDeployment coder/prod", "spec.url", false},
		{"CoderDeployment coder/prod", "spec.proxyURL", false},
		{"Secret coder/edge", "", true},
		{"ConfigMap coder/route", "nope", true},
		{"Secret coder/operator-token", "token", true},
		{"Secret coder/mtls", "tls.key", true},
		{"Secret coder/mtls", "tls.crt", false},
		{"ConfigMap coder/corp-ca", "ca.crt", false},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
	if want := `create it with the keys "id" and "secret"`; !strings.Contains(err.Error(), want) {
		t.Errorf("%q does not say %q", err, want)
	}
}
