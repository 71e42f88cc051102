// SPDX-License-Identifier: Apache-2.0

package coder

import (
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	testclock "k8s.io/utils/clock/testing"
)

// B104: an alert that has arrived is read before a failed write is reported, but the wait is
// limited.
func TestAFailedWriteWaitsForTheLastWord(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*lastWordConn, *testclock.FakeClock){
		"the reader finishes": func(c *lastWordConn, _ *testclock.FakeClock) { _, _ = c.Read(make([]byte, 1)) },
		"it is closed":        func(c *lastWordConn, _ *testclock.FakeClock) { _ = c.Close() },
		"the time is up":      func(_ *lastWordConn, clock *testclock.FakeClock) { clock.Step(lastWordTimeout) },
	}
	for name, end := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				defer near.Close()
				_ = far.Close()
				clock := testclock.NewFakeClock(time.Now())
				c := newLastWordConn(near, clock)
				reported := make(chan error, 1)
				go func() {
					_, err := c.Write([]byte("request"))
					reported <- err
				}()
				for range 2 {
					synctest.Wait()
					select {
					case err := <-reported:
						t.Fatalf("%v is reported before the end", err)
					default:
					}
					clock.Step(lastWordTimeout / 4)
				}
				end(c, clock)
				synctest.Wait()
				select {
				case err := <-reported:
					if !errors.Is(err, io.ErrClosedPipe) {
						t.Errorf("got %v, want the error of the write", err)
					}
				default:
					t.Error("the error of the write is not reported")
					_ = c.Close()
				}
			})
		})
	}
}

// B131
func TestTheTimeoutIsLimited(t *testing.T) {
	t.Parallel()
	for configured, want := range map[time.Duration]time.Duration{
		0: DefaultTimeout, -time.Second: DefaultTimeout, time.Second: time.Second, time.Minute: time.Minute,
		9999 * time.Hour: MaxTimeout,
	} {
		if got := New(Config{Timeout: configured}).timeout; got != want {
			t.Errorf("%s configured: the timeout is %s, want %s", configured, got, want)
		}
	}
}
