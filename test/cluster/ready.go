// SPDX-License-Identifier: Apache-2.0

//go:build linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/coder-session-operator/coder-session-operator/test/cluster/internal/isolate"
)

func containerdReady(ctx context.Context) error { return runCommand(ctx, "ctr", "version") }

func (c *Cluster) apiServerReady(ctx context.Context) error {
	clients, err := kubernetes.NewForConfig(c.Config)
	if err != nil {
		return err
	}
	return clients.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
}

// nodeReady is whether a pod can be created, started and reached by name.
func (c *Cluster) nodeReady(ctx context.Context) error {
	clients, err := kubernetes.NewForConfig(c.Config)
	if err != nil {
		return err
	}
	node, err := clients.CoreV1().Nodes().Get(ctx, nodeName, metav1.GetOptions{})
	if err != nil {
		return err
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady && condition.Status != corev1.ConditionTrue {
			return fmt.Errorf("the node is not ready: %s", condition.Message)
		}
	}
	if len(node.Spec.Taints) > 0 {
		return fmt.Errorf("the node is tainted: %s", node.Spec.Taints[0].Key)
	}
	// Made by the controller manager; no pod is admitted without one.
	if _, err := clients.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{}); err != nil {
		return err
	}
	return errors.Join(proxyReady(ctx), dnsReady(ctx))
}

// proxyReady is whether kube-proxy has written its rules.
func proxyReady(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:10256/healthz", http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("kube-proxy answers %s", response.Status)
	}
	return nil
}

// dnsReady is whether Services have names.
func dnsReady(ctx context.Context) error {
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", isolate.NodeAddress+":53")
	}}
	addresses, err := resolver.LookupHost(ctx, "kubernetes.default.svc."+domain+".")
	if err != nil {
		return err
	}
	if len(addresses) != 1 || addresses[0] != apiService {
		return fmt.Errorf("the API server's Service has the addresses %s", strings.Join(addresses, ", "))
	}
	return nil
}
