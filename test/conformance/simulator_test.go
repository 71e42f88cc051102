// SPDX-License-Identifier: Apache-2.0

package conformance_test

import (
	"context"
	"strings"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/coder-session-operator/coder-session-operator/test/coderd"
	"github.com/coder-session-operator/coder-session-operator/test/conformance"
)

// server is a simulated server with an owner.
type server struct {
	*coderd.Server
	clock *clocktesting.FakePassiveClock
	url   string
	token string
}

func startServer(t *testing.T, o coderd.Options, provider bool) *server {
	t.Helper()
	s := &server{clock: clocktesting.NewFakePassiveClock(time.Date(2026, 2, 20, 10, 0, 0, 0, time.UTC))}
	o.Clock = s.clock
	s.Server = coderd.New(o)
	listener, err := s.Start(coderd.ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	s.url = listener.URL()
	s.Reconfigure(func(o *coderd.Options) { o.AccessURL = s.url })
	s.SetOAuth2Provider(provider)
	s.token = s.newCaller(t, "root", coderd.RoleOwner)
	return s
}

// newCaller makes a user with a token that outlives all moves of the clock.
func (s *server) newCaller(t *testing.T, name string, roles ...string) string {
	t.Helper()
	u, err := s.CreateUser(coderd.UserOptions{Username: name, Roles: roles})
	if err != nil {
		t.Fatal(err)
	}
	token, _, err := s.CreateToken(coderd.TokenOptions{User: u.ID, Lifetime: 10000 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (s *server) move(_ context.Context, d time.Duration) error {
	s.clock.SetTime(s.clock.Now().Add(d))
	return nil
}

func (s *server) options() conformance.Options {
	return conformance.Options{
		URL: s.url, Token: s.token, Template: "sim", Flood: true, Strict: true, MoveClock: s.move, Wait: s.move,
	}
}

func runSuite(t *testing.T, o conformance.Options) *conformance.Report {
	t.Helper()
	report, err := conformance.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, leftover := range report.Leftovers {
		t.Errorf("could not be removed: %s", leftover)
	}
	return report
}

// configurations are servers that together can be asked everything: the first one nearly all, the
// others the questions whose names begin so, among them those that need just this configuration.
var configurations = map[string]struct {
	options  coderd.Options
	provider bool
	only     []string
}{
	"registration open":   {coderd.Options{DynamicRegistration: true}, true, []string{""}},
	"registration closed": {coderd.Options{}, true, []string{"c2-", "c4-", "c5-"}},
	"provider off":        {coderd.Options{}, false, []string{"a1-", "b1-", "c", "g-oauth-off-"}},
	"short lives":         {coderd.Options{MaxTokenLifetime: 48 * time.Hour}, true, []string{"b3-mint-", "g-", "l-"}},
}

// TestSimulatedServers holds the simulated server to what real ones answered, in every profile (B129).
// Differences are listed with their reasons in testdata/simulator.jsonl.
func TestSimulatedServers(t *testing.T) {
	t.Parallel()
	listed, err := conformance.ReadExceptions("simulator.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	for _, profile := range conformance.Profiles {
		t.Run(string(profile), func(t *testing.T) {
			t.Parallel()
			excused := map[string]bool{}
			for _, exception := range listed {
				if exception.Profile == profile || exception.Profile == "" {
					excused[exception.Name] = true
				}
			}
			asked, different := map[string]bool{}, map[string]bool{}
			for name, configuration := range configurations {
				o := configuration.options
				o.Profile = coderd.Profile(profile)
				s := startServer(t, o, configuration.provider)
				for _, result := range s.askGroups(t, profile, configuration.only) {
					asked[result.Question.Name] = asked[result.Question.Name] || result.Skipped == ""
					if len(result.Differences) == 0 {
						continue
					}
					different[result.Question.Name] = true
					if !excused[result.Question.Name] {
						t.Errorf("%s, %s: %s", name, result.Question.Name, strings.Join(result.Differences, "; "))
					}
				}
			}
			checkAsked(t, asked)
			for name := range excused {
				if !different[name] {
					t.Errorf("%s is listed as different, and is not", name)
				}
			}
		})
	}
}

// askGroups asks the questions whose names begin so.
func (s *server) askGroups(t *testing.T, profile conformance.Profile, only []string) []conformance.Result {
	t.Helper()
	var all []conformance.Result
	for _, prefix := range only {
		o := s.options()
		o.Only = prefix
		report := runSuite(t, o)
		if report.Profile != profile {
			t.Errorf("taken for %s", report.Profile)
		}
		all = append(all, report.Results...)
	}
	return all
}

// checkAsked makes sure that every question was asked of one of the servers, and that there are
// enough.
func checkAsked(t *testing.T, asked map[string]bool) {
	t.Helper()
	count := 0
	for name, was := range asked {
		if !was {
			t.Errorf("%s was asked of no server", name)
			continue
		}
		count++
	}
	if count < 400 {
		t.Errorf("only %d questions were asked", count)
	}
}
