// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// rounds of four writes each: certificate, header, key, CA.
const rounds = 10

// change is one write of one key.
type change struct {
	object client.Object
	field  string // data, or stringData for Secrets
	values map[string]string
}

func inSecret(name string, values map[string]string) change {
	return change{&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}, "stringData", values}
}

func inConfigMap(name string, values map[string]string) change {
	return change{&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}, "data", values}
}

// changesTo returns writes that end with the given material. Every state before the last one is
// unusable: each certificate is written before its key, each CA bundle but the last is cut off, and
// each header but the last is wrong.
func changesTo(last *material) ([]change, error) {
	var changes []change
	for round := range rounds {
		final := round == rounds-1
		pair, header, ca := last.client, last.header, last.servers.PEM()
		if !final {
			var err error
			if pair, err = last.issueClientCertificate(); err != nil {
				return nil, err
			}
			header, ca = fmt.Sprintf("not yet %d", round), ca[:len(ca)/2]
		}
		changes = append(changes,
			inSecret("coder-mtls", map[string]string{"tls.crt": string(pair.CertPEM)}),
			inSecret("coder-edge", map[string]string{"secret": header}),
			inSecret("coder-mtls", map[string]string{"tls.key": string(pair.KeyPEM)}),
			inConfigMap("corp-ca", map[string]string{"ca.crt": string(bytes.TrimSpace(ca))}),
		)
	}
	return changes, nil
}

// writeChange makes one change.
func (d *demo) writeChange(ctx context.Context, c change) error {
	patch, err := json.Marshal(map[string]any{c.field: c.values})
	if err != nil {
		return fmt.Errorf("encode a patch: %w", err)
	}
	if err := d.client.Patch(ctx, c.object, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return fmt.Errorf("write %s: %w", c.object.GetName(), err)
	}
	return nil
}

// runBurst makes the changes one by one, and half way through lets the server switch to the new
// material. It returns how long all changes took, and the longest time between two writes.
func (d *demo) runBurst(
	ctx context.Context, changes []change, next *material,
) (took, longest time.Duration, err error) {
	started := time.Now()
	before := started
	for i, c := range changes {
		if i == len(changes)/2 {
			if err := d.changeServer(ctx, next); err != nil {
				return 0, 0, err
			}
		}
		if err := d.writeChange(ctx, c); err != nil {
			return 0, 0, err
		}
		now := time.Now()
		longest = max(longest, now.Sub(before))
		before = now
	}
	return time.Since(started), longest, nil
}

// changeServer gives the server's side new material.
func (d *demo) changeServer(ctx context.Context, next *material) error {
	return d.coder.ChangeEdge(ctx, map[string]any{
		"certificate":      string(next.server.CertPEM),
		"key":              string(next.server.KeyPEM),
		"required_headers": map[string]string{headerName: next.header},
	})
}
