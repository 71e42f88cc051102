// SPDX-License-Identifier: Apache-2.0

package serving

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// scene is a rotator with a fake clock and a fake API server.
type scene struct {
	t       *testing.T
	clock   *clocktesting.FakePassiveClock
	client  client.WithWatch
	rotator *rotator
	// fail makes the write of that number (from 1) fail, before or after it was carried out.
	writes, fail int
	late         bool
}

var errCut = errors.New("the connection was cut")

func newScene(t *testing.T, objects ...client.Object) *scene {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	s := &scene{t: t, clock: clocktesting.NewFakePassiveClock(epoch)}
	s.client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithInterceptorFuncs(
		interceptor.Funcs{
			Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
				return s.write(func() error { return c.Create(ctx, o, opts...) })
			},
			Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
				return s.write(func() error { return c.Update(ctx, o, opts...) })
			},
			Patch: func(ctx context.Context, c client.WithWatch, o client.Object, patch client.Patch,
				opts ...client.PatchOption) error {
				return s.write(func() error { return c.Patch(ctx, o, patch, opts...) })
			},
		}).Build()
	s.restart()
	return s
}

// restart starts another replica, with empty memory.
func (s *scene) restart() {
	s.rotator = &rotator{
		reader: s.client, writer: s.client, clock: s.clock, random: rand.Reader, policy: rules,
		secret: types.NamespacedName{Namespace: "coder", Name: "webhook-cert"}, webhook: "webhook",
	}
}

func (s *scene) write(do func() error) error {
	s.writes++
	if s.writes != s.fail {
		return do()
	}
	if s.late {
		if err := do(); err != nil {
			return err
		}
	}
	return errCut
}

// configuration has two webhooks and no bundle.
func configuration() *admissionregistrationv1.MutatingWebhookConfiguration {
	none := admissionregistrationv1.SideEffectClassNone
	hook := func(name string) admissionregistrationv1.MutatingWebhook {
		return admissionregistrationv1.MutatingWebhook{Name: name, SideEffects: &none,
			AdmissionReviewVersions: []string{"v1"}}
	}
	return &admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "webhook"},
		Webhooks:   []admissionregistrationv1.MutatingWebhook{hook("pods.example.com"), hook("more.example.com")},
	}
}

func (s *scene) secret() *corev1.Secret {
	s.t.Helper()
	out := &corev1.Secret{}
	if err := s.client.Get(s.t.Context(), s.rotator.secret, out); err != nil {
		s.t.Fatal(err)
	}
	return out
}

// trusted is the bundle that both webhooks have.
func (s *scene) trusted() bundle {
	s.t.Helper()
	got := &admissionregistrationv1.MutatingWebhookConfiguration{}
	if err := s.client.Get(s.t.Context(), types.NamespacedName{Name: "webhook"}, got); err != nil {
		s.t.Fatal(err)
	}
	if len(got.Webhooks) != 2 || !bytes.Equal(
		got.Webhooks[0].ClientConfig.CABundle, got.Webhooks[1].ClientConfig.CABundle) {
		s.t.Fatalf("webhooks: %+v", got.Webhooks)
	}
	return parseBundle(got.Webhooks[0].ClientConfig.CABundle)
}

// pass runs one pass; it returns when the next one is due.
func (s *scene) pass() time.Duration {
	s.t.Helper()
	result, err := s.rotator.Reconcile(s.t.Context(), reconcile.Request{NamespacedName: s.rotator.secret})
	if err != nil {
		s.t.Fatal(err)
	}
	return result.RequeueAfter
}

// served fails unless the served certificate is trusted by the published bundle.
func (s *scene) served() *pair {
	s.t.Helper()
	current := readState(s.secret()).current
	if current == nil || !current.isValidFor(hosts, s.trusted(), s.clock.Now()) {
		s.t.Fatalf("at %s the API server does not trust the certificate", s.clock.Now())
	}
	return current
}

func (s *scene) sleep(d time.Duration) { s.clock.SetTime(s.clock.Now().Add(d)) }

// For two months, the served certificate is always trusted, and each certificate is replaced before
// it expires.
func TestMonthsWithoutAGap(t *testing.T) {
	t.Parallel()
	s := newScene(t, configuration())
	seen := map[string]bool{}
	for s.clock.Now().Before(epoch.AddDate(0, 2, 0)) {
		wait := s.pass()
		current := s.served()
		seen[current.leaf().SerialNumber.String()] = true
		if left := current.leaf().NotAfter.Sub(s.clock.Now()); left < rules.renewBefore-time.Hour {
			t.Fatalf("at %s the certificate has %s left", s.clock.Now(), left)
		}
		if wait > maxWait {
			t.Fatalf("the next look is in %s", wait)
		}
		s.sleep(wait)
		s.served()
	}
	if len(seen) < 59*24/60-1 {
		t.Errorf("%d certificates in two months", len(seen))
	}
	if n := len(s.trusted()); n > 3 {
		t.Errorf("the bundle grew to %d authorities", n)
	}
}

