// SPDX-License-Identifier: Apache-2.0

package conformance_test

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/coder-session-operator/coder-session-operator/test/conformance"
)

const contractPage = "../../docs/contributing/coder-api.md"

// statement is a list item, a row of a table or a paragraph of the contract.
type statement struct{ section, text string }

var (
	heading  = regexp.MustCompile(`^#{2,3} ([0-9A-J](?:\.\d+)?)\.? `)
	listItem = regexp.MustCompile(`^(?:- |(\d+\. ))`)
	// D.2 is about notifications, which no client here reads.
	askedSections = regexp.MustCompile(`^([ABC]\.\d+|D|D\.1)$`)
	separator     = regexp.MustCompile(`^\|[-| ]+\|$`)
)

// readStatements takes the sections A to D apart, and the tables of section 0.
func readStatements(t *testing.T) []statement {
	t.Helper()
	page, err := os.ReadFile(contractPage)
	if err != nil {
		t.Fatal(err)
	}
	var all []statement
	section, open, code := "", false, false
	for line := range strings.Lines(string(page)) {
		line = strings.TrimRight(line, "\n")
		fence := strings.HasPrefix(line, "```")
		code = code != fence
		switch {
		case fence || code:
			open = false
		case strings.HasPrefix(line, "#"):
			section, open = "", false
			if found := heading.FindStringSubmatch(line); found != nil {
				section = found[1]
			}
		case separator.MatchString(line):
			all = all[:len(all)-1] // the row before was the header
		case strings.HasPrefix(line, "|"):
			all, open = append(all, statement{section, line}), false
		case line == "" || line == "---":
			open = false
		case listItem.MatchString(line):
			all, open = append(all, statement{section, strings.TrimPrefix(line, "- ")}), true
		case open:
			all[len(all)-1].text += " " + strings.TrimSpace(line)
		default:
			all, open = append(all, statement{section, line}), true
		}
	}
	var wanted []statement
	for _, s := range all {
		if askedSections.MatchString(s.section) || s.section == "0" && strings.HasPrefix(s.text, "|") {
			wanted = append(wanted, statement{s.section, strings.Join(strings.Fields(s.text), " ")})
		}
	}
	return wanted
}

// TestEveryStatementHasItsQuestions holds the table of statements to the contract's page, and the
// questions to the table.
func TestEveryStatementHasItsQuestions(t *testing.T) { // B129
	t.Parallel()
	table, err := conformance.Statements()
	if err != nil {
		t.Fatal(err)
	}
	questions, err := conformance.Questions()
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	for _, entry := range table {
		if (len(entry.Questions) == 0) == (entry.Reason == "") {
			t.Errorf("%s, %q has questions and a reason, or neither", entry.Section, entry.Begins)
		}
		for _, pattern := range entry.Questions {
			found := false
			for _, q := range questions {
				if fits, _ := path.Match(pattern, q.Name); fits {
					found, shown[q.Name] = true, true
				}
			}
			if !found {
				t.Errorf("%s, %q: no question %s", entry.Section, entry.Begins, pattern)
			}
		}
	}
	for _, q := range questions {
		if !shown[q.Name] {
			t.Errorf("question %s shows no statement", q.Name)
		}
	}
	page := readStatements(t)
	if len(page) < 200 {
		t.Errorf("only %d statements were found", len(page))
	}
	for _, s := range page {
		if n := countMatches(table, s); n != 1 {
			t.Errorf("%d entries for the statement of %s: %.80s", n, s.section, s.text)
		}
	}
	if len(table) != len(page) {
		t.Errorf("%d entries for %d statements", len(table), len(page))
	}
}

func countMatches(table []conformance.Statement, s statement) int {
	n := 0
	for _, entry := range table {
		if entry.Section == s.section && strings.HasPrefix(s.text, entry.Begins) {
			n++
		}
	}
	return n
}

var citation = regexp.MustCompile(`\b([A-D]\.\d+)\b`)

// TestEverySectionThatCodeReliesOnIsAsked goes by the sections that the code cites.
func TestEverySectionThatCodeReliesOnIsAsked(t *testing.T) { // B129
	t.Parallel()
	table, err := conformance.Statements()
	if err != nil {
		t.Fatal(err)
	}
	asked := map[string]bool{}
	for _, entry := range table {
		asked[entry.Section] = asked[entry.Section] || len(entry.Questions) > 0
	}
	cited := 0
	for _, folder := range []string{"internal/coder", "internal/oauth", "internal/stream", "test/coderd"} {
		files, err := filepath.Glob("../../" + folder + "/*.go")
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, error %v", folder, len(files), err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, section := range citation.FindAllString(string(text), -1) {
				if cited++; !asked[section] {
					t.Errorf("%s cites %s, of which nothing is asked", file, section)
				}
			}
		}
	}
	if cited < 100 {
		t.Errorf("only %d citations were found", cited)
	}
}

// TestDataFitsTogether: every question has an answer, a group and a section, every answer a question,
// and what was recorded but is not asked has its reason.
func TestDataFitsTogether(t *testing.T) { // B129
	t.Parallel()
	questions, err := conformance.Questions()
	if err != nil {
		t.Fatal(err)
	}
	groups, err := conformance.Groups()
	if err != nil {
		t.Fatal(err)
	}
	grouped, named, answered := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, group := range groups {
		grouped[group.Name] = group.Title != "" && strings.HasSuffix(group.Meaning, ".")
	}
	for _, q := range questions {
		if named[q.Name] || !grouped[q.Group] || q.Section == "" {
			t.Errorf("question %s is there twice, or has no group or section", q.Name)
		}
		named[q.Name] = true
	}
	for _, profile := range conformance.Profiles {
		answers, err := conformance.Answers(profile)
		if err != nil {
			t.Fatal(err)
		}
		for name, answer := range answers {
			answered[name] = true
			if !named[name] || answer.Status == 0 {
				t.Errorf("%s: answer %s has no question, or no status", profile, name)
			}
		}
	}
	for name := range named {
		if !answered[name] {
			t.Errorf("question %s has no answer in any profile", name)
		}
	}
	excused, err := conformance.ReadExceptions("not-asked.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	for _, exception := range excused {
		if named[exception.Name] || exception.Reason == "" {
			t.Errorf("%s is asked, or has no reason not to be", exception.Name)
		}
	}
	if len(excused) == 0 || len(excused) > 30 {
		t.Errorf("%d recorded answers are not asked for", len(excused))
	}
}
