// SPDX-License-Identifier: Apache-2.0

package coderd_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// question is one exchange with a real server, reduced to its shape (testdata/answers): MID is from
// 2.35, R30 from 2.30. Strings of an answer are replaced by "string", numbers by "number".
type question struct {
	Name    string          `json:"name"`
	Method  string          `json:"method"`
	Path    string          `json:"path"`
	Headers []string        `json:"headers"`
	Body    string          `json:"body"`
	Status  int             `json:"status"`
	Answer  json.RawMessage `json:"answer"`
	// Texts are fragments that clients may match on.
	Texts     []string `json:"texts"`
	Challenge string   `json:"challenge"`
}

func readQuestions(t *testing.T, profile coderd.Profile) []question {
	t.Helper()
	file, err := os.Open(filepath.Join("testdata", "answers", string(profile)+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	var all []question
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var q question
		if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
			t.Fatal(err)
		}
		all = append(all, q)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// differences says what the answer has that the real one has not. An answer that succeeded may lack
// fields of the real one, but has none of its own; an error has the same fields.
func (q question) differences(res response) []string {
	var found []string
	if res.StatusCode != q.Status {
		found = append(found, fmt.Sprintf("status %d instead of %d", res.StatusCode, q.Status))
	}
	var want any
	if err := json.Unmarshal(q.Answer, &want); err != nil {
		return append(found, err.Error())
	}
	found = append(found, compareShapes("", want, shapeOf(res), q.Status < 400)...)
	for _, text := range q.Texts {
		if !strings.Contains(strings.ToLower(res.text), strings.ToLower(text)) {
			found = append(found, fmt.Sprintf("the text %q is missing", text))
		}
	}
	challenge, _, _ := strings.Cut(res.Header.Get("WWW-Authenticate"), " ")
	if challenge != q.Challenge {
		found = append(found, fmt.Sprintf("challenge %q instead of %q", challenge, q.Challenge))
	}
	return found
}

// shapeOf reduces an answer as the recorded ones are.
func shapeOf(res response) any {
	var body any
	switch {
	case res.text == "":
		return "empty"
	case strings.Contains(res.Header.Get("Content-Type"), "html"):
		return "html"
	case json.Unmarshal([]byte(res.text), &body) != nil:
		return "text"
	}
	return reduce(body)
}

func reduce(value any) any {
	switch v := value.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, field := range v {
			out[key] = reduce(field)
		}
		return out
	case []any:
		if len(v) == 0 {
			return []any{}
		}
		return []any{reduce(v[0])}
	case nil:
		return nil
	case bool:
		return "bool"
	case float64:
		return "number"
	default:
		return "string"
	}
}

func compareShapes(at string, want, got any, mayLack bool) []string {
	switch w := want.(type) {
	case map[string]any:
		g, isObject := got.(map[string]any)
		if !isObject {
			return []string{fmt.Sprintf("%s is %v instead of an object", at, got)}
		}
		var found []string
		for _, key := range slices.Sorted(maps.Keys(g)) {
			field, known := w[key]
			if !known {
				found = append(found, at+"."+key+" is not in the real answer")
				continue
			}
			found = append(found, compareShapes(at+"."+key, field, g[key], mayLack)...)
		}
		for _, key := range slices.Sorted(maps.Keys(w)) {
			if _, has := g[key]; !has && !mayLack {
				found = append(found, at+"."+key+" is missing")
			}
		}
		return found
	case []any:
		g, isList := got.([]any)
		if !isList {
			return []string{fmt.Sprintf("%s is %v instead of a list", at, got)}
		}
		if len(w) > 0 && len(g) > 0 {
			return compareShapes(at+"[]", w[0], g[0], mayLack)
		}
		state := strings.HasSuffix(at, ".failing_agents") || strings.HasSuffix(at, ".resources")
		if state && mayLack {
			return nil
		}
		if len(w) == 0 && len(g) > 0 && !mayLack || len(w) > 0 && len(g) == 0 {
			return []string{fmt.Sprintf("%s has %d items instead of %d", at, len(g), len(w))}
		}
		return nil
	}
	if want == "object" || equalShapes(want, got) {
		return nil
	}
	return []string{fmt.Sprintf("%s is %v instead of %v", at, got, want)}
}

// equalShapes compares leaves. A field that was null may have a value, and the other way round.
func equalShapes(want, got any) bool {
	a, errA := json.Marshal(want)
	b, errB := json.Marshal(got)
	return errA == nil && errB == nil && (bytes.Equal(a, b) || want == nil)
}

// TestConformance asks the simulated server what real ones were asked (B129). No real server of the
// profile NEW could be asked: there the answers are those of MID, but for newDifferences.
func TestConformance(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		profile, answers coderd.Profile
		differences      map[string]string
	}{
		{coderd.ProfileR30, coderd.ProfileR30, nil},
		{coderd.ProfileMid, coderd.ProfileMid, nil},
		{coderd.ProfileNew, coderd.ProfileMid, newDifferences},
	} {
		t.Run(string(tc.profile), func(t *testing.T) {
			t.Parallel()
			interview := newInterview(t, tc.profile)
			for _, q := range readQuestions(t, tc.answers) {
				found := q.differences(interview.ask(q))
				if tc.differences[q.Name] != "" {
					if len(found) == 0 {
						t.Errorf("%s is listed as different, and is not", q.Name)
					}
					continue
				}
				for _, difference := range found {
					t.Errorf("%s (%s %s): %s", q.Name, q.Method, q.Path, difference)
				}
			}
		})
	}
}
