// SPDX-License-Identifier: Apache-2.0

package callback

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var outcomes = []outcome{
	done, denied, refused, failed, unknown, used, expired, gone, paused, unavailable, busy, incomplete, wrongMethod,
	absent,
}

func pageOf(o outcome, at sessionRef) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	writePage(w, o, at)
	return w
}

func TestEveryOutcomeHasAPage(t *testing.T) {
	t.Parallel()
	if len(pageContents) != len(outcomes) {
		t.Errorf("%d pages for %d outcomes", len(pageContents), len(outcomes))
	}
	titles := map[string]outcome{}
	for _, o := range outcomes {
		c := pageContents[o]
		if c.title == "" || c.about == "" || c.next == "" || c.status == 0 || c.severity == "" {
			t.Errorf("%s says too little", o)
		}
		if other, taken := titles[c.title]; taken {
			t.Errorf("%s and %s have one title", o, other)
		}
		titles[c.title] = o
		body := pageOf(o, sessionRef{Namespace: "builds", Name: "ci"}).Body.String()
		for _, needed := range []string{
			`<!doctype html>`, `<html lang="en">`, "<title>" + c.title + " ",
			`name="viewport" content="width=device-width, initial-scale=1"`,
			`<div role="status">`, "<h1>" + c.title + "</h1>", ">ci<", ">builds<",
		} {
			if strings.Count(body, needed) != 1 {
				t.Errorf("%s: %q is there %d times", o, needed, strings.Count(body, needed))
			}
		}
		if strings.Count(body, "<h1") != 1 {
			t.Errorf("%s has another number of headings than one", o)
		}
		for _, c := range c.commands {
			line := c.shellLine(sessionRef{Namespace: "builds", Name: "ci"})
			if !strings.Contains(line, " -n builds ci") {
				t.Errorf("%s: %s", o, line)
			}
		}
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	for _, o := range outcomes {
		got := pageOf(o, sessionRef{})
		style := regexp.MustCompile(`(?s)<style>(.*)</style>`).FindStringSubmatch(got.Body.String())
		want := http.Header{
			"Content-Type": {"text/html; charset=utf-8"}, "Referrer-Policy": {"no-referrer"},
			"Cache-Control":          {"no-store"},
			"X-Content-Type-Options": {"nosniff"},
			"Content-Security-Policy": {"default-src 'none'; style-src '" + digest(style[1]) +
				"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
		}
		if after := pageContents[o].retryAfter; after != "" {
			want.Set("Retry-After", after)
		}
		if diff := cmp.Diff(want, got.Header()); diff != "" || got.Code != pageContents[o].status {
			t.Errorf("%s, status %d: %s", o, got.Code, diff)
		}
	}
}

// A page loads nothing from elsewhere, and needs nothing that its policy does not allow.
func TestPagesStandAlone(t *testing.T) {
	t.Parallel()
	forbidden := regexp.MustCompile(`(?i)<script|<link|<img|<form|<a\s|<iframe|\sstyle=|\son\w+=|https?:|url\(|@import`)
	for _, o := range outcomes {
		if found := forbidden.FindString(
			pageOf(o, sessionRef{Namespace: "builds", Name: "ci"}).Body.String()); found != "" {
			t.Errorf("%s has %q", o, found)
		}
	}
}

func TestNamesAreText(t *testing.T) {
	t.Parallel()
	for _, o := range outcomes {
		body := pageOf(o, sessionRef{Namespace: `<script>x</script>`, Name: `"><b>&amp;`}).Body.String()
		if strings.Contains(body, "<script") || strings.Contains(body, "<b>") ||
			!strings.Contains(body, "<dd>&#34;&gt;&lt;b&gt;&amp;amp;</dd>") {
			t.Errorf("%s takes names for markup", o)
		}
	}
}

// The markup is well-formed, so that every browser parses it to the same document.
func TestMarkup(t *testing.T) {
	t.Parallel()
	for _, o := range outcomes {
		body := pageOf(o, sessionRef{Namespace: "builds", Name: "ci"}).Body.String()
		body = regexp.MustCompile(`(?s)<style>.*</style>`).ReplaceAllString(body, "")
		body = regexp.MustCompile(`<meta ([^>]*)>`).ReplaceAllString(body, "<meta $1/>") // HTML does not close it
		d := xml.NewDecoder(strings.NewReader(strings.TrimPrefix(body, "<!doctype html>\n")))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Errorf("%s: %v", o, err)
				break
			}
		}
	}
}

// WCAG 2.2, success criteria 1.4.3 and 1.4.11: 4.5:1 for text, 3:1 for the mark.
func TestContrast(t *testing.T) {
	t.Parallel()
	light, dark, _ := strings.Cut(pageCSS, "prefers-color-scheme: dark")
	color := regexp.MustCompile(`--(\w+): (#[0-9a-f]{6});`)
	for scheme, text := range map[string]string{"light": light, "dark": dark} {
		colors := map[string]float64{}
		for _, found := range color.FindAllStringSubmatch(text, -1) {
			colors[found[1]] = luminance(found[2])
		}
		for _, pair := range []struct {
			front, back string
			least       float64
		}{
			{"text", "card", 7}, {"text", "well", 7}, {"soft", "card", 4.5}, {"soft", "page", 4.5},
			{"good", "card", 3}, {"neutral", "card", 3}, {"warning", "card", 3}, {"bad", "card", 3},
			{"on", "good", 4.5}, {"on", "neutral", 4.5}, {"on", "warning", 4.5}, {"on", "bad", 4.5},
		} {
			front, known := colors[pair.front]
			back, alsoKnown := colors[pair.back]
			if ratio := (max(front, back) + .05) / (min(front, back) + .05); !known || !alsoKnown ||
				ratio < pair.least {
				t.Errorf("%s: %s on %s has %.2f:1", scheme, pair.front, pair.back, ratio)
			}
		}
	}
}

// luminance of #rrggbb (WCAG 2.2, relative luminance).
func luminance(hex string) float64 {
	sum := 0.0
	for i, weight := range []float64{.2126, .7152, .0722} {
		raw, err := strconv.ParseUint(hex[1+2*i:3+2*i], 16, 8)
		if err != nil {
			panic(err)
		}
		c := float64(raw) / 255
		if c <= .04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}
