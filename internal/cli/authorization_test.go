// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWithRedirectURI(t *testing.T) {
	t.Parallel()
	const to = "redirect_uri=http%3A%2F%2Flocalhost%3A40001%2Foauth%2Fcallback"
	for name, test := range map[string]struct{ query, want string }{
		"in the middle": {"client_id=a&redirect_uri=https%3A%2F%2Fcb.example.com%2Foauth&state=x",
			"client_id=a&" + to + "&state=x"},
		"first":        {"redirect_uri=x&client_id=a", to + "&client_id=a"},
		"none":         {"client_id=a&state=x", "client_id=a&state=x&" + to},
		"no query":     {"", to},
		"empty":        {"redirect_uri=&state=x", to + "&state=x"},
		"without =":    {"redirect_uri&state=x", to + "&state=x"},
		"twice":        {"redirect_uri=x&state=x&redirect_uri=y", to + "&state=x"},
		"escaped name": {"redirect%5Furi=x&state=x", to + "&state=x"},
		"other bytes": {"scope=a%3ab+c%20d&state=bnM.e_-~&flag&x=%2B",
			"scope=a%3ab+c%20d&state=bnM.e_-~&flag&x=%2B&" + to},
		"similar name": {"redirect_uri2=x", "redirect_uri2=x&" + to},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u, err := authorizationURL("https://coder.example.com/oauth2/authorize?" + test.query)
			if err != nil {
				t.Fatal(err)
			}
			before := u.String()
			got := withRedirectURI(u, loopbackURI(40001)).String()
			if diff := cmp.Diff("https://coder.example.com/oauth2/authorize?"+test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if u.String() != before {
				t.Error("the URL that was given is changed")
			}
			parsed, _ := url.Parse(got)
			if diff := cmp.Diff([]string{"http://localhost:40001/oauth/callback"},
				parsed.Query()["redirect_uri"]); diff != "" {
				t.Errorf("as the server reads it (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAuthorizationURL(t *testing.T) {
	t.Parallel()
	for text, good := range map[string]bool{
		"https://coder.example.com/oauth2/authorize?state=x": true,
		"http://localhost:3000/oauth2/authorize":             true,
		"https://coder.example.com":                          true,
		"":                                                   false,
		"/oauth2/authorize":                                  false,
		"https:oauth2":                                       false,
		"file:///etc/passwd":                                 false,
		"javascript:alert(1)":                                false,
		"ftp://coder.example.com/":                           false,
		"https://ada:pw@coder.example.com/":                  false,
		"https://coder.example.com/#x":                       false,
		"https://coder.example.com/?a=%zz":                   false,
		"https://coder.example.com/\x1b[0m":                  false,
		"-https://coder.example.com/":                        false,
	} {
		if _, err := authorizationURL(text); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestLoopbackOrigin(t *testing.T) {
	t.Parallel()
	for redirect, want := range map[string]string{
		"http://localhost:17965/oauth/callback": "http://localhost:17965",
		"http://127.0.0.1:1/x":                  "http://127.0.0.1:1",
		"http://[::1]:1/x":                      "http://[::1]:1",
		"http://operator.localhost/x":           "http://operator.localhost",
		"https://callback.example.com/x":        "",
		"https://localhost.example.com/x":       "",
		"http://10.0.0.1/x":                     "",
		"%zz":                                   "",
		"":                                      "",
	} {
		u := &url.URL{Scheme: "https", Host: "coder.example.com",
			RawQuery: url.Values{"redirect_uri": {redirect}}.Encode()}
		if got, local := loopbackOrigin(u); got != want || local != (want != "") {
			t.Errorf("%q: %q, %t; want %q", redirect, got, local, want)
		}
	}
	if port, err := loopbackPort(); err != nil || loopbackURI(port) != "http://localhost:17965/oauth/callback" {
		t.Errorf("port %d, %v", port, err)
	}
}
