// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	inlineLink    = regexp.MustCompile(`\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)`)
	referenceLink = regexp.MustCompile(`^\s{0,3}\[[^\]]+\]:\s+<?([^\s>]+)>?`)
)

// link is a link in a page.
type link struct {
	line   int
	target string
}

// findLinks returns all links of the page's prose, those in code excepted.
func (m markdown) findLinks() []link {
	var found []link
	for i, line := range m.prose {
		line = inlineCode.ReplaceAllString(line, "")
		for _, match := range inlineLink.FindAllStringSubmatch(line, -1) {
			found = append(found, link{i + 1, match[1]})
		}
		if match := referenceLink.FindStringSubmatch(line); match != nil {
			found = append(found, link{i + 1, match[1]})
		}
	}
	return found
}

// resolveLink returns the path and the fragment of a link in a page. The path is empty for links to
// other places than the repository's files, such as a web page.
func resolveLink(from, target string) (to, fragment string, err error) {
	u, err := url.Parse(target)
	switch {
	case err != nil:
		return "", "", err
	case u.Scheme != "" || u.Host != "":
		return "", "", nil
	case path.IsAbs(u.Path):
		return "", "", fmt.Errorf("write a path that is relative to the page")
	case u.Path == "":
		return from, u.Fragment, nil
	}
	to = path.Join(path.Dir(from), u.Path)
	if to == ".." || strings.HasPrefix(to, "../") {
		return "", "", fmt.Errorf("it leads out of the repository")
	}
	return to, u.Fragment, nil
}

// checkLink says what is wrong with a link in a page; nil: it leads somewhere. Exists reports
// whether the repository has a file or folder.
func checkLink(from, target string, all map[string]markdown, exists func(path string) bool) error {
	to, fragment, err := resolveLink(from, target)
	switch {
	case err != nil:
		return err
	case to == "":
		return nil
	case !exists(to):
		return fmt.Errorf("there is no %s", to)
	case fragment == "":
		return nil
	}
	page, isPage := all[to]
	if !isPage {
		return fmt.Errorf("%s is no page, and has no anchors", to)
	}
	if !page.findAnchors()[fragment] {
		return fmt.Errorf("%s has no heading with the anchor #%s", to, fragment)
	}
	return nil
}

func inRepository(path string) bool {
	_, err := os.Stat(filepath.Join(root, filepath.FromSlash(path)))
	return err == nil
}

func TestEveryLinkLeadsSomewhere(t *testing.T) {
	t.Parallel()
	all := readPages(t)
	for from, page := range all {
		for _, link := range page.findLinks() {
			if err := checkLink(from, link.target, all, inRepository); err != nil {
				t.Errorf("%s:%d: link %s: %v", from, link.line, link.target, err)
			}
		}
	}
}

// A page that nothing leads to is a page that is not read.
func TestEveryPageCanBeReachedFromTheREADME(t *testing.T) {
	t.Parallel()
	all := readPages(t)
	reached := map[string]bool{}
	for next := []string{"README.md"}; len(next) > 0; {
		from := next[0]
		next = next[1:]
		if _, isPage := all[from]; !isPage || reached[from] {
			continue
		}
		reached[from] = true
		for _, link := range all[from].findLinks() {
			if to, _, err := resolveLink(from, link.target); err == nil {
				next = append(next, to)
			}
		}
	}
	for path := range all {
		if strings.HasPrefix(path, "docs/") && !reached[path] {
			t.Errorf("no chain of links leads from README.md to %s", path)
		}
	}
}

func TestLinksAreFound(t *testing.T) {
	t.Parallel()
	m, err := parseMarkdown(
		"See [a](a.md) and [`b`](b.md#x \"title\"), ![c](<c.png>).\n```\n[d](d.md)\n```\n`[e](e.md)`\n[f]: f.md\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []link{{1, "a.md"}, {1, "b.md#x"}, {1, "c.png"}, {6, "f.md"}}
	if got := m.findLinks(); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestBrokenLinksAreFound(t *testing.T) {
	t.Parallel()
	page, err := parseMarkdown("# Here\n")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]markdown{"docs/a.md": page, "README.md": page}
	exists := func(path string) bool { return path == "Makefile" || path == "docs" || all[path].prose != nil }
	for target, good := range map[string]bool{
		"#here":                      true,
		"#there":                     false,
		"../README.md":               true,
		"../README.md#here":          true,
		"../README.md#there":         false,
		"../Makefile":                true,
		"../Makefile#here":           false,
		"../docs":                    true,
		"b.md":                       false,
		"../../README.md":            false,
		"/README.md":                 false,
		"https://example.com/#there": true,
		"mailto:a@example.com":       true,
	} {
		if err := checkLink("docs/a.md", target, all, exists); (err == nil) != good {
			t.Errorf("%s: %v", target, err)
		}
	}
}
