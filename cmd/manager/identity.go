// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// podNamespace is where a service account tells a pod its namespace.
const podNamespace = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// ownNamespace is where the lease and the operator's own Secret live.
func ownNamespace(o *options) string {
	if o.leaderNamespace != "" {
		return o.leaderNamespace
	}
	if namespace := os.Getenv("POD_NAMESPACE"); namespace != "" {
		return namespace
	}
	if text, err := os.ReadFile(podNamespace); err == nil {
		return strings.TrimSpace(string(text))
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = o.kubeconfig
	namespace, _, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).Namespace()
	if err != nil || namespace == "" {
		return metav1.NamespaceDefault
	}
	return namespace
}

// clusterID is the id in the names of minted tokens. It covers the cluster and
// what of it is watched, so that of two operators neither takes the other's
// tokens for its own.
func clusterID(ctx context.Context, reader client.Reader, o *options) (string, error) {
	if o.clusterID != "" {
		return o.clusterID, nil
	}
	meta := &metav1.PartialObjectMetadata{}
	meta.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	if err := reader.Get(ctx, types.NamespacedName{Name: metav1.NamespaceSystem}, meta); err != nil {
		return "", errors.Join(errors.New("the namespace kube-system cannot be read, from which the cluster id is derived: set --cluster-id"), err)
	}
	return derive(string(meta.UID), o.scope()), nil
}

// scope names what is watched; empty: everything.
func (o *options) scope() string {
	if len(o.watchNamespaces) == 0 && o.selector.Empty() {
		return ""
	}
	return fmt.Sprintf("%s|%s", strings.Join(o.watchNamespaces, ","), o.selector)
}

// leaseName is that of the lease: one for each scope.
func (o *options) leaseName() string {
	const name = "coder-session-operator"
	if scope := o.scope(); scope != "" {
		return name + "-" + derive(name, scope)
	}
	return name
}

func derive(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:4])
}