func TestTheNextCertificateWaitsForTrust(t *testing.T) {
	t.Parallel()
	s := newScene(t, configuration())
	s.pass()
	first := s.served()
	s.sleep(60 * time.Hour)
	if wait := s.pass(); wait != time.Minute {
		t.Errorf("settles for %s", wait)
	}
	staged := readState(s.secret())
	if !staged.current.leaf().Equal(first.leaf()) || staged.next == nil ||
		!staged.next.isValidFor(hosts, s.trusted(), s.clock.Now()) {
		t.Error("the next certificate is not announced while the first one is served")
	}
	s.sleep(59 * time.Second)
	if wait := s.pass(); wait != time.Second { // an additional pass does not restart the time to settle
		t.Errorf("settles for another %s", wait)
	}
	if !s.served().leaf().Equal(first.leaf()) {
		t.Error("served before all API servers have seen its authority")
	}
	// The bundle is removed, so the time to settle starts again.
	empty := configuration()
	if err := s.client.Get(t.Context(), types.NamespacedName{Name: "webhook"}, empty); err != nil {
		t.Fatal(err)
	}
	empty.Webhooks[0].ClientConfig.CABundle = nil
	if err := s.client.Update(t.Context(), empty); err != nil {
		t.Fatal(err)
	}
	if wait := s.pass(); wait != time.Minute {
		t.Errorf("settles for %s", wait)
	}
	s.sleep(time.Minute)
	s.pass()
	if !s.served().leaf().Equal(staged.next.leaf()) || readState(s.secret()).next != nil {
		t.Error("the next certificate is not served")
	}
}

func TestACrashAtAnyWrite(t *testing.T) {
	t.Parallel()
	for _, late := range []bool{false, true} {
		for fail := 1; fail <= 5; fail++ { // create, patch; update, patch; update
			s := newScene(t, configuration())
			s.fail, s.late = fail, late
			for range 12 {
				result, err := s.rotator.Reconcile(t.Context(), reconcile.Request{})
				if err != nil {
					if !errors.Is(err, errCut) {
						t.Fatal(err)
					}
					s.restart()
					continue
				}
				s.served()
				s.sleep(result.RequeueAfter)
				s.served()
			}
			got := readState(s.secret())
			if got.next != nil || len(got.trusted) != 2 || s.writes < 5 {
				t.Errorf("write %d (late: %v): after %d writes there are %d authorities, next: %v", fail, late,
					s.writes, len(got.trusted), got.next != nil)
			}
		}
	}
}

func TestTheSteadyStateWritesNothing(t *testing.T) {
	t.Parallel()
	s := newScene(t, configuration())
	s.pass()
	before := s.writes
	s.restart()
	s.pass()
	s.sleep(time.Hour)
	s.pass()
	if s.writes != before {
		t.Errorf("%d writes", s.writes-before)
	}
}

func TestADeletedSecretIsRecreated(t *testing.T) {
	t.Parallel()
	s := newScene(t, configuration())
	s.pass()
	if err := s.client.Delete(t.Context(), s.secret()); err != nil {
		t.Fatal(err)
	}
	s.pass()
	s.served()
}

func TestAConfigurationThatComesLater(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.pass()
	if err := s.client.Create(t.Context(), configuration()); err != nil {
		t.Fatal(err)
	}
	s.pass()
	s.served()
}

// B23: Secrets of other owners are not written.
func TestASecretOfAnotherOwner(t *testing.T) {
	t.Parallel()
	foreign := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "coder", Name: "webhook-cert"},
		Data: map[string][]byte{"password": []byte("sentinel")}}
	s := newScene(t, configuration(), foreign)
	_, err := s.rotator.Reconcile(t.Context(), reconcile.Request{})
	if err == nil || !strings.Contains(err.Error(), "belongs to another owner") || s.writes > 0 {
		t.Errorf("%d writes, error: %v", s.writes, err)
	}
}

// A configuration that leads to another operator is not written either.
func TestAConfigurationOfAnotherOperator(t *testing.T) {
	t.Parallel()
	foreign := configuration()
	foreign.Webhooks[1].ClientConfig.Service = &admissionregistrationv1.ServiceReference{Namespace: "another",
		Name: "webhook"}
	s := newScene(t, foreign)
	_, err := s.rotator.Reconcile(t.Context(), reconcile.Request{})
	if err == nil || !strings.Contains(err.Error(), "leads to namespace another") || len(s.trusted()) > 0 {
		t.Errorf("it trusts %d authorities, error: %v", len(s.trusted()), err)
	}
}

// B30: of two replicas one fails on a conflict and tries again.
func TestALostRace(t *testing.T) {
	t.Parallel()
	s := newScene(t, configuration())
	s.pass()
	s.sleep(60 * time.Hour)
	stale := s.secret()
	s.pass()
	s.rotator.reader = staleReader{s.client, stale}
	before := s.secret()
	if wait := s.pass(); wait != conflictRetryDelay {
		t.Errorf("looks again in %s", wait)
	}
	if after := s.secret(); after.ResourceVersion != before.ResourceVersion {
		t.Error("the other's certificate is overwritten")
	}
}

// staleReader is a cache that lags behind.
type staleReader struct {
	client.Reader
	secret *corev1.Secret
}

func (r staleReader) Get(
	ctx context.Context, key client.ObjectKey, into client.Object, opts ...client.GetOption,
) error {
	if secret, ok := into.(*corev1.Secret); ok {
		r.secret.DeepCopyInto(secret)
		return nil
	}
	return r.Reader.Get(ctx, key, into, opts...)
}
