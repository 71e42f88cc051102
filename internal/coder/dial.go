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
	// lastWordTimeout bounds the wait for what the server said before it closed. It is local: the bytes have arrived.
	lastWordTimeout = time.Second
)

// dialer makes the connections of a transport.
type dialer struct{ clock clock.Clock }

func (d dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	plain := net.Dialer{Timeout: dialTimeout, KeepAlive: keepAlive}
	conn, err := plain.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return newLastWordConn(conn, d.clock), nil
}

// lastWordConn lets the reader finish before a failed write is reported.
//
// In TLS 1.3 a server refuses a client certificate after the client's handshake is done, and then closes (B104). A
// request that is written at that moment fails with a broken pipe while the alert that says why waits to be read; the
// transport would close the connection on the write's error, and the reason would be lost.
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
		c.finish()
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
	c.finish()
	return c.Conn.Close()
}

func (c *lastWordConn) finish() { c.once.Do(func() { close(c.finished) }) }
