// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bufio"
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"maps"
	"sync"
)

//go:embed testdata
var data embed.FS

// Profile is a generation of servers (contract 0).
type Profile string

const (
	// ProfileR30 is v2.30.
	ProfileR30 Profile = "R30"
	// ProfileMid is v2.31 to v2.37.
	ProfileMid Profile = "MID"
	// ProfileNew is v2.38 and later.
	ProfileNew Profile = "NEW"
)

// Profiles are all profiles, the oldest first.
var Profiles = []Profile{ProfileR30, ProfileMid, ProfileNew}

// Need is what a server or a caller must have so that a question can be asked.
type Need string

// needs says of each Need why a question is not asked without it.
var needs = map[Need]string{
	"provider":         "the OAuth2 provider is off",
	"provider-off":     "the OAuth2 provider is on",
	"registration":     "dynamic client registration is off",
	"registration-off": "dynamic client registration is on",
	"password":         "the server lets no user log in with a password",
	"template":         "needs a workspace: name a template with --template",
	"flood":            "fills a rate limit: allow it with --flood",
	"clock":            "needs days to pass: asked of the simulated server only",
	"limits":           "the deployment has limits of its own for the life of tokens",
	"unlicensed":       "the server has enterprise parts",
	"max-48h":          "needs a server with CODER_MAX_TOKEN_LIFETIME=48h",
}

// Question is one request. Path, As, Headers, Body and Before may hold placeholders (placeholder.go).
type Question struct {
	Name string `json:"name"`
	// Section is that of the contract (docs/contributing/coder-api.md) which the answer shows.
	Section string `json:"section"`
	// Group is the name of a Group.
	Group  string `json:"group"`
	Method string `json:"method"`
	Path   string `json:"path"`
	// As is sent as Coder-Session-Token; "" sends none.
	As      string            `json:"as,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	Body    string            `json:"body,omitempty"`
	// Before are requests of an owner that prepare the question: method, path and body.
	Before []string `json:"before,omitempty"`
	Needs  []Need   `json:"needs,omitempty"`
	// Watch reads a stream, "socket" or "events", instead of one answer.
	Watch string `json:"watch,omitempty"`
}

// Answer is what a server of a profile answered, reduced to its shape (compare.go).
type Answer struct {
	Name    string            `json:"name"`
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers,omitempty"`
	Body    json.RawMessage   `json:"body"`
	// Contract is the section that the answer comes from, if it was not recorded. Without it and
	// without a status it is not known what NEW answers; the body says why.
	Contract string `json:"contract,omitempty"`
}

// Group is a set of questions with one meaning for the operator.
type Group struct {
	Name string `json:"name"`
	// Title says what the questions are about.
	Title string `json:"title"`
	// Meaning says what differences mean for the operator.
	Meaning string `json:"meaning"`
}

// Exception is a question, or a recorded answer, that is treated otherwise, and the reason.
type Exception struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
	// Profile limits the exception to one profile; "" is all.
	Profile Profile `json:"profile,omitempty"`
}

// readLines decodes a file of testdata with one value a line.
func readLines[T any](name string) ([]T, error) {
	content, err := data.ReadFile("testdata/" + name)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	var all []T
	lines := bufio.NewScanner(bytes.NewReader(content))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var value T
		decoder := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&value); err != nil {
			return nil, fmt.Errorf("reading %s, line %d: %w", name, len(all)+1, err)
		}
		all = append(all, value)
	}
	return all, lines.Err()
}

// ReadExceptions reads a file of exceptions.
func ReadExceptions(name string) ([]Exception, error) { return readLines[Exception](name) }

// Questions are all questions, in the order in which they are asked. The slice is shared.
func Questions() ([]Question, error) { return questions() }

var questions = sync.OnceValues(func() ([]Question, error) { return readLines[Question]("questions.jsonl") })

// Groups are the groups of questions, in the order of the contract.
func Groups() ([]Group, error) { return readLines[Group]("groups.jsonl") }

// Answers are the answers of a profile by the name of the question. No server of the profile NEW was
// recorded: its answers are those of MID, but for what the contract says of it.
// The map is shared.
func Answers(profile Profile) (map[string]Answer, error) { return answers[profile]() }

var answers = map[Profile]func() (map[string]Answer, error){
	ProfileR30: sync.OnceValues(func() (map[string]Answer, error) { return readAnswers(ProfileR30) }),
	ProfileMid: sync.OnceValues(func() (map[string]Answer, error) { return readAnswers(ProfileMid) }),
	ProfileNew: sync.OnceValues(func() (map[string]Answer, error) {
		all, err := readAnswers(ProfileMid)
		if err != nil {
			return nil, err
		}
		young, err := readAnswers(ProfileNew)
		maps.Copy(all, young)
		maps.DeleteFunc(all, func(_ string, answer Answer) bool { return answer.Status == 0 })
		return all, err
	}),
}

func readAnswers(profile Profile) (map[string]Answer, error) {
	list, err := readLines[Answer]("answers/" + string(profile) + ".jsonl")
	all := make(map[string]Answer, len(list))
	for _, answer := range list {
		all[answer.Name] = answer
	}
	return all, err
}

// Statement is a statement of the contract, with the questions that show it or the reason why none
// does.
type Statement struct {
	Section string `json:"section"`
	// Begins is how the statement begins on the contract's page.
	Begins string `json:"begins"`
	// Questions are names; "*" stands for any part of one.
	Questions []string `json:"questions,omitempty"`
	Reason    string   `json:"reason,omitempty"`
}

// Statements are those of the sections that the operator relies on, in the contract's order.
func Statements() ([]Statement, error) { return readLines[Statement]("statements.jsonl") }
