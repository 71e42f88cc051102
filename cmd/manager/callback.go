// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net"
	"net/url"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/coder-session-operator/coder-session-operator/internal/callback"
	"github.com/coder-session-operator/coder-session-operator/internal/grant"
)

// redirectURIs are the URLs at which browsers reach the callback; none if it is not served.
func (o *options) redirectURIs() []string {
	if o.callbackAddress == "" {
		return nil
	}
	return grant.RedirectURIs(o.callbackURL)
}

// addCallback serves the OAuth callback on every replica, leader or not (B72).
func addCallback(mgr ctrl.Manager, o *options, parts callback.Options) error {
	if o.callbackAddress == "" {
		return nil
	}
	listener, err := net.Listen("tcp", o.callbackAddress)
	if err != nil {
		return fmt.Errorf("--oauth-callback-bind-address: %w", err)
	}
	parts.Paths, parts.Clock = o.callbackPaths(), clock.RealClock{}
	server := callback.NewServer(o.callbackAddress, callback.New(parts), ctrl.Log.WithName("oauth-callback"))
	server.Listener = listener
	return mgr.Add(server)
}

// callbackPaths returns the path of the public URL, if there is one.
func (o *options) callbackPaths() []string {
	if u, err := url.Parse(o.callbackURL); err == nil && o.callbackURL != "" {
		return []string{u.Path}
	}
	return nil
}
