// SPDX-License-Identifier: Apache-2.0

package serving

import (
	"crypto/rand"
	"crypto/x509"
	"testing"
	"time"
)

var epoch = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

var hosts = []string{"webhook.coder.svc", "127.0.0.1"}

// rules are a lifetime of 90 hours, renewed 30 hours before its end, with one minute to settle.
var rules = policy{hosts: hosts, lifetime: 90 * time.Hour, renewBefore: 30 * time.Hour, settle: time.Minute}

func issueFor(t *testing.T, at time.Time, names ...string) (*pair, *x509.Certificate) {
	t.Helper()
	if names == nil {
		names = hosts
	}
	made, authority, err := issueCertificate(rand.Reader, names, at, rules.lifetime)
	if err != nil {
		t.Fatal(err)
	}
	return made, authority
}

func TestNextStep(t *testing.T) {
	t.Parallel()
	first, firstAuthority := issueFor(t, epoch)
	second, secondAuthority := issueFor(t, epoch.Add(60*time.Hour))
	elsewhere, elsewhereAuthority := issueFor(t, epoch, "other.coder.svc")
	started := state{current: first, trusted: bundle{firstAuthority}}
	staged := state{current: first, next: second, trusted: bundle{secondAuthority, firstAuthority}}
	for name, c := range map[string]struct {
		state      state
		at         time.Duration // after the first certificate was made
		trustedFor time.Duration
		want       step
		wait       time.Duration
	}{
		"nothing there": {trustedFor: -1, want: start},
		"fresh":         {state: started, trustedFor: -1, want: keep, wait: 60 * time.Hour},
		"one second before renewal": {state: started, at: 60*time.Hour - time.Second, want: keep,
			wait: time.Second},
		"renewal due":                          {state: started, at: 60 * time.Hour, want: stage},
		"renewal due, the API server not told": {state: started, at: 60 * time.Hour, trustedFor: -1, want: stage},
		"staged, the API server not told": {state: staged, at: 61 * time.Hour, trustedFor: -1, want: keep,
			wait: 29 * time.Hour},
		"staged, just told": {state: staged, at: 61 * time.Hour, trustedFor: time.Second,
			want: keep, wait: 59 * time.Second},
		"staged, told long enough": {state: staged, at: 61 * time.Hour, trustedFor: time.Minute,
			want: promote},
		"staged, and the current one has ended": {state: staged, at: 90*time.Hour + time.Second, trustedFor: -1,
			want: promote},
		"ended":      {state: started, at: 90*time.Hour + time.Second, want: start},
		"both ended": {state: staged, at: 151 * time.Hour, want: start},
		"promoted": {state: state{current: second, trusted: staged.trusted},
			at: 61 * time.Hour, want: keep, wait: 59 * time.Hour},
		"for other hosts": {
			state: state{current: elsewhere, trusted: bundle{elsewhereAuthority}}, want: start},
		"an authority that is lost": {state: state{current: first, trusted: bundle{secondAuthority}},
			want: start},
		"a next one whose authority is lost": {
			state: state{current: first, next: second, trusted: bundle{firstAuthority}}, at: 61 * time.Hour,
			want: stage},
		"made by a clock that is ahead": {state: started, at: -2 * time.Hour, want: start},
		"made by a clock that is somewhat ahead": {state: started, at: -59 * time.Minute, want: keep,
			wait: 60*time.Hour + 59*time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, wait := rules.nextStep(c.state, epoch.Add(c.at), c.trustedFor)
			if got != c.want || wait != c.wait {
				t.Errorf("%s for %s, want %s for %s", got, wait, c.want, c.wait)
			}
		})
	}
}

// The authorities of replaced certificates stay in the bundle until they expire.
func TestTheBundleForgetsWhatHasEnded(t *testing.T) {
	t.Parallel()
	var trusted bundle
	for i := range 5 {
		at := epoch.Add(time.Duration(i) * 60 * time.Hour)
		made, authority := issueFor(t, at)
		trusted = trusted.withAuthority(authority, at)
		if len(trusted) > 2 || !trusted[0].Equal(authority) || !made.isValidFor(hosts, trusted, at) {
			t.Errorf("after %d renewals the bundle has %d authorities", i, len(trusted))
		}
	}
	again := parseBundle(append([]byte("an invalid line\n"), trusted.encodePEM()...))
	if len(again) != len(trusted) {
		t.Errorf("%d of %d authorities are read back", len(again), len(trusted))
	}
}
