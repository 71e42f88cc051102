// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/rand"
	"errors"

	"github.com/coder-session-operator/coder-session-operator/test/certs"
)

// headerName is the header that config/samples sends and the edge demands.
const headerName = "X-Edge-Secret"

// material is everything by which the two sides of a connection know each other.
type material struct {
	servers *certs.Authority   // signs the server's certificate
	clients *certs.Authority   // signs the certificates of the server's clients
	server  *certs.Certificate // for 127.0.0.1
	client  *certs.Certificate // the operator's
	header  string             // value of the demanded header
}

func newMaterial() (*material, error) {
	clients, err := certs.NewAuthority("demo clients", nil)
	if err != nil {
		return nil, err
	}
	return (&material{clients: clients}).nextMaterial()
}

// nextMaterial returns new material with the same authority for clients.
func (m *material) nextMaterial() (*material, error) {
	servers, err := certs.NewAuthority("demo servers", nil)
	if err != nil {
		return nil, err
	}
	next := &material{servers: servers, clients: m.clients, header: rand.Text()}
	var serverErr, clientErr error
	next.server, serverErr = servers.Issue(certs.Request{Usage: certs.Server, CommonName: "coder"})
	next.client, clientErr = m.issueClientCertificate()
	return next, errors.Join(serverErr, clientErr)
}

// issueClientCertificate issues a certificate for the operator's user.
func (m *material) issueClientCertificate() (*certs.Certificate, error) {
	return m.clients.Issue(certs.Request{Usage: certs.Client, CommonName: operatorUser})
}
