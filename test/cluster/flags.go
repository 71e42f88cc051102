// SPDX-License-Identifier: Apache-2.0

//go:build linux

package cluster

import (
	"path/filepath"

	"github.com/coder-session-operator/coder-session-operator/test/cluster/internal/isolate"
)

// etcdFlags turns off fsync, since no data is needed after the program has ended.
func (s *settings) etcdFlags() []string {
	return []string{
		"--data-dir=/var/lib/etcd", "--unsafe-no-fsync",
		"--listen-client-urls=" + etcdAddress, "--advertise-client-urls=" + etcdAddress,
		"--listen-peer-urls=http://127.0.0.1:2380", "--initial-advertise-peer-urls=http://127.0.0.1:2380",
		"--initial-cluster=default=http://127.0.0.1:2380",
		"--log-level=warn",
	}
}

// apiServerFlags leaves the admission plugins on that are on by default (webhooks, pod security,
// service accounts) and adds NodeRestriction.
func (s *settings) apiServerFlags() []string {
	return []string{
		"--etcd-servers=" + etcdAddress,
		"--bind-address=0.0.0.0", "--advertise-address=" + isolate.NodeAddress,
		"--service-cluster-ip-range=" + serviceSubnet,
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--anonymous-auth=false",
		"--client-ca-file=" + s.Authority,
		"--tls-cert-file=" + s.APIServer.Certificate, "--tls-private-key-file=" + s.APIServer.Key,
		"--service-account-issuer=https://kubernetes.default.svc." + domain,
		"--service-account-signing-key-file=" + s.ServiceAccounts.Key,
		"--service-account-key-file=" + s.ServiceAccounts.Certificate,
		"--kubelet-client-certificate=" + s.KubeletClient.Certificate,
		"--kubelet-client-key=" + s.KubeletClient.Key,
		"--kubelet-certificate-authority=" + s.Authority,
		"--kubelet-preferred-address-types=InternalIP",
		"--enable-bootstrap-token-auth=false",
	}
}

// controllerManagerFlags turns leader election off: there is one instance, and an election takes
// time.
func (s *settings) controllerManagerFlags() []string {
	return []string{
		"--kubeconfig=" + s.Controllers,
		"--authentication-kubeconfig=" + s.Controllers, "--authorization-kubeconfig=" + s.Controllers,
		"--leader-elect=false",
		"--use-service-account-credentials",
		"--service-account-private-key-file=" + s.ServiceAccounts.Key,
		"--root-ca-file=" + s.Authority,
		"--cluster-name=test-cluster",
	}
}

func (s *settings) schedulerFlags() []string {
	return []string{
		"--kubeconfig=" + s.Scheduler,
		"--authentication-kubeconfig=" + s.Scheduler, "--authorization-kubeconfig=" + s.Scheduler,
		"--leader-elect=false",
	}
}

func (s *settings) containerdFlags() []string {
	return []string{"--config=" + filepath.Join(s.Folder, "containerd.toml")}
}

func (s *settings) kubeletFlags() []string {
	return []string{
		"--config=" + filepath.Join(s.Folder, "kubelet.yaml"),
		"--kubeconfig=" + s.Node,
		"--hostname-override=" + nodeName, "--node-ip=" + isolate.NodeAddress,
	}
}

func (s *settings) proxyFlags() []string {
	return []string{"--config=" + filepath.Join(s.Folder, "kube-proxy.yaml"), "--hostname-override=" + nodeName}
}

// dnsFlags uses the credentials of kube-proxy, which reads the same objects.
func (s *settings) dnsFlags() []string {
	return []string{
		"--kubeconfig=" + s.ProxyKubeconfig, "--domain=" + domain,
		"--listen=" + isolate.NodeAddress + ":53",
	}
}
