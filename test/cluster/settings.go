// SPDX-License-Identifier: Apache-2.0

//go:build linux

package cluster

import (
	"embed"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"text/template"
	"time"

	"github.com/coder-session-operator/coder-session-operator/test/cluster/internal/isolate"
	"github.com/coder-session-operator/coder-session-operator/test/cluster/internal/pki"
)

// What pods and their tests may rely on. Nothing else is in the network.
const (
	nodeName      = "node"
	server        = "https://" + isolate.NodeAddress + ":6443"
	podSubnet     = "10.244.0.0/16"
	serviceSubnet = "10.96.0.0/16"
	apiService    = "10.96.0.1" // the first address of serviceSubnet, as the API server has it
	domain        = "cluster.local"
	pauseImage    = "test-cluster/pause:1"
	etcdAddress   = "http://127.0.0.1:2379"
)

//go:embed files
var templates embed.FS

// settings are what the programs' flags and files are made of. Each field's name is
// that of its place in the files.
type settings struct {
	Folder                                               string
	Authority                                            string
	APIServer, Kubelet, ServiceAccounts                  pki.Pair
	KubeletClient                                        pki.Pair // the API server's, for kubelets
	Admin, Controllers, Scheduler, Node, ProxyKubeconfig string   // kubeconfigs
	PodSubnet, Domain, NodeAddress, PauseImage           string
	CgroupRoot                                           string
	KubeletSync                                          time.Duration
}

// newSettings makes keys, kubeconfigs and the programs' files in the folder.
func newSettings(options Options, folder string) (*settings, error) {
	s := &settings{
		Folder:      folder,
		PodSubnet:   podSubnet,
		Domain:      domain,
		NodeAddress: isolate.NodeAddress,
		PauseImage:  pauseImage,
		CgroupRoot:  isolate.CgroupRoot(),
		KubeletSync: options.KubeletSync,
	}
	if s.KubeletSync == 0 {
		s.KubeletSync = time.Minute
	}
	authority, err := pki.NewAuthority(folder, time.Now())
	if err != nil {
		return nil, err
	}
	s.Authority = authority.CertificateFile
	if err := errors.Join(s.issueCertificates(authority), s.writeKubeconfigs(authority)); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(folder, "cni"), 0o700); err != nil {
		return nil, fmt.Errorf("prepare the cluster: %w", err)
	}
	for file, path := range map[string]string{
		"containerd.toml": "containerd.toml",
		"cni.conflist":    "cni/pods.conflist",
		"kubelet.yaml":    "kubelet.yaml",
		"kube-proxy.yaml": "kube-proxy.yaml",
	} {
		if err := s.renderFile(file, filepath.Join(folder, path)); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// issueCertificates makes the servers' certificates and the keys that are not part of a kubeconfig.
func (s *settings) issueCertificates(authority *pki.Authority) error {
	node := net.ParseIP(isolate.NodeAddress)
	for file, certificate := range map[string]struct {
		pair    *pki.Pair
		subject pki.Subject
	}{
		"kube-apiserver": {&s.APIServer, pki.Subject{
			Name:      "kube-apiserver",
			Addresses: []net.IP{node, net.ParseIP(apiService), net.IPv4(127, 0, 0, 1)},
			Names: []string{
				"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + domain,
			},
		}},
		"kubelet": {&s.Kubelet, pki.Subject{
			Name: nodeName, Addresses: []net.IP{node}, Names: []string{nodeName},
		}},
		"kubelet-client": {&s.KubeletClient, pki.Subject{
			Name: "kube-apiserver-kubelet-client", Groups: []string{"system:masters"},
		}},
		"service-accounts": {&s.ServiceAccounts, pki.Subject{Name: "service-accounts"}},
	} {
		pair, err := authority.Issue(file, certificate.subject)
		if err != nil {
			return err
		}
		*certificate.pair = pair
	}
	return nil
}

// writeKubeconfigs makes those of the admin and of the programs, under the names that
// the roles know which every API server comes with.
func (s *settings) writeKubeconfigs(authority *pki.Authority) error {
	for file, kubeconfig := range map[string]struct {
		path    *string
		subject pki.Subject
	}{
		"admin":                   {&s.Admin, pki.Subject{Name: "admin", Groups: []string{"system:masters"}}},
		"kube-controller-manager": {&s.Controllers, pki.Subject{Name: "system:kube-controller-manager"}},
		"kube-scheduler":          {&s.Scheduler, pki.Subject{Name: "system:kube-scheduler"}},
		"kube-proxy":              {&s.ProxyKubeconfig, pki.Subject{Name: "system:kube-proxy"}},
		"kubelet":                 {&s.Node, pki.Subject{Name: "system:node:" + nodeName, Groups: []string{"system:nodes"}}},
	} {
		path, err := authority.Kubeconfig(file, server, kubeconfig.subject)
		if err != nil {
			return err
		}
		*kubeconfig.path = path
	}
	return nil
}

// renderFile writes a program's configuration file.
func (s *settings) renderFile(file, path string) error {
	parsed, err := template.New(file).Option("missingkey=error").ParseFS(templates, "files/"+file)
	if err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	target, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	if err := errors.Join(parsed.Execute(target, s), target.Close()); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}
