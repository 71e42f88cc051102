// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	behavioursPage = "docs/contributing/behaviours.md"
	contractPage   = "docs/contributing/coder-api.md"
)

var (
	statement = regexp.MustCompile(`(?m)^- \*\*(B\d{2,3})\*\*( \*\(planned\)\*)? `)
	behaviour = regexp.MustCompile(`\bB\d{2,3}\b`)

	heading = regexp.MustCompile(`^###? ([0A-Z](?:\.\d+)?)\.? `)
	item    = regexp.MustCompile(`^(\d+)\. `)
	// section is a citation: "contract B.3", "contract D", or a section alone, such as "(C.4)".
	section = regexp.MustCompile(`\bcontract ([0A-Z](?:\.\d+)?)\b|\b([A-J]\.\d+)\b`)
)

// parseStatements returns the numbers of the statements in a page of behaviours, each with whether
// it is only planned, and the numbers that occur twice or out of order.
func parseStatements(page string) (planned map[string]bool, misplaced []string) {
	planned = map[string]bool{}
	last := ""
	for _, match := range statement.FindAllStringSubmatch(page, -1) {
		number := match[1]
		if len(number) < len(last) || len(number) == len(last) && number <= last {
			misplaced = append(misplaced, number)
		}
		planned[number], last = match[2] != "", number
	}
	return planned, misplaced
}

// parseSections returns the sections of the contract. The entries of the list in section G are
// sections too, such as G.13.
func parseSections(page string) map[string]bool {
	found := map[string]bool{}
	current := ""
	for line := range strings.Lines(page) {
		if match := heading.FindStringSubmatch(line); match != nil {
			current = match[1]
			found[current] = true
		} else if match := item.FindStringSubmatch(line); match != nil && current == "G" {
			found["G."+match[1]] = true
		}
	}
	return found
}

// citedSections returns the sections that a line cites.
func citedSections(line string) []string {
	var cited []string
	for _, match := range section.FindAllStringSubmatch(line, -1) {
		cited = append(cited, match[1]+match[2])
	}
	return cited
}

func TestEveryCitedBehaviourExists(t *testing.T) {
	t.Parallel()
	planned, _ := parseStatements(readPage(t, behavioursPage))
	for _, file := range readFiles(t, ".go") {
		if strings.HasPrefix(file.path, "test/docs/") {
			continue // cites what does not exist, on purpose
		}
		file.eachLine(func(number int, line string) {
			for _, cited := range behaviour.FindAllString(line, -1) {
				if _, exists := planned[cited]; !exists {
					t.Errorf("%s:%d cites %s, which is not in %s", file.path, number, cited, behavioursPage)
				}
			}
		})
	}
}

func TestEveryBehaviourIsNamedByATest(t *testing.T) {
	t.Parallel()
	planned, misplaced := parseStatements(readPage(t, behavioursPage))
	if len(misplaced) > 0 {
		t.Errorf("%s: out of order, or there twice: %s", behavioursPage, strings.Join(misplaced, ", "))
	}
	named := map[string]string{} // number to a file that names it
	for _, file := range readFiles(t, ".go") {
		// The statements' own tests hold none of them.
		if !file.isTest() || strings.HasPrefix(file.path, "test/docs/") {
			continue
		}
		for _, cited := range behaviour.FindAllString(file.text, -1) {
			named[cited] = file.path
		}
	}
	for _, number := range slices.Sorted(maps.Keys(planned)) {
		switch test := named[number]; {
		case test == "" && !planned[number]:
			t.Errorf("no test names %[1]s: write // %[1]s beside the test that holds it, "+
				"or mark it *(planned)* in %[2]s", number, behavioursPage)
		case test != "" && planned[number]:
			t.Errorf("%s names %s, which is marked as planned: remove the mark in %s",
				test, number, behavioursPage)
		}
	}
}

func TestEveryCitedSectionOfTheContractExists(t *testing.T) {
	t.Parallel()
	known := parseSections(readPage(t, contractPage))
	for _, file := range readFiles(t, ".go") {
		if strings.HasPrefix(file.path, "test/docs/") {
			continue // cites what does not exist, on purpose
		}
		file.eachLine(func(number int, line string) {
			for _, cited := range citedSections(line) {
				if !known[cited] {
					t.Errorf("%s:%d cites section %s, which is not in %s", file.path, number, cited, contractPage)
				}
			}
		})
	}
}

func TestSectionsThatTheContractCitesExist(t *testing.T) {
	t.Parallel()
	text := readPage(t, contractPage)
	known := parseSections(text)
	file{contractPage, text}.eachLine(func(number int, line string) {
		for _, cited := range citedSections(line) {
			if !known[cited] {
				t.Errorf("%s:%d refers to section %s, which is not there", contractPage, number, cited)
			}
		}
	})
}

func TestStatementsAreRecognised(t *testing.T) {
	t.Parallel()
	planned, misplaced := parseStatements(strings.Join([]string{
		"- **B01** Done.",
		"- **B03** *(planned)* Not yet.",
		"- **B02** Late.",
		"- **B100** Done; B55 is no statement.",
		"- **B100** Twice.",
	}, "\n"))
	want := map[string]bool{"B01": false, "B02": false, "B03": true, "B100": false}
	if !maps.Equal(planned, want) {
		t.Errorf("statements = %v, want %v", planned, want)
	}
	if want := []string{"B02", "B100"}; !slices.Equal(misplaced, want) {
		t.Errorf("misplaced = %v, want %v", misplaced, want)
	}
}

func TestSectionsAndCitationsAreRecognised(t *testing.T) {
	t.Parallel()
	got := slices.Sorted(maps.Keys(parseSections("## 0. Versions\n## A. Conventions\n### A.3 Credentials\n" +
		"1. no section\n## G. Traps\n1. **One**\n12. Two\n")))
	if want := []string{"0", "A", "A.3", "G", "G.1", "G.12"}; !slices.Equal(got, want) {
		t.Errorf("sections = %v, want %v", got, want)
	}
	for line, want := range map[string][]string{
		"// contract 0":                  {"0"},
		"// (contract D)":                {"D"},
		"// contract Z.9":                {"Z.9"},
		"// contract B.2 and B.5, see B": {"B.2", "B.5"},
		"// is C.4: open":                {"C.4"},
		"// the contract of a method":    nil,
		"version v2.3.1 of Z.1":          nil,
	} {
		if got := citedSections(line); !slices.Equal(got, want) {
			t.Errorf("citations of %q = %v, want %v", line, got, want)
		}
	}
}
