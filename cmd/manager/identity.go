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

// podNamespace is the file with the pod's namespace, next to the token of its service account.
const podNamespace = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// ownNamespace is the namespace of the lease and of the operator's own Secret.
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

// clusterID is part of the names of minted tokens. It is derived from the cluster and from the
// watch scope, so that two operators never mistake each other's tokens for their own.
func clusterID(ctx context.Context, reader client.Reader, o *options) (string, error) {
	if o.clusterID != "" {
		return o.clusterID, nil
	}
	meta := &metav1.PartialObjectMetadata{}
	meta.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	if err := reader.Get(ctx, types.NamespacedName{Name: metav1.NamespaceSystem}, meta); err != nil {
		return "", errors.Join(errors.New(
			"the namespace kube-system cannot be read, from which the cluster id is derived: set --cluster-id"), err)
	}
	return deriveID(string(meta.UID), o.watchScope()), nil
}

// watchScope describes the watched namespaces and labels; empty: everything.
func (o *options) watchScope() string {
	if len(o.watchNamespaces) == 0 && o.selector.Empty() {
		return ""
	}
	return fmt.Sprintf("%s|%s", strings.Join(o.watchNamespaces, ","), o.selector)
}

// leaseName is the name of the lease. Each watch scope has its own.
func (o *options) leaseName() string {
	const name = "coder-session-operator"
	if scope := o.watchScope(); scope != "" {
		return name + "-" + deriveID(name, scope)
	}
	return name
}

func deriveID(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:4])
}
