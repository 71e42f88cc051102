// SPDX-License-Identifier: Apache-2.0

package scale_test

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// bareWrites are the objects that the sessions needed: the sessions, and their Secrets by namespace and name.
type bareWrites struct {
	sessions []v1alpha1.CoderSession
	secrets  map[client.ObjectKey]*corev1.Secret
}

// readBareWrites reads the sessions and Secrets that are there.
func (w *scaleEnv) readBareWrites() bareWrites {
	w.T.Helper()
	var sessions v1alpha1.CoderSessionList
	var secrets corev1.SecretList
	w.Must(w.watcher.List(w.T.Context(), &sessions))
	w.Must(w.watcher.List(w.T.Context(), &secrets, client.HasLabels{v1alpha1.LabelSession}))
	read := bareWrites{sessions: sessions.Items, secrets: map[client.ObjectKey]*corev1.Secret{}}
	for i := range secrets.Items {
		read.secrets[client.ObjectKeyFromObject(&secrets.Items[i])] = &secrets.Items[i]
	}
	return read
}

// measureBareWrites is how long the API server alone takes for what the sessions needed: a plain client writes
// the same objects once more, into another namespace, with the three writes that no operator could do without
// (session, Secret, status). No operator may be running.
func (w *scaleEnv) measureBareWrites(read bareWrites) time.Duration {
	w.T.Helper()
	namespace := w.Cluster.Namespace(w.T, nil)
	started := time.Now()
	w.Must(inParallel(len(read.sessions), func(i int) error {
		s := &read.sessions[i]
		return w.writeAgain(namespace, s, read.secrets[client.ObjectKey{Namespace: s.Namespace, Name: s.SecretName()}])
	}))
	return time.Since(started)
}

func (w *scaleEnv) writeAgain(namespace string, session *v1alpha1.CoderSession, secret *corev1.Secret) error {
	ctx := w.T.Context()
	made := &v1alpha1.CoderSession{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: session.Name},
		Spec: session.Spec}
	if err := w.watcher.Create(ctx, made); err != nil {
		return err
	}
	if err := w.watcher.Create(ctx, copySecret(secret, namespace, secret.Name)); err != nil {
		return err
	}
	before := made.DeepCopy()
	made.Status = session.Status
	return w.watcher.Status().Patch(ctx, made, client.MergeFrom(before))
}
