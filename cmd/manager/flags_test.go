// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
	"testing"
)

func TestFlagsOfTheWebhook(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args string
		// faults are fragments of the error; none: the flags are valid.
		faults []string
	}{
		"default": {args: "--enable-webhooks"},
		"all": {args: "--enable-webhooks --webhook-bind-address=127.0.0.1:8444 " +
			"--webhook-cert-dir=/certs --webhook-name=pods --webhook-unknown-session=Admit"},
		"an address of IPv6": {args: "--webhook-bind-address=[::1]:9443"},
		"an address, no port": {args: "--webhook-bind-address=127.0.0.1",
			faults: []string{"--webhook-bind-address: write"}},
		"port zero": {args: "--webhook-bind-address=:0",
			faults: []string{"--webhook-bind-address: write"}},
		"a port that is a name": {args: "--webhook-bind-address=:https",
			faults: []string{"--webhook-bind-address: write"}},
		"a port that is too big": {args: "--webhook-bind-address=:65536",
			faults: []string{"--webhook-bind-address: write"}},
		"no name of a Service":    {args: "--webhook-name=a.b", faults: []string{`--webhook-name: "a.b"`}},
		"neither of the two":      {args: "--webhook-unknown-session=admit", faults: []string{"write Refuse or Admit"}},
		"profiles without a port": {args: "--pprof-bind-address=localhost", faults: []string{"--pprof-bind-address: write"}},
		"a certificate without HTTPS": {args: "--metrics-secure=false --metrics-cert-dir=/certs",
			faults: []string{"--metrics-cert-dir: write --metrics-secure"}},
		"all faults at once": {
			args: "--webhook-bind-address=x --webhook-name=-- --webhook-unknown-session= " +
				"--max-concurrent-reconciles=0",
			faults: []string{"--webhook-bind-address", "--webhook-name", "--webhook-unknown-session",
				"--max-concurrent-reconciles"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := parseOptions(strings.Fields(c.args))
			if (err != nil) != (len(c.faults) > 0) {
				t.Fatalf("error: %v", err)
			}
			for _, fragment := range c.faults {
				if !strings.Contains(err.Error(), fragment) {
					t.Errorf("%v\ndoes not say %q", err, fragment)
				}
			}
		})
	}
}

// B140: the flags take addresses and CIDRs; of one that is there twice the last one counts.
func TestFlagsOfAddresses(t *testing.T) {
	t.Parallel()
	o, err := parseOptions([]string{"--denied-addresses=192.0.2.0/24", "--denied-addresses=127.0.0.1/8, ::1",
		"--allowed-addresses="})
	if err != nil || fmt.Sprint(o.deniedAddresses, o.allowedAddresses) != "[127.0.0.0/8 ::1/128] []" {
		t.Errorf("got %v, %v", o, err)
	}
	for _, list := range []string{"localhost", "10.0.0.0/33", "10.0.0.0/8 10.1.0.0/16"} {
		if _, err := parseOptions([]string{"--allowed-addresses=" + list}); err == nil ||
			!strings.Contains(err.Error(), "write one such as 10.0.0.0/8") {
			t.Errorf("%s: %v", list, err)
		}
	}
}

// Profiles are off by default, and on the loopback interface unless the address names another.
func TestTheAddressOfProfiles(t *testing.T) {
	t.Parallel()
	for flag, want := range map[string]string{
		"": "", "0": "", ":6060": "127.0.0.1:6060", "[::1]:6060": "[::1]:6060", "0.0.0.0:6060": "0.0.0.0:6060",
	} {
		o, err := parseOptions([]string{"--pprof-bind-address=" + flag})
		if err != nil || o.pprofAddress != want {
			t.Errorf("%q: %v, %v", flag, o, err)
		}
	}
	if o, err := parseOptions(nil); err != nil || o.pprofAddress != "" {
		t.Errorf("by default: %v, %v", o, err)
	}
}
