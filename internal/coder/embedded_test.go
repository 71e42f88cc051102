// SPDX-License-Identifier: Apache-2.0

package coder

import (
	"net/netip"
	"testing"
)

// B140: an IPv6 address with an IPv4 address in it is as good as that, wherever in it that is.
func TestAddressesWithAnIPv4AddressInThem(t *testing.T) {
	t.Parallel()
	addresses := NewAddresses([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, nil)
	for name, tt := range map[string]struct{ public, private string }{
		"none":                       {"2001:db8::1", "10.1.2.3"},
		"mapped":                     {"::ffff:203.0.113.5", "::ffff:10.1.2.3"},
		"compatible":                 {"::203.0.113.5", "::10.1.2.3"},
		"translated":                 {"::ffff:0:203.0.113.5", "::ffff:0:10.1.2.3"},
		"NAT64":                      {"64:ff9b::203.0.113.5", "64:ff9b::10.1.2.3"},
		"local NAT64, 96 bits":       {"64:ff9b:1::203.0.113.5", "64:ff9b:1::10.1.2.3"},
		"local NAT64, 96 other bits": {"64:ff9b:1:fffe::203.0.113.5", "64:ff9b:1:fffe::10.1.2.3"},
		"local NAT64, 64 bits":       {"64:ff9b:1:0:cb:71:500:0", "64:ff9b:1:7:a:102:300:0"},
		"local NAT64, 56 bits":       {"64:ff9b:1:cb:0:7105::", "64:ff9b:1:70a:1:203::"},
		"local NAT64, 48 bits":       {"64:ff9b:1:cb00:71:500::", "64:ff9b:1:a01:2:300::"},
		"6to4":                       {"2002:cb00:7105::1", "2002:a01:203::1"},
		"Teredo, the server":         {"2001:0:cb00:7105:0:1:34ff:8efa", "2001:0:a01:203:0:1:34ff:8efa"},
		"Teredo, the client":         {"2001:0:cb00:7105:0:1:34ff:8efa", "2001:0:cb00:7105:0:1:f5fe:fdfc"},
		"ISATAP":                     {"2001:db8::5efe:203.0.113.5", "2001:db8::5efe:10.1.2.3"},
		"ISATAP, a global address":   {"2001:db8::200:5efe:203.0.113.5", "2001:db8::200:5efe:10.1.2.3"},
	} {
		for address, want := range map[string]bool{tt.public: true, tt.private: false} {
			if got := addresses.permits(netip.MustParseAddr(address)); got != want {
				t.Errorf("%s: %s is permitted: %t", name, address, got)
			}
		}
	}
}
