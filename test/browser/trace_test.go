// SPDX-License-Identifier: Apache-2.0

package browser_test

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/debugger"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// trace is what a tab has done since the last page was judged. It is safe for concurrent use.
type trace struct {
	mu sync.Mutex
	// requests that the tab wanted to send, "data:" ones included, whether they were sent or not.
	requests []request
	// faults are what a browser's console and its list of issues have, and scripts that ran.
	faults []string
}

type request struct {
	address string
	kind    network.ResourceType
}

// newTrace starts the browser, and traces what its tab does from then on.
func newTrace(tab context.Context, t *testing.T) *trace {
	t.Helper()
	tr := &trace{}
	requireNoError(t, chromedp.Listen(tab, tr.recordEvent))
	_, err := chromedp.Call(tab, debugger.Enable, debugger.EnableParams{})
	requireNoError(t, err)
	_, err = chromedp.Call(tab, audits.Enable, cdp.Empty{})
	requireNoError(t, err)
	return tr
}

func (tr *trace) recordEvent(event any) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		tr.requests = append(tr.requests, request{address: e.Request.URL, kind: e.Type})
	case *debugger.EventScriptParsed:
		if e.URL != "" { // what the test itself evaluates has none
			tr.addFault("a script ran: %s, line %d", e.URL, e.StartLine+1)
		}
	case *runtime.EventExceptionThrown:
		tr.addFault("a script failed: %s", e.ExceptionDetails.Text)
	case *runtime.EventConsoleAPICalled:
		tr.addFault("a script wrote to the console (%s)", e.Type)
	case *log.EventEntryAdded:
		// That a page of a refusal has the status of one is as it should be, and is looked at there.
		if e.Entry.Source != log.EntrySourceNetwork || !tr.isDocument(e.Entry.URL) {
			tr.addFault("the console has (%s, %s): %s", e.Entry.Source, e.Entry.Level, e.Entry.Text)
		}
	case *audits.EventIssueAdded:
		tr.addFault("the browser has an issue: %s", describeIssue(e.Issue))
	}
}

func (tr *trace) addFault(format string, args ...any) {
	tr.faults = append(tr.faults, fmt.Sprintf(format, args...))
}

func (tr *trace) isDocument(address string) bool {
	return slices.Contains(tr.requests, request{address: address, kind: network.ResourceTypeDocument})
}

func describeIssue(issue *audits.InspectorIssue) string {
	if d := issue.Details; d != nil && d.ContentSecurityPolicyIssueDetails != nil {
		return fmt.Sprintf("%s: %s blocks %q", issue.Code, d.ContentSecurityPolicyIssueDetails.ViolatedDirective,
			d.ContentSecurityPolicyIssueDetails.BlockedURL)
	}
	return string(issue.Code)
}

// takeFaults returns what is wrong with what the tab has done for one page, which has to come from
// these origins, alone and as one document. Then the next page begins.
func (tr *trace) takeFaults(origins []string) []string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	wrong := tr.faults
	for _, r := range tr.requests {
		switch {
		case !slices.Contains(origins, originOf(r.address)):
			wrong = append(wrong, fmt.Sprintf("a request to elsewhere (%s): %s", r.kind, r.address))
		case r.kind != network.ResourceTypeDocument:
			wrong = append(wrong, fmt.Sprintf("the page needs something else (%s): %s", r.kind, r.address))
		}
	}
	tr.faults, tr.requests = nil, nil
	return wrong
}

// originOf is scheme, host and port of a URL.
func originOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return strings.ToLower(u.Scheme + "://" + u.Host)
}
