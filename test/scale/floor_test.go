// SPDX-License-Identifier: Apache-2.0

package scale_test

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// measureBareWrites is how long the API server alone takes for what the sessions needed: it
// writes the sessions and Secrets that are there once more, into another
// namespace, with the three writes that no operator could do without (session,
// Secret, status). No operator may be running.
func (w *scaleEnv) measureBareWrites() time.Duration {
	w.T.Helper()
	var sessions v1alpha1.CoderSessionList
	var secrets corev1.SecretList
	w.Must(w.watcher.List(w.T.Context(), &sessions, client.InNamespace(w.Namespace)))
	w.Must(w.watcher.List(w.T.Context(), &secrets, client.InNamespace(w.Namespace),
		client.HasLabels{v1alpha1.LabelSession}))
	bySession := map[string]*corev1.Secret{}
	for i := range secrets.Items {
		bySession[secrets.Items[i].Name] = &secrets.Items[i]
	}
	namespace := w.Cluster.Namespace(w.T, nil)
	started := time.Now()
	w.Must(inParallel(len(sessions.Items), func(i int) error {
		return w.writeAgain(namespace, &sessions.Items[i], bySession[sessions.Items[i].SecretName()])
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
	copied := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: secret.Name, Labels: secret.Labels, Annotations: secret.Annotations,
			OwnerReferences: secret.OwnerReferences,
		},
		Type: secret.Type, Data: secret.Data,
	}
	if err := w.watcher.Create(ctx, copied); err != nil {
		return err
	}
	before := made.DeepCopy()
	made.Status = session.Status
	return w.watcher.Status().Patch(ctx, made, client.MergeFrom(before))
}
