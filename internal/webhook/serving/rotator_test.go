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
				return s.writeOrFail(func() error { return c.Create(ctx, o, opts...) })
			},
			Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
				return s.writeOrFail(func() error { return c.Update(ctx, o, opts...) })
			},
			Patch: func(ctx context.Context, c client.WithWatch, o client.Object, patch client.Patch,
				opts ...client.PatchOption) error {
				return s.writeOrFail(func() error { return c.Patch(ctx, o, patch, opts...) })
			},
		}).Build()
	s.restartReplica()
	return s
}

// restartReplica starts another replica, with empty memory.
func (s *scene) restartReplica() {
	s.rotator = &rotator{
		reader: s.client, writer: s.client, clock: s.clock, random: rand.Reader, policy: rules,
		secret: types.NamespacedName{Namespace: "coder", Name: "webhook-cert"}, webhook: "webhook",
	}
}

func (s *scene) writeOrFail(do func() error) error {
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

// newConfiguration has two webhooks and no bundle.
func newConfiguration() *admissionregistrationv1.MutatingWebhookConfiguration {
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

func (s *scene) readSecret() *corev1.Secret {
	s.t.Helper()
	out := &corev1.Secret{}
	if err := s.client.Get(s.t.Context(), s.rotator.secret, out); err != nil {
		s.t.Fatal(err)
	}
	return out
}

// trustedBundle is the bundle that both webhooks have.
func (s *scene) trustedBundle() bundle {
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

// runPass runs one pass; it returns when the next one is due.
func (s *scene) runPass() time.Duration {
	s.t.Helper()
	result, err := s.rotator.Reconcile(s.t.Context(), reconcile.Request{NamespacedName: s.rotator.secret})
	if err != nil {
		s.t.Fatal(err)
	}
	return result.RequeueAfter
}

// requireServed fails unless the served certificate is trusted by the published bundle.
func (s *scene) requireServed() *pair {
	s.t.Helper()
	current := readState(s.readSecret()).current
	if current == nil || !current.isValidFor(hosts, s.trustedBundle(), s.clock.Now()) {
		s.t.Fatalf("at %s the API server does not trust the certificate", s.clock.Now())
	}
	return current
}

func (s *scene) advanceClock(d time.Duration) { s.clock.SetTime(s.clock.Now().Add(d)) }

// For two months, the served certificate is always trusted, and each certificate is replaced before
// it expires.
func TestMonthsWithoutAGap(t *testing.T) {
	t.Parallel()
	s := newScene(t, newConfiguration())
	seen := map[string]bool{}
	for s.clock.Now().Before(epoch.AddDate(0, 2, 0)) {
		wait := s.runPass()
		current := s.requireServed()
		seen[current.leaf().SerialNumber.String()] = true
		if left := current.leaf().NotAfter.Sub(s.clock.Now()); left < rules.renewBefore-time.Hour {
			t.Fatalf("at %s the certificate has %s left", s.clock.Now(), left)
		}
		if wait > maxWait {
			t.Fatalf("the next look is in %s", wait)
		}
		s.advanceClock(wait)
		s.requireServed()
	}
	if len(seen) < 59*24/60-1 {
		t.Errorf("%d certificates in two months", len(seen))
	}
	if n := len(s.trustedBundle()); n > 3 {
		t.Errorf("the bundle grew to %d authorities", n)
	}
}

func TestTheNextCertificateWaitsForTrust(t *testing.T) {
	t.Parallel()
	s := newScene(t, newConfiguration())
	s.runPass()
	first := s.requireServed()
	s.advanceClock(60 * time.Hour)
	if wait := s.runPass(); wait != time.Minute {
		t.Errorf("settles for %s", wait)
	}
	staged := readState(s.readSecret())
	if !staged.current.leaf().Equal(first.leaf()) || staged.next == nil ||
		!staged.next.isValidFor(hosts, s.trustedBundle(), s.clock.Now()) {
		t.Error("the next certificate is not announced while the first one is served")
	}
	s.advanceClock(59 * time.Second)
	if wait := s.runPass(); wait != time.Second { // an additional pass does not restart the time to settle
		t.Errorf("settles for another %s", wait)
	}
	if !s.requireServed().leaf().Equal(first.leaf()) {
		t.Error("served before all API servers have seen its authority")
	}
	// The bundle is removed, so the time to settle starts again.
	empty := newConfiguration()
	if err := s.client.Get(t.Context(), types.NamespacedName{Name: "webhook"}, empty); err != nil {
		t.Fatal(err)
	}
	empty.Webhooks[0].ClientConfig.CABundle = nil
	if err := s.client.Update(t.Context(), empty); err != nil {
		t.Fatal(err)
	}
	if wait := s.runPass(); wait != time.Minute {
		t.Errorf("settles for %s", wait)
	}
	s.advanceClock(time.Minute)
	s.runPass()
	if !s.requireServed().leaf().Equal(staged.next.leaf()) || readState(s.readSecret()).next != nil {
		t.Error("the next certificate is not served")
	}
}

func TestACrashAtAnyWrite(t *testing.T) {
	t.Parallel()
	for _, late := range []bool{false, true} {
		for fail := 1; fail <= 5; fail++ { // create, patch; update, patch; update
			s := newScene(t, newConfiguration())
			s.fail, s.late = fail, late
			for range 12 {
				result, err := s.rotator.Reconcile(t.Context(), reconcile.Request{})
				if err != nil {
					if !errors.Is(err, errCut) {
						t.Fatal(err)
					}
					s.restartReplica()
					continue
				}
				s.requireServed()
				s.advanceClock(result.RequeueAfter)
				s.requireServed()
			}
			got := readState(s.readSecret())
			if got.next != nil || len(got.trusted) != 2 || s.writes < 5 {
				t.Errorf("write %d (late: %v): after %d writes there are %d authorities, next: %v", fail, late,
					s.writes, len(got.trusted), got.next != nil)
			}
		}
	}
}

func TestTheSteadyStateWritesNothing(t *testing.T) {
	t.Parallel()
	s := newScene(t, newConfiguration())
	s.runPass()
	before := s.writes
	s.restartReplica()
	s.runPass()
	s.advanceClock(time.Hour)
	s.runPass()
	if s.writes != before {
		t.Errorf("%d writes", s.writes-before)
	}
}

func TestADeletedSecretIsRecreated(t *testing.T) {
	t.Parallel()
	s := newScene(t, newConfiguration())
	s.runPass()
	if err := s.client.Delete(t.Context(), s.readSecret()); err != nil {
		t.Fatal(err)
	}
	s.runPass()
	s.requireServed()
}

func TestAConfigurationThatComesLater(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.runPass()
	if err := s.client.Create(t.Context(), newConfiguration()); err != nil {
		t.Fatal(err)
	}
	s.runPass()
	s.requireServed()
}

// B23: Secrets of other owners are not written.
func TestASecretOfAnotherOwner(t *testing.T) {
	t.Parallel()
	foreign := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "coder", Name: "webhook-cert"},
		Data: map[string][]byte{"password": []byte("sentinel")}}
	s := newScene(t, newConfiguration(), foreign)
	_, err := s.rotator.Reconcile(t.Context(), reconcile.Request{})
	if err == nil || !strings.Contains(err.Error(), "belongs to another owner") || s.writes > 0 {
		t.Errorf("%d writes, error: %v", s.writes, err)
	}
}

// A configuration that leads to another operator is not written either.
func TestAConfigurationOfAnotherOperator(t *testing.T) {
	t.Parallel()
	foreign := newConfiguration()
	foreign.Webhooks[1].ClientConfig.Service = &admissionregistrationv1.ServiceReference{Namespace: "another",
		Name: "webhook"}
	s := newScene(t, foreign)
	_, err := s.rotator.Reconcile(t.Context(), reconcile.Request{})
	if err == nil || !strings.Contains(err.Error(), "leads to namespace another") || len(s.trustedBundle()) > 0 {
		t.Errorf("it trusts %d authorities, error: %v", len(s.trustedBundle()), err)
	}
}

// B30: of two replicas one fails on a conflict and tries again.
func TestALostRace(t *testing.T) {
	t.Parallel()
	s := newScene(t, newConfiguration())
	s.runPass()
	s.advanceClock(60 * time.Hour)
	stale := s.readSecret()
	s.runPass()
	s.rotator.reader = staleReader{s.client, stale}
	before := s.readSecret()
	if wait := s.runPass(); wait != conflictRetryDelay {
		t.Errorf("looks again in %s", wait)
	}
	if after := s.readSecret(); after.ResourceVersion != before.ResourceVersion {
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
