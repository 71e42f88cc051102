// SPDX-License-Identifier: Apache-2.0

package browser_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// What the other tests rely on: whatever is wrong with a page is seen.
func TestFaultsOfAPageAreSeen(t *testing.T) {
	findChromium(t)
	t.Parallel()
	const (
		good = `<!doctype html><html lang="en"><head><title>Page</title>` +
			`<style>:root { color-scheme: light dark } body { background: Canvas }</style></head>`
		strict = "default-src 'none'; style-src 'unsafe-inline'"
	)
	// elsewhere is there, so that only the policy or the test keeps a page from it.
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(elsewhere.Close)
	pages := map[string]struct {
		policy, html string
		want         []string // parts of what is said; none: all is well
	}{
		"good": {strict, good + `<h1>Page</h1>`, nil},
		"no language": {strict, strings.Replace(good, ` lang="en"`, "", 1) + `<h1>Page</h1>`,
			[]string{"what language"}},
		"no title":     {strict, strings.Replace(good, `Page`, "", 1) + `<h1>Page</h1>`, []string{"no title"}},
		"no heading":   {strict, good + `<p>Page</p>`, []string{"first-level headings"}},
		"two headings": {strict, good + `<h1>Page</h1><h1>Another</h1>`, []string{"first-level headings"}},
		"wide": {strict, good + `<h1>Page</h1><pre>` + strings.Repeat("x", 80) + `</pre>`,
			[]string{"narrow: it has to be scrolled sideways"}},
		"always light": {strict, strings.Replace(good, "Canvas", "#fff", 1) + `<h1>Page</h1>`,
			[]string{"dark: its background"}},
		"always dark": {strict, strings.Replace(good, "Canvas", "#111", 1) + `<h1>Page</h1>`,
			[]string{"light: its background", "narrow: its background"}},
		"script":               {"", good + `<h1>Page</h1><script>1</script>`, []string{"1 scripts", "a script ran"}},
		"script that logs":     {"", good + `<h1>Page</h1><script>console.log(1)</script>`, []string{"wrote to the console"}},
		"script that fails":    {"", good + `<h1>Page</h1><script>throw 1</script>`, []string{"a script failed"}},
		"script in an element": {"", good + `<body onload="1"><h1>Page</h1>`, []string{"a script ran"}},
		"script held back": {strict, good + `<h1>Page</h1><script>1</script>`,
			[]string{"1 scripts", "the console has (security", "ContentSecurityPolicyIssue"}},
		"style held back": {"default-src 'none'", good + `<h1>Page</h1>`,
			[]string{"ContentSecurityPolicyIssue", "no background"}},
		"image held back": {strict, good + `<h1>Page</h1><img alt="" src="` + elsewhere.URL + `">`,
			[]string{"ContentSecurityPolicyIssue"}},
		"image from elsewhere": {"", good + `<h1>Page</h1><img alt="" src="` + elsewhere.URL + `">`,
			[]string{"a request to elsewhere (Image)"}},
		"image": {"", good + `<h1>Page</h1><img alt="" src="/image">`,
			[]string{"needs something else (Image)"}},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, known := pages[r.URL.Query().Get("page")]
		if !known {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", p.policy)
		fmt.Fprint(w, p.html)
	}))
	t.Cleanup(server.Close)
	b := newBrowser(t, t.TempDir(), server.URL)
	for name, want := range pages {
		_, wrong := b.visitPage(name, chromedp.Navigate(server.URL+"/?page="+strings.ReplaceAll(name, " ", "+")))
		said := strings.Join(wrong, "\n")
		for _, part := range want.want {
			if !strings.Contains(said, part) {
				t.Errorf("%s: %q is not seen, but:\n%s", name, part, said)
			}
		}
		if len(want.want) == 0 && len(wrong) > 0 {
			t.Errorf("%s: seen is\n%s", name, said)
		}
	}
}
