// SPDX-License-Identifier: Apache-2.0

package main

import (
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
		"no name of a Service": {args: "--webhook-name=a.b", faults: []string{`--webhook-name: "a.b"`}},
		"neither of the two":   {args: "--webhook-unknown-session=admit", faults: []string{"write Refuse or Admit"}},
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
