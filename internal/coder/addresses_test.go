// SPDX-License-Identifier: Apache-2.0

package coder_test

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

func withAddresses(denied, allowed string) option {
	prefixes := func(list string) (all []netip.Prefix) {
		for _, text := range strings.Fields(list) {
			all = append(all, netip.MustParsePrefix(text))
		}
		return all
	}
	return func(c *coder.Config) { c.Addresses = coder.NewAddresses(prefixes(denied), prefixes(allowed)) }
}

// B140: link-local and metadata addresses are not dialled, in whatever form they are written. The error
// is the same for all, and says nothing about what is there.
func TestDeniedAddressesAreNotDialled(t *testing.T) {
	t.Parallel()
	const want = "the address is one that the operator does not connect to"
	for _, host := range []string{
		"169.254.169.254", "169.254.0.1:1", "[fe80::1%25lo]", "[fe80::1%25lo]:443", "100.100.100.200", "168.63.129.16",
		"[fd00:ec2::254]", "[fd00:ec2::23]", "[fd20:ce::254]", "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]",
		"[64:ff9b::a9fe:a9fe]", "[2002:a9fe:a9fe::1]", "[::a9fe:a9fe]", "0.0.0.0", "[::]", "[::ffff:0:a9fe:a9fe]",
		"[64:ff9b:1::a9fe:a9fe]", "[64:ff9b:1:fffe::a9fe:a9fe]", "[64:ff9b:1:a9fe:a9:fe00::]",
		"[64:ff9b:1:a9fe:a9:fe99::1]", "[64:ff9b:1:a9:fe:a9fe::]", "[64:ff9b:1:0:a9:fea9:fe00:0]",
		"[2001:0:cb00:7105:0:1:5601:5601]", "[2001:0:a9fe:a9fe::1]", "[2001:db8::5efe:a9fe:a9fe]",
		"[2001:db8::200:5efe:a9fe:a9fe]", "[fd00:c1::a9fe:a9fe]", "[fd00:a9fe:a9fe::1]",
	} {
		for scheme, options := range map[string][]option{"http": nil, "https": {withAddresses("", "127.0.0.0/8")}} {
			_, err := newClient(t, scheme+"://"+host, options...).BuildInfo(t.Context())
			if coder.KindOf(err) != coder.AddressDenied || !strings.HasSuffix(err.Error(), ": "+want) {
				t.Errorf("%s://%s: %v", scheme, host, err)
			}
		}
	}
}

// B140: what else is denied or allowed is up to who installs the operator. Names are judged by what
// they resolve to.
func TestAddressesThatAreDeniedByASetting(t *testing.T) {
	t.Parallel()
	ok := respondWith(200, `{"version":"v2.36.1"}`)
	for name, tt := range map[string]struct {
		denied, allowed string
		reached         bool
	}{
		"loopback by default":           {"", "", true},
		"loopback denied":               {"127.0.0.0/8 ::1/128", "", false},
		"an exception":                  {"127.0.0.0/8 ::1/128", "127.0.0.1/32 ::1/128", true},
		"an exception for another":      {"127.0.0.0/8 ::1/128", "127.0.0.2/32", false},
		"another is denied":             {"10.0.0.0/8", "", true},
		"all is denied but an address":  {"0.0.0.0/0 ::/0", "127.0.0.1/32 ::1/128", true},
		"all is denied and none is not": {"0.0.0.0/0 ::/0", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var origin string
			startServer(t, ok, func(c *coder.Config) { origin = c.URL.String() })
			for _, at := range []string{origin, strings.Replace(origin, "127.0.0.1", "localhost", 1)} {
				_, err := newClient(t, at, withAddresses(tt.denied, tt.allowed)).BuildInfo(t.Context())
				if (err == nil) != tt.reached || err != nil && coder.KindOf(err) != coder.AddressDenied {
					t.Errorf("%s: %v", at, err)
				}
			}
		})
	}
}

// B140: a proxy is no way around it, neither as an address nor as what it is asked for.
func TestAProxyIsNoWayToADeniedAddress(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 100)
	proxy := func(c *coder.Config) {
		through := *c.URL
		c.Proxy = func(*http.Request) (*url.URL, error) { return &through, nil }
	}
	through := startServer(t, func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Host
		respondWith(200, `{"version":"v2.36.1"}`)(w, r)
	}, proxy)
	if _, err := through.BuildInfo(t.Context()); err != nil {
		t.Fatalf("through the proxy: %v", err)
	}
	before := len(asked)
	for _, host := range []string{"169.254.169.254", "[::ffff:a9fe:a9fe]", "2852039166", "0xa9fea9fe",
		"0251.0376.0251.0376", "169.254.169.0xfe", "169.254.43518", "169.254.169.254."} {
		for _, scheme := range []string{"http", "https"} {
			var server *url.URL
			startServer(t, func(http.ResponseWriter, *http.Request) { t.Error("the proxy was asked") },
				func(c *coder.Config) { server = c.URL })
			c := newClient(t, scheme+"://"+host, func(c *coder.Config) {
				c.Proxy = func(*http.Request) (*url.URL, error) { return server, nil }
			})
			if _, err := c.BuildInfo(t.Context()); coder.KindOf(err) != coder.AddressDenied {
				t.Errorf("%s://%s: %v", scheme, host, err)
			}
		}
	}
	if len(asked) != before {
		t.Errorf("the proxy was asked for %q", <-asked)
	}
	metadata := &url.URL{Scheme: "http", Host: "169.254.169.254:3128"}
	c := newClient(t, "https://coder.example.com", func(c *coder.Config) {
		c.Proxy = func(*http.Request) (*url.URL, error) { return metadata, nil }
	})
	if _, err := c.BuildInfo(t.Context()); coder.KindOf(err) != coder.AddressDenied {
		t.Errorf("a proxy at a denied address: %v", err)
	}
}
