// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Result is what came of one question. Without a reason to skip and without differences the server
// answered as expected.
type Result struct {
	Question Question
	// Contract is the section that says what is expected, if that was not recorded.
	Contract    string
	Skipped     string
	Differences []string
	// Like is another profile whose servers answer so.
	Like Profile
}

// Report is what came of a run.
type Report struct {
	Version string
	Profile Profile
	// Prefix begins the names of everything that the run made.
	Prefix  string
	Notes   []string
	Results []Result
	// Leftovers could not be removed.
	Leftovers []string
}

func (r *Report) add(result Result) { r.Results = append(r.Results, result) }

// Count says how many questions were answered as expected, otherwise, and not asked.
func (r *Report) Count() (same, different, skipped int) {
	for _, result := range r.Results {
		switch {
		case result.Skipped != "":
			skipped++
		case len(result.Differences) > 0:
			different++
		default:
			same++
		}
	}
	return same, different, skipped
}

// Passed reports whether nothing differs and nothing was left behind.
func (r *Report) Passed() bool {
	_, different, _ := r.Count()
	return different == 0 && len(r.Leftovers) == 0
}

// Write prints what differs and what that means, what was not asked and why, and a summary.
func (r *Report) Write(out io.Writer) error {
	groups, err := Groups()
	if err != nil {
		return err
	}
	var text strings.Builder
	fmt.Fprintf(&text, "Coder %s, compared with profile %s. Everything made here is named %s-*.\n",
		r.Version, r.Profile, r.Prefix)
	for _, note := range r.Notes {
		fmt.Fprintln(&text, note)
	}
	for _, group := range groups {
		r.writeGroup(&text, group)
	}
	r.writeSkipped(&text)
	for _, leftover := range r.Leftovers {
		fmt.Fprintf(&text, "\nCould not be removed: %s\n", leftover)
	}
	same, different, skipped := r.Count()
	fmt.Fprintf(&text, "\n%d questions answered as expected, %d differently, %d not asked.\n", same, different, skipped)
	_, err = io.WriteString(out, text.String())
	return err
}

func (r *Report) writeGroup(text *strings.Builder, group Group) {
	first := true
	for _, result := range r.Results {
		if result.Question.Group != group.Name || len(result.Differences) == 0 {
			continue
		}
		if first {
			fmt.Fprintf(text, "\n%s: %s\n", group.Title, group.Meaning)
			first = false
		}
		q := result.Question
		fmt.Fprintf(text, "  %s (%s %s; contract %s)\n", q.Name, q.Method, pathOf(q.Path), q.Section)
		for _, difference := range result.Differences {
			fmt.Fprintf(text, "    %s\n", difference)
		}
		if result.Contract != "" {
			fmt.Fprintln(text, "    expected by the contract; no server was recorded")
		}
		if result.Like != "" {
			fmt.Fprintf(text, "    as servers of the profile %s answer\n", result.Like)
		}
	}
}

// writeSkipped counts the questions that were not asked by reason.
func (r *Report) writeSkipped(text *strings.Builder) {
	reasons := map[string]int{}
	for _, result := range r.Results {
		if result.Skipped != "" {
			reasons[result.Skipped]++
		}
	}
	for i, reason := range slices.Sorted(maps.Keys(reasons)) {
		if i == 0 {
			fmt.Fprintln(text, "\nNot asked:")
		}
		fmt.Fprintf(text, "  %3d  %s\n", reasons[reason], reason)
	}
}
