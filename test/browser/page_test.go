// SPDX-License-Identifier: Apache-2.0

package browser_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// page is one that a browser has come to.
type page struct {
	b       *browser
	status  int64
	address *url.URL
	facts   facts
}

// facts are what a page says of itself.
type facts struct {
	Lang, Title, Text, HTML string
	Headings                []string // of the first level
	Scripts                 int
}

const readFacts = `({
	lang: document.documentElement.lang,
	title: document.title,
	text: document.body.innerText,
	html: document.documentElement.outerHTML,
	headings: Array.from(document.querySelectorAll("h1"), h => h.innerText.trim()),
	scripts: document.scripts.length,
})`

// looks are how a page is looked at, in CSS pixels. 320 is the width at which nothing may have to
// be scrolled sideways (WCAG 2.2, success criterion 1.4.10).
var looks = []look{
	{name: "light", width: 1024, height: 768},
	{name: "dark", width: 1024, height: 768, dark: true},
	{name: "narrow", width: 320, height: 640},
}

type look struct {
	name          string
	width, height int64
	dark          bool
}

// sight is what a look has to show.
type sight struct {
	// Beyond is by how much the page is wider than the window, in CSS pixels.
	Beyond float64
	// Background of the page: red, green, blue and, unless it is 1, how much of it is there.
	Background []float64
}

const readSight = `({
	beyond: document.documentElement.scrollWidth - document.documentElement.clientWidth,
	background: getComputedStyle(document.body).backgroundColor.match(/[0-9.]+/g).map(Number),
})`

// arriveAt does something that leads to a page, keeps what that looks like, and fails the test
// unless all is well with it.
func (b *browser) arriveAt(how string, act chromedp.Action[chromedp.Void]) *page {
	b.t.Helper()
	p, wrong := b.visitPage(how, act)
	b.met++
	ctx, cancel := context.WithTimeout(b.tab, patience)
	defer cancel()
	for _, l := range looks {
		requireNoError(b.t, l.applyTo(ctx))
		picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
		requireNoError(b.t, err)
		requireNoError(b.t, os.WriteFile(p.pictureFile(l.name), picture, 0o600))
	}
	for _, w := range wrong {
		b.t.Errorf("page %q: %s", p.facts.Title, w)
	}
	return p
}

// visitPage does something that leads to a page, and looks at that in every way. It returns what is
// wrong with it.
func (b *browser) visitPage(how string, act chromedp.Action[chromedp.Void]) (*page, []string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.tab, patience)
	defer cancel()
	response, err := chromedp.RunResponse(ctx, act)
	if err != nil || response == nil {
		b.t.Fatalf("%s leads to no page: %v", how, err)
	}
	p := &page{b: b, status: response.Status}
	p.address, err = url.Parse(response.URL)
	requireNoError(b.t, err)
	p.facts, err = chromedp.Run(ctx, chromedp.Evaluate[facts](readFacts))
	requireNoError(b.t, err)
	wrong := p.facts.findFaults()
	for _, l := range looks {
		requireNoError(b.t, l.applyTo(ctx))
		s, err := chromedp.Run(ctx, chromedp.Evaluate[sight](readSight))
		requireNoError(b.t, err)
		wrong = append(wrong, s.findFaults(l)...)
	}
	return p, append(wrong, b.trace.takeFaults(b.origins)...)
}

func (f facts) findFaults() (wrong []string) {
	if f.Lang == "" {
		wrong = append(wrong, "nothing says what language it is in")
	}
	if f.Title == "" {
		wrong = append(wrong, "it has no title")
	}
	if len(f.Headings) != 1 || f.Headings[0] == "" {
		wrong = append(wrong, fmt.Sprintf("it has the first-level headings %q, want one", f.Headings))
	}
	if f.Scripts > 0 {
		wrong = append(wrong, fmt.Sprintf("it has %d scripts", f.Scripts))
	}
	return wrong
}

// applyTo shows the page of a tab so. Nothing is loaded again by that.
func (l look) applyTo(tab context.Context) error {
	scheme := "light"
	if l.dark {
		scheme = "dark"
	}
	prefer := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}}}
	if _, err := chromedp.Call(tab, emulation.SetEmulatedMedia, prefer); err != nil {
		return fmt.Errorf("prefer %s: %w", scheme, err)
	}
	if err := chromedp.Do(tab, chromedp.EmulateViewport(l.width, l.height)); err != nil {
		return fmt.Errorf("make the window %d wide: %w", l.width, err)
	}
	return nil
}

func (s sight) findFaults(l look) (wrong []string) {
	if s.Beyond > 0 {
		wrong = append(wrong, fmt.Sprintf("%s: it has to be scrolled sideways, by %g pixels of %d", l.name, s.Beyond,
			l.width))
	}
	switch back := s.Background; {
	case len(back) > 3:
		wrong = append(wrong, fmt.Sprintf("%s: it has no background of its own", l.name))
	case (back[0]+back[1]+back[2] < 3*128) != l.dark:
		wrong = append(wrong, fmt.Sprintf("%s: its background is rgb%v", l.name, back))
	}
	return wrong
}

// notInFile is what a heading has and a file's name should not.
var notInFile = regexp.MustCompile(`[^a-z0-9]+`)

// pictureFile is where a picture is kept: in the order in which the pages were met.
func (p *page) pictureFile(look string) string {
	name := notInFile.ReplaceAllString(strings.ToLower(strings.Join(p.facts.Headings, " ")), "-")
	return filepath.Join(p.b.artifacts, fmt.Sprintf("%02d-%s-%s.png", p.b.met,
		strings.Trim(name[:min(len(name), 40)], "-"), look))
}

// requirePage fails the test unless the page has this status and heading.
func (p *page) requirePage(status int64, heading string) *page {
	p.b.t.Helper()
	if got := strings.Join(p.facts.Headings, ", "); p.status != status || got != heading {
		p.b.t.Fatalf("page %q with status %d, want %q with %d; it says:\n%s", got, p.status, heading, status, p.facts.Text)
	}
	return p
}

// requireText fails the test unless the page has all of these words for a person.
func (p *page) requireText(texts ...string) *page {
	p.b.t.Helper()
	for _, text := range texts {
		if !strings.Contains(p.facts.Text, text) {
			p.b.t.Errorf("page %q does not say %q but:\n%s", p.facts.Title, text, p.facts.Text)
		}
	}
	return p
}

// keepsQuiet fails the test when what came in the page's address stands in the page: a code is a
// credential (B90).
func (p *page) keepsQuiet() *page {
	p.b.t.Helper()
	for name, values := range p.address.Query() {
		for _, value := range values {
			if strings.Contains(p.facts.HTML, value) {
				p.b.t.Errorf("page %q has the parameter %s of its address in it", p.facts.Title, name)
			}
		}
	}
	return p
}
