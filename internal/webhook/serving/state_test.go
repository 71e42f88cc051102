// SPDX-License-Identifier: Apache-2.0

package serving

import (
	"bytes"
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
)

func TestTheSecretHoldsTheState(t *testing.T) {
	t.Parallel()
	current, authority := issueFor(t, epoch)
	next, nextAuthority := issueFor(t, epoch)
	want := state{current: current, next: next, trusted: bundle{nextAuthority, authority}}
	secret := &corev1.Secret{}
	if !want.applyTo(secret) || want.applyTo(secret) {
		t.Error("the state is not written once")
	}
	got := readState(secret)
	if !got.current.leaf().Equal(current.leaf()) || !got.next.leaf().Equal(next.leaf()) || len(got.trusted) != 2 {
		t.Errorf("it is read back differently: %+v", secret.Data)
	}
	if _, wait := rules.nextStep(got, epoch, -1); wait <= 0 {
		t.Error("what is read back is of no use")
	}
}

// B25, and errors contain nothing of a key (B90).
func TestWhatCannotBeReadIsAbsent(t *testing.T) {
	t.Parallel()
	current, authority := issueFor(t, epoch)
	other, _ := issueFor(t, epoch)
	for name, data := range map[string]map[string][]byte{
		"empty":         {},
		"no key":        {"tls.crt": current.certPEM, "ca.crt": bundle{authority}.encodePEM()},
		"another's key": {"tls.crt": current.certPEM, "tls.key": other.keyPEM, "ca.crt": bundle{authority}.encodePEM()},
		"garbage":       {"tls.crt": []byte("x"), "tls.key": []byte("sentinel"), "ca.crt": []byte("x")},
		"a cut key": {"tls.crt": current.certPEM, "tls.key": current.keyPEM[:80],
			"ca.crt": bundle{authority}.encodePEM()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, _ := rules.nextStep(readState(&corev1.Secret{Data: data}), epoch, -1); got != start {
				t.Errorf("decided to %s", got)
			}
			if _, err := parsePair(data["tls.crt"], data["tls.key"]); !errors.Is(err, errInvalidPair) ||
				err.Error() != errInvalidPair.Error() {
				t.Errorf("error: %v", err)
			}
		})
	}
}

func TestWhoseSecretItIs(t *testing.T) {
	t.Parallel()
	labelled := metav1.ObjectMeta{Labels: map[string]string{labelManagedBy: managedBy}}
	for name, c := range map[string]struct {
		secret *corev1.Secret
		want   bool
	}{
		"made here":       {&corev1.Secret{ObjectMeta: labelled, Data: map[string][]byte{"x": nil}}, true},
		"brought along":   {&corev1.Secret{}, true},
		"another owner's": {&corev1.Secret{Data: map[string][]byte{"x": nil}}, false},
	} {
		if got := isOwned(c.secret); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestCertificatesAreDelivered(t *testing.T) {
	t.Parallel()
	clock := clocktesting.NewFakePassiveClock(epoch)
	c := &Certificates{clock: clock}
	config := &tls.Config{}
	c.Use(config)
	if !c.End().IsZero() {
		t.Error("the end of no certificate is known")
	}
	if _, err := config.GetCertificate(nil); !errors.Is(err, errNoCertificate) ||
		!errors.Is(c.Check(nil), errNoCertificate) {
		t.Error("there is a certificate before there is one")
	}
	first, authority := issueFor(t, epoch)
	second, _ := issueFor(t, epoch)
	secret := &corev1.Secret{}
	state{current: first, next: second, trusted: bundle{authority}}.applyTo(secret)
	c.updateFrom(secret)
	served := func() []byte {
		got, err := config.GetCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		return got.Certificate[0]
	}
	if !c.End().Equal(first.leaf().NotAfter) {
		t.Errorf("the certificate ends at %s", c.End())
	}
	if !bytes.Equal(served(), first.leaf().Raw) || c.Check(nil) != nil {
		t.Error("the first certificate is not served")
	}
	// An invalid Secret does not replace the certificate.
	c.updateFrom(&corev1.Secret{})
	broken := secret.DeepCopy()
	broken.Data["tls.key"] = []byte("x")
	c.updateFrom(broken)
	if !bytes.Equal(served(), first.leaf().Raw) {
		t.Error("a broken Secret takes the certificate away")
	}
	state{current: second, trusted: bundle{authority}}.applyTo(secret)
	c.updateFrom(secret)
	if !bytes.Equal(served(), second.leaf().Raw) {
		t.Error("the second certificate is not served")
	}
	clock.SetTime(epoch.Add(rules.lifetime + time.Second))
	if err := c.Check(nil); err == nil || !strings.Contains(err.Error(), "ended") {
		t.Errorf("after its end: %v", err)
	}
}

func TestTheEndOfAFile(t *testing.T) {
	t.Parallel()
	one, authority := issueFor(t, epoch)
	path := filepath.Join(t.TempDir(), "tls.crt")
	if !EndOfFile(path).IsZero() {
		t.Error("a missing file has an end")
	}
	for text, want := range map[string]time.Time{
		string(one.certPEM) + string(bundle{authority}.encodePEM()): one.leaf().NotAfter, "nothing": {},
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := EndOfFile(path); !got.Equal(want) {
			t.Errorf("the file ends at %s, want %s", got, want)
		}
	}
}
