// SPDX-License-Identifier: Apache-2.0

package pki

import (
	"fmt"
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// Kubeconfig writes how the subject reaches the API server, to <file>.kubeconfig, and
// returns the path. The file needs no other one.
func (a *Authority) Kubeconfig(file, server string, subject Subject) (string, error) {
	certificate, err := a.signCertificate(subject)
	if err != nil {
		return "", err
	}
	const name = "test-cluster"
	config := api.NewConfig()
	config.Clusters[name] = &api.Cluster{Server: server, CertificateAuthorityData: a.authority.PEM()}
	config.AuthInfos[name] = &api.AuthInfo{ClientCertificateData: certificate.CertPEM, ClientKeyData: certificate.KeyPEM}
	config.Contexts[name] = &api.Context{Cluster: name, AuthInfo: name}
	config.CurrentContext = name
	path := filepath.Join(a.folder, file+".kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		return "", fmt.Errorf("write the kubeconfig of %s: %w", subject.Name, err)
	}
	return path, nil
}
