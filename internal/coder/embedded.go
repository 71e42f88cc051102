// SPDX-License-Identifier: Apache-2.0

package coder

import (
	"bytes"
	"net/netip"
)

// thisNetwork has no address that a translator sends anything to (RFC 6890).
var thisNetwork = netip.MustParsePrefix("0.0.0.0/8")

// embedding says where in the IPv6 addresses of a prefix an IPv4 address is: at which of its 16 bytes. The
// other bytes are no part of it. inverted is true if all bits are inverted; optional if it is one of several
// places where it may be, so that an address of thisNetwork means that it is not there.
type embedding struct {
	prefix             netip.Prefix
	at                 [4]int
	inverted, optional bool
}

// embeddings are the prefixes of which an IPv4 address is known to be a part. NAT64 with a prefix of the
// network's own (RFC 6052) cannot be told from other addresses.
var embeddings = []embedding{
	{prefix: netip.MustParsePrefix("::/96"), at: [4]int{12, 13, 14, 15}},           // compatible (RFC 4291, 2.5.5.1)
	{prefix: netip.MustParsePrefix("::ffff:0:0:0/96"), at: [4]int{12, 13, 14, 15}}, // translated (RFC 2765)
	{prefix: netip.MustParsePrefix("64:ff9b::/96"), at: [4]int{12, 13, 14, 15}},    // NAT64 (RFC 6052)
	// NAT64 for local use (RFC 8215): the translator's prefix has 48, 56, 64 or 96 bits (RFC 6052, 2.2).
	{prefix: netip.MustParsePrefix("64:ff9b:1::/48"), at: [4]int{6, 7, 9, 10}, optional: true},
	{prefix: netip.MustParsePrefix("64:ff9b:1::/48"), at: [4]int{7, 9, 10, 11}, optional: true},
	{prefix: netip.MustParsePrefix("64:ff9b:1::/48"), at: [4]int{9, 10, 11, 12}, optional: true},
	{prefix: netip.MustParsePrefix("64:ff9b:1::/48"), at: [4]int{12, 13, 14, 15}, optional: true},
	{prefix: netip.MustParsePrefix("2002::/16"), at: [4]int{2, 3, 4, 5}}, // 6to4 (RFC 3056)
	// Teredo (RFC 4380): its server, and the client behind a NAT.
	{prefix: netip.MustParsePrefix("2001::/32"), at: [4]int{4, 5, 6, 7}, optional: true},
	{prefix: netip.MustParsePrefix("2001::/32"), at: [4]int{12, 13, 14, 15}, inverted: true},
}

// isatap are bytes 8 to 11 of the addresses of ISATAP, of any network, before an IPv4 address (RFC 5214, 6.1).
var isatap = [][]byte{{0, 0, 0x5e, 0xfe}, {2, 0, 0x5e, 0xfe}}

// embeddedIPv4 returns the IPv4 addresses to which packets for an IPv6 address may be translated or tunnelled.
func embeddedIPv4(address netip.Addr) []netip.Addr {
	if !address.Is6() || address == netip.IPv6Unspecified() || address == netip.IPv6Loopback() {
		return nil
	}
	var found []netip.Addr
	all := address.As16()
	for _, e := range embeddings {
		if !e.prefix.Contains(address) {
			continue
		}
		if embedded := e.of(all); !e.optional || !thisNetwork.Contains(embedded) {
			found = append(found, embedded)
		}
	}
	for _, identifier := range isatap {
		if bytes.Equal(all[8:12], identifier) {
			found = append(found, netip.AddrFrom4([4]byte(all[12:])))
		}
	}
	return found
}

// of returns the IPv4 address in the bytes of an IPv6 address.
func (e embedding) of(all [16]byte) netip.Addr {
	var part [4]byte
	for i, at := range e.at {
		part[i] = all[at]
		if e.inverted {
			part[i] = ^all[at]
		}
	}
	return netip.AddrFrom4(part)
}
