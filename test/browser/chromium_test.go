// SPDX-License-Identifier: Apache-2.0

package browser_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/chromedp/chromedp"
)

// findChromium is the path of the browser. Without one there is nothing to test: where it is
// required that is a failure.
func findChromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	const missing = "no chromium is found in PATH: apt-get install --no-install-recommends chromium"
	if os.Getenv("CI") == "true" || os.Getenv("BROWSER_REQUIRED") == "1" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return ""
}

// browser is a person's browser with a new profile and one tab.
type browser struct {
	t         *testing.T
	tab       context.Context
	artifacts string
	origins   []string // that pages may be of
	trace     *trace
	met       int // pages so far
}

// newBrowser starts a browser for pages of these origins, with a profile of its own. It ends with
// the test.
func newBrowser(t *testing.T, artifacts string, origins ...string) *browser {
	t.Helper()
	output, err := os.Create(filepath.Join(artifacts, "chromium.log"))
	requireNoError(t, err)
	t.Cleanup(func() { _ = output.Close() })
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(findChromium(t)),
		chromedp.CombinedOutput(output),
		chromedp.NoSandbox, // containers seldom allow one; all pages are this repository's own
		chromedp.DisableGPU,
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-quic", true),
		// The browser's own requests lead nowhere.
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1"),
	)
	allocator, end := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(end)
	tab, closeTab := chromedp.NewContext(allocator)
	t.Cleanup(closeTab)
	b := &browser{t: t, tab: tab, artifacts: artifacts, origins: origins}
	b.trace = newTrace(tab, t)
	return b
}

// startBrowser for the pages of the world's Coder server and of the operator.
func (w *browserEnv) startBrowser() *browser {
	w.T.Helper()
	return newBrowser(w.t, w.artifacts, w.listener.URL(), originOf(w.site.callbackURL))
}

// openAddress does what a person does who pastes a URL into the address bar.
func (b *browser) openAddress(address string) *page {
	b.t.Helper()
	return b.arriveAt("opening "+address, chromedp.Navigate(address))
}

// pressButton presses the button with an id, and waits for where it leads.
func (b *browser) pressButton(id string) *page {
	b.t.Helper()
	return b.arriveAt("pressing #"+id, chromedp.Click(chromedp.CSS("#"+id)))
}

// reloadPage does what a person does with the page once more.
func (b *browser) reloadPage() *page {
	b.t.Helper()
	return b.arriveAt("reloading", chromedp.Reload())
}
