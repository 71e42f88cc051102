// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

var (
	title      = regexp.MustCompile(`^#{1,6} +(.*?)[ #]*$`)
	anchor     = regexp.MustCompile(`<a (?:id|name)="([^"]+)"`)
	inlineCode = regexp.MustCompile("`+[^`]*`+")
	linkText   = regexp.MustCompile(`!?\[([^\]]*)\]\([^)]*\)`)
)

// block is a fenced block of code in a page.
type block struct {
	language string
	line     int // of its first line of code, from 1
	text     string
}

// markdown is a page, taken apart.
type markdown struct {
	// prose is the page with its blocks of code emptied. Line numbers stay as they are.
	prose  []string
	blocks []block
}

// parseMarkdown tells prose from blocks of code. A block that is not closed is an error.
func parseMarkdown(text string) (markdown, error) {
	var m markdown
	var open *block
	fence := ""
	for i, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(line)
		switch {
		case open != nil && trimmed == fence:
			m.blocks, open = append(m.blocks, *open), nil
			m.prose = append(m.prose, "")
		case open != nil:
			open.text += line + "\n"
			m.prose = append(m.prose, "")
		case strings.HasPrefix(trimmed, "```"):
			language := strings.TrimLeft(trimmed, "`")
			fence = strings.TrimSuffix(trimmed, language)
			open = &block{language: strings.TrimSpace(language), line: i + 2}
			m.prose = append(m.prose, "")
		default:
			m.prose = append(m.prose, line)
		}
	}
	if open != nil {
		return m, fmt.Errorf("the block of code that begins in line %d is not closed", open.line)
	}
	return m, nil
}

// findAnchors returns the fragments that a link to the page can have, as GitHub makes them from
// headings.
func (m markdown) findAnchors() map[string]bool {
	found := map[string]bool{}
	for _, line := range m.prose {
		for _, match := range anchor.FindAllStringSubmatch(line, -1) {
			found[match[1]] = true
		}
		match := title.FindStringSubmatch(line)
		if match == nil {
			continue
		}
		name := headingSlug(match[1])
		unique := name
		for n := 1; found[unique]; n++ {
			unique = fmt.Sprintf("%s-%d", name, n)
		}
		found[unique] = true
	}
	return found
}

// headingSlug returns the fragment of a heading: lower case, hyphens for spaces, no punctuation.
func headingSlug(heading string) string {
	heading = linkText.ReplaceAllString(heading, "$1")
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ', r == '-':
			return '-'
		case r == '_', unicode.IsLetter(r), unicode.IsNumber(r):
			return unicode.ToLower(r)
		}
		return -1
	}, heading)
}

// readPages returns all pages of the repository by their paths, taken apart.
func readPages(t *testing.T) map[string]markdown {
	t.Helper()
	found := map[string]markdown{}
	for _, file := range readFiles(t, ".md") {
		parsed, err := parseMarkdown(file.text)
		if err != nil {
			t.Errorf("%s: %v", file.path, err)
		}
		found[file.path] = parsed
	}
	return found
}

func TestMarkdownIsTakenApart(t *testing.T) {
	t.Parallel()
	m, err := parseMarkdown("# A page\n```sh\n# no heading\n```\ntext\n- item\n\n  ```yaml\n  a: b\n  ```\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []block{{"sh", 3, "# no heading\n"}, {"yaml", 9, "  a: b\n"}}
	if !slices.Equal(m.blocks, want) {
		t.Errorf("blocks %+v, want %+v", m.blocks, want)
	}
	if got := strings.Join(m.prose, "|"); got != "# A page||||text|- item|||||" {
		t.Errorf("prose %q", got)
	}
	if _, err := parseMarkdown("```sh\nls\n"); err == nil {
		t.Error("an open block is not noticed")
	}
}

func TestAnchorsAreThoseOfGitHub(t *testing.T) {
	t.Parallel()
	m, err := parseMarkdown(strings.Join([]string{
		"# Kinds, and what's in them", "## `spec.auth` & more", "## Twice", "## Twice", "### [A link](x.md) here",
		"## 1. Build_it #", `<a id="own"></a>text`, "#no heading", "```", "# nor this", "```",
	}, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"1-build_it", "a-link-here", "kinds-and-whats-in-them", "own", "specauth--more", "twice", "twice-1"}
	if got := slices.Sorted(maps.Keys(m.findAnchors())); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
