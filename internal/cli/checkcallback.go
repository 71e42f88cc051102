// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

const callbackTopic = "OAuth callback"

// callbackTimeout is how long the page of the callback may take, and maxPageSize how much of it is
// read, in bytes.
const (
	callbackTimeout = 10 * time.Second
	maxPageSize     = 64 << 10
)

// callbackMark is in every page of the operator's callback.
const callbackMark = "Coder Session Operator</title>"

// checkCallback checks that there is an OAuth callback if sessions need one, and that it answers at
// its URL, as seen from this machine.
func (r *checkup) checkCallback(ctx context.Context) {
	if r.operator == nil {
		r.notChecked(callbackTopic, "no operator was found")
		return
	}
	waiting := r.sessionsWithOAuth()
	url := r.operator.flags["oauth-callback-url"]
	switch {
	case !r.operator.hasFlag("oauth-callback-bind-address") && waiting > 0:
		r.problem(callbackTopic, fmt.Sprintf("it is off, and %s with auth.oauth cannot get a consent",
			formatCount(waiting, "session")), "set oauthCallback.enabled in the chart, or --oauth-callback-bind-address")
	case !r.operator.hasFlag("oauth-callback-bind-address"):
		r.ok(callbackTopic, "switched off, and no session has auth.oauth")
	case url == "":
		r.ok(callbackTopic, "it has no URL: people consent with kubectl coder login --port-forward")
	default:
		if what := askCallback(ctx, url); what != "" {
			r.problem(callbackTopic, fmt.Sprintf("%s %s, so that no consent arrives", url, what),
				"check the DNS name, and that Ingress or HTTPRoute lead to the Service of the operator's port \"callback\"; "+
					"until then: kubectl coder login --port-forward")
			return
		}
		r.ok(callbackTopic, "it answers at %s", url)
	}
}

// askCallback asks for the page of the callback without a consent, and says what is wrong with the
// answer. Empty: it is the operator's.
func askCallback(ctx context.Context, url string) string {
	ctx, cancel := context.WithTimeout(ctx, callbackTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "is no URL"
	}
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Sprintf("cannot be reached from this machine (%v)", err)
	}
	defer response.Body.Close()
	page, err := io.ReadAll(io.LimitReader(response.Body, maxPageSize))
	if err != nil || !strings.Contains(string(page), callbackMark) {
		return fmt.Sprintf("is answered with %q by something that is not the operator", response.Status)
	}
	return ""
}
