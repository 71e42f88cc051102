// SPDX-License-Identifier: Apache-2.0

package session

import (
	"testing"
	"time"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// TestScenarios carries out plans, one after the other, until no action is left: whatever happens,
// the session ends in the right state.
func TestScenarios(t *testing.T) {
	t.Parallel()
	deny := func(w *world, why string) { w.o.Deployment.Denied = why }
	for name, tc := range map[string]struct {
		options []option
		run     func(w *world)
	}{
		"B54 a steady state asks, writes and mints nothing": {[]option{withMint("bot")}, func(w *world) {
			w.settle()
			w.list()
			w.pass()
			was, minted := w.statusWrites, w.minted
			for range 10 {
				w.now = w.now.Add(time.Minute)
				if p := w.pass(); p.Action != Nothing {
					w.t.Fatalf("does %s", p.Action)
				}
			}
			if w.statusWrites != was || w.minted != minted {
				w.t.Errorf("%d status writes and %d mints in a steady state", w.statusWrites-was, w.minted-minted)
			}
		}},
		"B42 B43 rotation: the old token goes after the overlap": {[]option{withMint("bot")}, func(w *world) {
			w.settle()
			w.publishes("id-1")
			w.advance(16*time.Hour + time.Second)
			w.publishes("id-2")
			w.live("id-1", "id-2")
			w.advance(4 * time.Minute)
			w.live("id-1", "id-2")
			w.advance(2 * time.Minute)
			w.live("id-2")
			w.says("True Active")
		}},
		"rotation goes on for a week, with few passes": {[]option{withMint("bot")}, func(w *world) {
			w.settle()
			passes := w.advance(168 * time.Hour)
			if w.minted != 11 || passes > 168*12+100 {
				w.t.Errorf("%d tokens and %d passes in a week", w.minted, passes)
			}
		}},
		"B44 revoked on the server": {[]option{withMint("bot")}, func(w *world) {
			w.settle()
			w.mayBreak = true
			delete(w.tokens, "id-1")
			w.advance(interval + time.Second)
			w.live("id-2")
			w.publishes("id-2")
			w.says("True Active")
		}},
		"B24 edited: restored without a new token": {[]option{withMint("bot")}, func(w *world) {
			w.settle()
			w.secret.edited = true
			w.settle()
			w.publishes("id-1")
			if w.secret.edited {
				w.t.Error("the Secret is not restored")
			}
		}},
		"B24 emptied: minted again": {[]option{withMint("bot")}, func(w *world) {
			w.settle()
			w.secret.valueOK = false
			w.settle()
			w.publishes("id-2")
			w.advance(6 * time.Minute)
			w.live("id-2")
		}},
		"B24 deleted: minted again": {[]option{withMint("bot")}, func(w *world) {
			w.settle()
			w.secret = nil
			w.settle()
			w.publishes("id-2")
			w.advance(6 * time.Minute)
			w.live("id-2")
		}},
		"B32 access withdrawn, and given again": {[]option{withMint("bot")}, func(w *world) {
			w.settle()
			deny(w, "no access rule")
			w.settle()
			w.says("False AccessDenied")
			w.live()
			w.publishes("")
			deny(w, "")
			w.settle()
			w.says("True Active")
			w.live("id-2")
		}},
		"B32 access withdrawn from a paused session, after a restart": {[]option{withMint("bot")}, func(w *world) {
			w.settle()
			w.o.Session.Spec.Paused = true
			w.listed, w.listLoaded, w.o.Session.Status = map[string]Listed{}, false, v1alpha1.CoderSessionStatus{}
			deny(w, "no access rule")
			w.settle()
			w.live()
		}},
		"B32 access withdrawn while the server is down": {[]option{withMint("bot")}, func(w *world) {
			w.settle()
			w.down = true
			w.list()
			deny(w, "no access rule")
			w.settle()
			w.publishes("")
			w.live("id-1")
			w.advance(20 * time.Minute)
			w.down = false
			w.advance(6 * time.Minute)
			w.live()
		}},
		"B23 a foreign Secret appears and goes": {[]option{withMint("bot")}, func(w *world) {
			w.settle()
			w.secret, w.foreign = nil, true
			w.settle()
			w.says("False SecretConflict")
			w.live()
			w.foreign = false
			w.settle()
			w.says("True Active")
			w.live("id-2")
		}},
		"B47 the user is suspended for two days, and returns": {[]option{withMint("bot")}, func(w *world) {
			w.settle()
			w.mayBreak = true
			w.suspended["id-bot"] = true
			w.advance(6 * time.Minute)
			w.says("False Suspended")
			w.advance(48 * time.Hour)
			w.says("False Suspended")
			if w.minted != 1 {
				w.t.Errorf("%d tokens were minted for a suspended user", w.minted)
			}
			w.suspended["id-bot"] = false
			w.advance(6 * time.Minute)
			w.says("True Active")
			w.publishes("id-2")
		}},
		"mint, then token, then certificate, then mint": {[]option{withMint("bot")}, func(w *world) {
			w.settle()
			w.accepts[value] = true
			withToken()(&w.o)
			w.settle()
			w.publishes("supplied")
			w.live("id-1")
			w.advance(6 * time.Minute)
			w.live()
			w.o.Session.Spec.Auth = v1alpha1.Auth{Certificate: &v1alpha1.CertificateAuth{}}
			w.o.Deployment.ByConnection = true
			w.settle()
			w.publishes("")
			w.says("True Active")
			withMint("bot")(&w.o)
			w.settle()
			w.publishes("id-2")
			w.says("True Active")
		}},
		"B43 mint, certificate and mint within the overlap": {[]option{withMint("bot")}, func(w *world) {
			w.settle()
			w.o.Session.Spec.Auth = v1alpha1.Auth{Certificate: &v1alpha1.CertificateAuth{}}
			w.o.Deployment.ByConnection = true
			w.settle()
			withMint("bot")(&w.o)
			w.settle()
			w.live("id-1", "id-2")
			w.advance(6 * time.Minute)
			w.live("id-2")
		}},
		"B49 the maximum is below renewBefore": {[]option{withMint("bot"), withRotation("8h", "5m")}, func(w *world) {
			w.maximum = 8*time.Hour + time.Second
			w.settle()
			w.advance(24 * time.Hour)
			if w.minted > 6 {
				w.t.Errorf("%d tokens in a day", w.minted)
			}
		}},
		"a token that ends at once does not mint without end": {[]option{withMint("bot")}, func(w *world) {
			w.mayBreak = true
			w.o.Skew = 48 * time.Hour // the clock of the server is not what it seems
			w.pass()
			w.advance(10 * time.Minute)
			if w.minted > 20 {
				w.t.Errorf("%d tokens in ten minutes", w.minted)
			}
		}},
		"B46 unreachable until the token ends, and back": {[]option{withMint("bot")}, func(w *world) {
			w.settle()
			w.mayBreak, w.down = true, true
			w.advance(20 * time.Hour)
			w.says("True Active")
			w.advance(5 * time.Hour)
			w.says("False AwaitingDeployment")
			w.down = false
			w.advance(6 * time.Minute)
			w.says("True Active")
			w.publishes("id-2")
		}},
		"B09 a refused token recovers with the next write": {[]option{withToken()}, func(w *world) {
			w.settle()
			w.says("False Suspended")
			w.accepts["next"] = true
			w.o.SuppliedToken.Fingerprint = "next"
			w.settle()
			w.says("True Active")
		}},
		"B09 a refused token recovers with the settings": {[]option{withToken()}, func(w *world) {
			w.settle()
			w.accepts[value] = true
			w.o.Deployment.Fingerprint = "hmac-sha256:other"
			w.settle()
			w.says("True Active")
		}},
		"B09 a refused token recovers by the probe": {[]option{withToken()}, func(w *world) {
			w.settle()
			w.accepts[value] = true
			w.advance(interval + time.Second)
			w.says("True Active")
		}},
		"B15 paused and resumed": {[]option{withMint("bot")}, func(w *world) {
			w.settle()
			w.mayBreak = true
			w.o.Session.Spec.Paused = true
			w.advance(30 * time.Hour)
			w.pass()
			w.says("False Paused")
			w.live("id-1")
			w.o.Session.Spec.Paused = false
			w.settle()
			w.says("True Active")
			w.publishes("id-2")
		}},
		"deleted": {[]option{withMint("bot")}, func(w *world) {
			w.settle()
			w.advance(17 * time.Hour)
			w.delete()
			w.settle()
			w.live()
			if !w.gone || len(w.abandoned) > 0 {
				w.t.Errorf("gone = %t, left %v", w.gone, w.abandoned)
			}
		}},
		"deleted while the server is down, for longer than the timeout": {[]option{withMint("bot")}, func(w *world) {
			w.settle()
			w.down = true
			w.delete()
			w.pass()
			w.says("False AwaitingDeployment")
			w.advance(9 * time.Minute)
			if w.gone {
				w.t.Fatal("gave up before the timeout")
			}
			w.advance(2 * time.Minute)
			if !w.gone || len(w.abandoned) != 1 || w.abandoned[0] != "id-1" {
				w.t.Errorf("gone = %t, left %v", w.gone, w.abandoned)
			}
		}},
		"deleted while the server is down for a moment": {[]option{withMint("bot")}, func(w *world) {
			w.settle()
			w.down = true
			w.delete()
			w.pass()
			w.advance(3 * time.Minute)
			w.down = false
			w.advance(6 * time.Minute)
			w.live()
			if !w.gone {
				w.t.Error("the session does not go")
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.run(newWorld(t, tc.options...))
		})
	}
}

// TestCrashes ends the operator's process at each point where the server and the cluster disagree,
// in the first mint, in a rotation and in a deletion (B40, B41).
func TestCrashes(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"mint", "publish", "revoke"} {
		t.Run("first mint, after "+point, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, withMint("bot"))
			w.crashAfter = point
			w.pass()
			w.settle()
			w.list()
			w.settle()
			if len(w.tokens) != 1 || w.tokens[w.secret.token.ID] == nil {
				t.Errorf("live tokens: %d, published %s", len(w.tokens), w.secret.token.ID)
			}
			w.says("True Active")
		})
		t.Run("rotation, after "+point, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, withMint("bot"))
			w.settle()
			w.crashAfter = point
			w.advance(16*time.Hour + time.Minute)
			w.list()
			w.settle()
			w.advance(11 * time.Minute)
			if len(w.tokens) != 1 || w.tokens[w.secret.token.ID] == nil {
				t.Errorf("live tokens: %d, published %s", len(w.tokens), w.secret.token.ID)
			}
			w.says("True Active")
		})
		t.Run("deleted right after "+point+", never listed again", func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, withMint("bot"))
			w.crashAfter = point
			w.pass()
			w.crashAfter = ""
			w.delete()
			w.settle()
			w.live()
			if !w.gone {
				t.Error("the session does not go")
			}
		})
	}
}
