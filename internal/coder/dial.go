// SPDX-License-Identifier: Apache-2.0

package coder

import (
	"context"
	"net"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

const (
	dialTimeout = 10 * time.Second
	keepAlive   = 30 * time.Second
	// lastWordTimeout limits the wait for an alert that has arrived but was not read yet.
	lastWordTimeout = time.Second
)

// dialer creates the connections of a transport.
type dialer struct {
	clock     clock.Clock
	addresses *Addresses
}

func (d dialer) dialConn(ctx context.Context, network, address string) (net.Conn, error) {
	plain := d.addresses.newDialer()
	conn, err := plain.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return newLastWordConn(conn, d.clock), nil
}

// lastWordConn lets the reader finish before it reports a failed write.
//
// In TLS 1.3 a server rejects a client certificate after the client has finished its handshake, and
// then closes the connection (B104). A request that is written at that moment fails with a broken
// pipe while the alert has not been read yet. The transport would close the connection because of
// the write error, and the alert would be lost.
type lastWordConn struct {
	net.Conn
	clock    clock.Clock
	finished chan struct{} // closed when reading has ended, or the connection was closed
	once     sync.Once
}

func newLastWordConn(conn net.Conn, c clock.Clock) *lastWordConn {
	return &lastWordConn{Conn: conn, clock: c, finished: make(chan struct{})}
}

func (c *lastWordConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil {
		c.finishReading()
	}
	return n, err
}

func (c *lastWordConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err != nil {
		timer := c.clock.NewTimer(lastWordTimeout)
		defer timer.Stop()
		select {
		case <-c.finished:
		case <-timer.C():
		}
	}
	return n, err
}

func (c *lastWordConn) Close() error {
	c.finishReading()
	return c.Conn.Close()
}

func (c *lastWordConn) finishReading() { c.once.Do(func() { close(c.finished) }) }
