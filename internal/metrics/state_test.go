// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

// A token is due from its renewal on, and overdue in the second half of the time that is left then. One that
// the operator does not renew is neither.
func TestTheStateOfTokens(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_900_000_000, 0)
	at := func(renewal, end time.Duration) Token {
		return Token{Namespace: "coder", Deployment: "a", End: now.Add(end), Renewal: now.Add(renewal)}
	}
	unrenewed := Token{Namespace: "coder", Deployment: "a", End: now.Add(time.Minute)}
	for name, tt := range map[string]struct {
		tokens                []Token
		due, overdue          float64
		renewedEnd, otherwise time.Duration // until the earliest end; 0: there is none
	}{
		"fresh":       {tokens: []Token{at(time.Second, time.Hour)}, renewedEnd: time.Hour},
		"due":         {tokens: []Token{at(0, time.Hour), at(time.Hour, 2*time.Hour)}, due: 1, renewedEnd: time.Hour},
		"nearly":      {tokens: []Token{at(-59*time.Minute, time.Hour)}, due: 1, renewedEnd: time.Hour},
		"overdue":     {tokens: []Token{at(-time.Hour, time.Hour)}, due: 1, overdue: 1, renewedEnd: time.Hour},
		"not renewed": {tokens: []Token{unrenewed, at(1, time.Hour)}, renewedEnd: time.Hour, otherwise: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			registry := prometheus.NewPedanticRegistry()
			New(registry).SetSources(Sources{
				Now: func() time.Time { return now }, Tokens: func() []Token { return tt.tokens },
			})
			of := "{deployment=a,namespace=coder"
			want := map[string]float64{
				"admission_policies_installed{}": 0, "rotations_due" + of + "}": tt.due, "rotations_overdue" + of + "}": tt.overdue,
			}
			for renewed, left := range map[string]time.Duration{"true": tt.renewedEnd, "false": tt.otherwise} {
				if left > 0 {
					want["published_token_expiration_timestamp_seconds"+of+",renewed="+renewed+"}"] = float64(now.Add(left).Unix())
				}
			}
			if diff := cmp.Diff(want, gatherSeries(t, registry)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Only changes that were not accepted yet are measured, from the last burst on.
func TestTheDelayOfAVerification(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	m := New(registry)
	start := time.Unix(1_900_000_000, 0)
	m.SettingsAccepted("coder", "a", start) // nothing has changed
	m.SettlingBurst("coder", "a", start)
	m.SettlingBurst("coder", "a", start.Add(time.Hour))
	m.SettingsAccepted("coder", "a", start.Add(time.Hour+3*time.Second))
	m.SettingsAccepted("coder", "a", start.Add(2*time.Hour)) // it was accepted already
	m.SettlingBurst("coder", "b", start)
	m.Forget("coder", "b")
	m.SettingsAccepted("coder", "b", start)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != "coder_session_operator_settings_verification_delay_seconds" {
			continue
		}
		if h := family.GetMetric()[0].GetHistogram(); len(family.GetMetric()) != 1 || h.GetSampleCount() != 1 ||
			h.GetSampleSum() != 3 {
			t.Errorf("got %v, want one of 3 seconds", family.GetMetric())
		}
		return
	}
	t.Error("no delay was recorded")
}
