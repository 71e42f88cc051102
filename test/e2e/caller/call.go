// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"
)

const (
	accepted = "accepted"
	refused  = "refused"
	failed   = "failed"
)

const (
	// callTimeout bounds one call.
	callTimeout = 10 * time.Second
	// heartbeat is how often a line is printed while nothing changes.
	heartbeat = 2 * time.Second
)

// caller calls the server again and again.
type caller struct {
	path string
	out  *json.Encoder

	current *credentials
	client  *http.Client
	last    Line
}

// callOnce makes one call and prints its result if it differs from the one before, or as a
// heartbeat. It returns an error only if the output cannot be written.
func (c *caller) callOnce(ctx context.Context) error {
	line := Line{At: time.Now(), Accepted: c.last.Accepted, Refused: c.last.Refused, Failed: c.last.Failed}
	status, err := c.sendRequest(ctx)
	if ctx.Err() != nil {
		return nil
	}
	if c.current != nil {
		line.Token, line.Certificate = c.current.tokenID(), c.current.certificateSerial()
	}
	line.setOutcome(status, err)
	was := c.last
	if news := line.Outcome != accepted || line.differsFrom(was) || line.At.Sub(was.At) >= heartbeat; !news {
		line.At = was.At // of the line that was printed last
		c.last = line
		return nil
	}
	c.last = line
	return c.out.Encode(line)
}

// setOutcome sets the outcome of a call and counts it.
func (l *Line) setOutcome(status int, err error) {
	l.Status = status
	switch {
	case err != nil:
		l.Outcome, l.Error = failed, causeOf(err).Error()
		l.Failed++
	case status == http.StatusUnauthorized:
		l.Outcome = refused
		l.Refused++
	case status == http.StatusOK, status == http.StatusForbidden:
		l.Outcome = accepted
		l.Accepted++
	default:
		l.Outcome = failed
		l.Failed++
	}
}

func (l *Line) differsFrom(was Line) bool {
	return l.Outcome != was.Outcome || l.Token != was.Token || l.Certificate != was.Certificate
}

// sendRequest makes the call with the current credentials.
func (c *caller) sendRequest(ctx context.Context) (int, error) {
	next, err := loadCredentials()
	if err != nil {
		return 0, err
	}
	if c.current == nil || !c.current.equal(next) {
		if c.client != nil {
			c.client.CloseIdleConnections()
		}
		c.current, c.client = next, next.newClient()
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.current.url+c.path, nil)
	if err != nil {
		return 0, errors.New("the server's URL is none")
	}
	c.current.addCredentials(request)
	response, err := c.client.Do(request)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}

// causeOf is the error without the address that it quotes.
func causeOf(err error) error {
	var quoting *url.Error
	if errors.As(err, &quoting) {
		return quoting.Err
	}
	return err
}
