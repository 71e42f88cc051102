// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
)

// overSamples adapts config/samples to this machine: it sets the server's URL, and adds the client
// certificate, which the server demands, to the Secrets of sessions ci and ada.
const overSamples = `patches:
- target: {kind: CoderDeployment, name: prod}
  patch: |-
    - {op: replace, path: /spec/url, value: "%s"}
- target: {kind: CoderSession, name: (ci|ada)}
  patch: |-
    - {op: add, path: /spec/secret/includeClientCertificate, value: true}
`

// applySamples follows the instructions in the comments of config/samples.
func (d *demo) applySamples(ctx context.Context) error {
	d.term.Heading("Set up: config/samples, with the URL of this server")
	for name, content := range map[string]string{
		"client.crt":      string(d.material.client.CertPEM),
		"client.key":      string(d.material.client.KeyPEM),
		"ca.crt":          string(d.material.servers.PEM()),
		"edge-secret.txt": d.material.header,
		"token.txt":       d.coder.tokens[operatorUser+"/bootstrap"],
		"ada-token.txt":   d.coder.tokens[personUser+"/laptop"],
	} {
		if _, err := d.folder.Write(name, []byte(content)); err != nil {
			return err
		}
	}
	if _, err := d.writeOverlay("samples", "config/samples", fmt.Sprintf(overSamples, d.coder.url)); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"create", "namespace", namespace},
		{"-n", namespace, "create", "secret", "tls", "coder-mtls", "--cert=client.crt", "--key=client.key"},
		{"-n", namespace, "create", "configmap", "corp-ca", "--from-file=ca.crt"},
		{"-n", namespace, "create", "secret", "generic", "coder-edge", "--from-file=secret=edge-secret.txt"},
		{"-n", namespace, "create", "secret", "generic", "coder-operator-token", "--from-file=token=token.txt"},
		{"-n", namespace, "create", "secret", "generic", "my-coder-token", "--from-file=token=ada-token.txt"},
		{"apply", "-k", "samples"},
	} {
		if err := d.kubectl.Show(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}
