// SPDX-License-Identifier: Apache-2.0

package coder

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
)

// errAddressDenied is the cause of each request to an address that is not connected to. It is always
// the same, so that it tells nothing about what is there.
var errAddressDenied = errors.New("the address is one that the operator does not connect to")

// neverDialled are addresses on which no Coder server is, but services that give away credentials of
// the node or its cloud: link-local addresses (RFC 3927, RFC 4291), the metadata services of clouds,
// and addresses that mean this host.
var neverDialled = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("::/128"),
	netip.MustParsePrefix("169.254.0.0/16"),      // also metadata of AWS, Azure, Google, OpenStack and others
	netip.MustParsePrefix("fe80::/10"),           //
	netip.MustParsePrefix("100.100.100.200/32"),  // Alibaba Cloud
	netip.MustParsePrefix("168.63.129.16/32"),    // Azure's WireServer
	netip.MustParsePrefix("192.0.0.192/32"),      // Oracle Cloud
	netip.MustParsePrefix("fd00:ec2::/32"),       // AWS: metadata, pod identity, DNS and time
	netip.MustParsePrefix("fd20:ce::254/128"),    // Google Cloud
	netip.MustParsePrefix("fd00:42::42/128"),     // Scaleway
	netip.MustParsePrefix("fd00:c1::/32"),        // Oracle Cloud
	netip.MustParsePrefix("fd00:a9fe:a9fe::/48"), // Akamai
}

// Addresses decides which addresses are connected to (B140). It is immutable and safe for concurrent
// use. Nil denies link-local and metadata addresses.
type Addresses struct{ denied, allowed []netip.Prefix }

// NewAddresses returns what also denies some addresses. What is allowed takes precedence over all that
// is denied.
func NewAddresses(denied, allowed []netip.Prefix) *Addresses {
	return &Addresses{denied: denied, allowed: allowed}
}

// permits reports whether an address may be connected to. An IPv4 address that is part of an IPv6
// address counts, too.
func (a *Addresses) permits(address netip.Addr) bool {
	address = address.Unmap().WithZone("")
	var denied, allowed []netip.Prefix
	if a != nil {
		denied, allowed = a.denied, a.allowed
	}
	permitted := contains(allowed, address) || !contains(neverDialled, address) && !contains(denied, address)
	for _, embedded := range embeddedIPv4(address) {
		permitted = permitted && a.permits(embedded)
	}
	return permitted
}

func contains(prefixes []netip.Prefix, address netip.Addr) bool {
	for _, prefix := range prefixes {
		if prefix.Contains(address) {
			return true
		}
	}
	return false
}

// checkDial is called before a socket is connected, with an address that was resolved.
func (a *Addresses) checkDial(_ context.Context, _, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil || !a.permits(at.Addr()) {
		return errAddressDenied
	}
	return nil
}

// checkProxied refuses requests through a proxy to addresses that are not connected to. Names are
// resolved by the proxy, which has to refuse them itself.
func (a *Addresses) checkProxied(
	proxy func(*http.Request) (*url.URL, error),
) func(*http.Request) (*url.URL, error) {
	return func(req *http.Request) (*url.URL, error) {
		through, err := proxy(req)
		if through != nil && err == nil && !a.permitsHost(req.URL.Hostname()) {
			return nil, errAddressDenied
		}
		return through, err
	}
}

// permitsHost judges a host that is an address. One that ends in a number, and is no address in the
// usual form, is denied: some resolvers read 2852039166 and 0xa9fea9fe as addresses.
func (a *Addresses) permitsHost(host string) bool {
	if address, err := netip.ParseAddr(host); err == nil {
		return a.permits(address)
	}
	host = strings.TrimSuffix(host, ".")
	last := strings.ToLower(host[strings.LastIndexByte(host, '.')+1:])
	return last == "" || strings.Trim(last, "0123456789") != "" && !strings.HasPrefix(last, "0x")
}

// newDialer returns the dialer of a transport.
func (a *Addresses) newDialer() net.Dialer {
	return net.Dialer{Timeout: dialTimeout, KeepAlive: keepAlive, ControlContext: a.checkDial}
}
