// SPDX-License-Identifier: Apache-2.0

package simulation

import (
	"math/rand/v2"
	"slices"
)

// simFeatures says what else happens in a simulation. Each feature has its own random source, so
// that most seeds have some of them, and the schedules of a seed without them stay the same.
type simFeatures struct {
	// oauth: sessions with auth.oauth, and people who consent.
	oauth bool
	// refusals: the API server refuses some requests for a while.
	refusals bool
	// clocks: clocks are set, and the operator's machine sleeps.
	clocks bool
	// rollouts: a session restarts workloads.
	rollouts bool
	// workspaces: sessions are bound to workspaces.
	workspaces bool
	// pods: pods that each have a token of their own.
	pods bool
}

func featuresOf(seed uint64) simFeatures {
	one := func(feature uint64) bool { return rand.New(rand.NewPCG(seed, feature)).IntN(5) < 2 }
	return simFeatures{
		oauth: one(0xa0), refusals: one(0xa1), clocks: one(0xa2), rollouts: one(0xa3), workspaces: one(0xb9),
		pods: one(0xc1),
	}
}

// sessions lists the sessions that are expected to exist.
func (f simFeatures) sessions() []string {
	all := slices.Clone(simSessions)
	if f.oauth {
		all = append(all, "coder/login", "coder/dash")
	}
	if f.rollouts {
		all = append(all, "coder/roll")
	}
	if f.workspaces {
		all = append(all, "coder/dev", "coder/ide", "coder/box")
	}
	if f.pods {
		all = append(all, simParent)
	}
	return all
}

// events are the additional random events.
func (f simFeatures) events() (all []func(*simWorld)) {
	if f.oauth {
		all = append(all, consents...)
	}
	if f.refusals {
		all = append(all, refusals...)
	}
	if f.clocks {
		all = append(all, clockChanges...)
	}
	if f.rollouts {
		all = append(all, rolloutChanges...)
	}
	if f.workspaces {
		all = append(all, workspaceChanges...)
	}
	if f.pods {
		all = append(all, podChanges...)
	}
	return all
}

// happens counts an event for the summary, see [tally.complete].
func (w *simWorld) happens(what string) { w.count.happened[what]++ }

// simEvents are the events of the features that must happen at least once in many seeds.
var simEvents = slices.Concat(consentEvents, refusalEvents, clockEvents, rolloutEvents, workspaceEvents, podEvents)

// trials are the additional trials.
func (f simFeatures) trials() (names []string) {
	if f.refusals {
		names = append(names, "no Secret can be written", "no Secret can be written")
	}
	if f.clocks {
		names = append(names, "a machine that sleeps", "a clock that is off")
	}
	if f.workspaces {
		names = append(names, "a workspace that stops", "a workspace that stops")
	}
	if f.pods {
		names = append(names, "a pod that comes and goes", "a pod that comes and goes", "a pod that comes and goes")
	}
	return names
}
