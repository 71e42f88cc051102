// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/rand"
	"errors"

	"github.com/coder-session-operator/coder-session-operator/test/coderd/pki"
)

// headerName is the header that config/samples sends and the edge demands.
const headerName = "X-Edge-Secret"

// material is everything by which the two sides of a connection know each other.
type material struct {
	servers *pki.Authority   // signs the server's certificate
	clients *pki.Authority   // signs the certificates of the server's clients
	server  *pki.Certificate // for 127.0.0.1
	client  *pki.Certificate // the operator's
	header  string           // value of the demanded header
}

func newMaterial() (*material, error) {
	clients, err := pki.NewAuthority("demo clients", nil)
	if err != nil {
		return nil, err
	}
	return (&material{clients: clients}).next()
}

// next replaces everything but the authority of the clients.
func (m *material) next() (*material, error) {
	servers, err := pki.NewAuthority("demo servers", nil)
	if err != nil {
		return nil, err
	}
	next := &material{servers: servers, clients: m.clients, header: rand.Text()}
	var serverErr, clientErr error
	next.server, serverErr = servers.Issue(pki.Request{Usage: pki.Server, CommonName: "coder"})
	next.client, clientErr = m.issue()
	return next, errors.Join(serverErr, clientErr)
}

// issue makes a certificate that identifies the operator's user.
func (m *material) issue() (*pki.Certificate, error) {
	return m.clients.Issue(pki.Request{Usage: pki.Client, CommonName: operatorUser})
}
