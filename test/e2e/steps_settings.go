// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/certs"
	"github.com/coder-session-operator/coder-session-operator/test/walk"
)

// writes of the certificate's Secret, half of them of the key.
const writes = 20

func (w *e2eRun) rewriteCertificate(ctx context.Context) error {
	before, err := w.coder.Verifications(ctx)
	if err != nil {
		return err
	}
	started := time.Now()
	var last *certs.Certificate
	for range writes / 2 {
		if last, err = w.material.issueClientCertificate(); err != nil {
			return err
		}
		for key, value := range map[string][]byte{"tls.crt": last.CertPEM, "tls.key": last.KeyPEM} {
			if err := w.writeSecretKey(ctx, "coder-mtls", key, value); err != nil {
				return err
			}
		}
	}
	w.material.client = last
	w.term.Note("%d writes took %s", writes, walk.Brief(time.Since(started)))
	for _, pod := range callers {
		_, err := walk.Await(ctx, "pod "+pod+" shows the new certificate", func(ctx context.Context) (string, bool, error) {
			now, err := w.callsNow(ctx, pod)
			return "certificate " + now.Certificate, now.Certificate == last.Serial(), err
		})
		if err != nil {
			return err
		}
	}
	after, err := w.coder.Verifications(ctx)
	if err != nil {
		return err
	}
	// The interval of five minutes may have elapsed meanwhile.
	if n := after - before; n < 1 || n > 2 {
		return &walk.UnexpectedError{Expected: "one verification", Seen: fmt.Sprintf("%d", n)}
	}
	w.recordFigure("%d writes of the certificate's Secret cost %d verification(s); pods showed the new one after %s",
		writes, after-before, walk.Brief(time.Since(started)))
	if err := w.awaitSessions(ctx, v1alpha1.ReasonActive, workingSessions...); err != nil {
		return err
	}
	return w.allAccepted(ctx, callers...)
}

// writeSecretKey writes one key of a Secret.
func (w *e2eRun) writeSecretKey(ctx context.Context, secret, key string, value []byte) error {
	patch, err := json.Marshal(map[string]any{"data": map[string][]byte{key: value}})
	if err != nil {
		return err
	}
	object := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: secret}}
	return w.client.Patch(ctx, object, client.RawPatch(types.MergePatchType, patch))
}

func (w *e2eRun) suspendSession(ctx context.Context) error {
	strangers, err := certs.NewAuthority("e2e strangers", nil)
	if err != nil {
		return err
	}
	stranger, err := strangers.Issue(certs.Request{Usage: certs.Client, CommonName: operatorUser})
	if err != nil {
		return err
	}
	if err := w.writePair(ctx, stranger); err != nil {
		return err
	}
	if err := w.awaitSessions(ctx, v1alpha1.ReasonSuspended, "edge"); err != nil {
		return err
	}
	if err := w.kubectl.Show(ctx, "get", "cdep,cses", "-n", namespace); err != nil {
		return err
	}
	started := time.Now()
	if err := w.writePair(ctx, w.material.client); err != nil {
		return err
	}
	if err := w.awaitSessions(ctx, v1alpha1.ReasonActive, workingSessions...); err != nil {
		return err
	}
	w.recordFigure("a suspended session is Ready %s after the right certificate was written",
		walk.Brief(time.Since(started)))
	return w.allAccepted(ctx, callers...)
}

func (w *e2eRun) writePair(ctx context.Context, pair *certs.Certificate) error {
	if err := w.writeSecretKey(ctx, "coder-mtls", "tls.crt", pair.CertPEM); err != nil {
		return err
	}
	return w.writeSecretKey(ctx, "coder-mtls", "tls.key", pair.KeyPEM)
}
