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
	deny := func(w *sessionModel, why string) { w.o.Deployment.Denied = why }
	for name, tc := range map[string]struct {
		options []option
		run     func(w *sessionModel)
	}{
		"B54 a steady state asks, writes and mints nothing": {[]option{withMint("bot")}, func(w *sessionModel) {
			w.passUntilQuiet()
			w.listTokens()
			w.runPass()
			was, minted := w.statusWrites, w.minted
			for range 10 {
				w.now = w.now.Add(time.Minute)
				if p := w.runPass(); p.Action != Nothing {
					w.t.Fatalf("does %s", p.Action)
				}
			}
			if w.statusWrites != was || w.minted != minted {
				w.t.Errorf("%d status writes and %d mints in a steady state", w.statusWrites-was, w.minted-minted)
			}
		}},
		"B42 B43 rotation: the old token goes after the overlap": {[]option{withMint("bot")}, func(w *sessionModel) {
			w.passUntilQuiet()
			w.requirePublished("id-1")
			w.advanceTime(16*time.Hour + time.Second)
			w.requirePublished("id-2")
			w.requireAcceptedTokens("id-1", "id-2")
			w.advanceTime(4 * time.Minute)
			w.requireAcceptedTokens("id-1", "id-2")
			w.advanceTime(2 * time.Minute)
			w.requireAcceptedTokens("id-2")
			w.requireReady("True Active")
		}},
		"rotation goes on for a week, with few passes": {[]option{withMint("bot")}, func(w *sessionModel) {
			w.passUntilQuiet()
			passes := w.advanceTime(168 * time.Hour)
			if w.minted != 11 || passes > 168*12+100 {
				w.t.Errorf("%d tokens and %d passes in a week", w.minted, passes)
			}
		}},
		"B44 revoked on the server": {[]option{withMint("bot")}, func(w *sessionModel) {
			w.passUntilQuiet()
			w.mayBreak = true
			delete(w.tokens, "id-1")
			w.advanceTime(interval + time.Second)
			w.requireAcceptedTokens("id-2")
			w.requirePublished("id-2")
			w.requireReady("True Active")
		}},
		"B24 edited: restored without a new token": {[]option{withMint("bot")}, func(w *sessionModel) {
			w.passUntilQuiet()
			w.secret.edited = true
			w.passUntilQuiet()
			w.requirePublished("id-1")
			if w.secret.edited {
				w.t.Error("the Secret is not restored")
			}
		}},
		"B24 emptied: minted again": {[]option{withMint("bot")}, func(w *sessionModel) {
			w.passUntilQuiet()
			w.secret.valueOK = false
			w.passUntilQuiet()
			w.requirePublished("id-2")
			w.advanceTime(6 * time.Minute)
			w.requireAcceptedTokens("id-2")
		}},
		"B24 deleted: minted again": {[]option{withMint("bot")}, func(w *sessionModel) {
			w.passUntilQuiet()
			w.secret = nil
			w.passUntilQuiet()
			w.requirePublished("id-2")
			w.advanceTime(6 * time.Minute)
			w.requireAcceptedTokens("id-2")
		}},
		"B32 access withdrawn, and given again": {[]option{withMint("bot")}, func(w *sessionModel) {
			w.passUntilQuiet()
			deny(w, "no access rule")
			w.passUntilQuiet()
			w.requireReady("False AccessDenied")
			w.requireAcceptedTokens()
			w.requirePublished("")
			deny(w, "")
			w.passUntilQuiet()
			w.requireReady("True Active")
			w.requireAcceptedTokens("id-2")
		}},
		"B32 access withdrawn from a paused session, after a restart": {[]option{withMint("bot")}, func(w *sessionModel) {
			w.passUntilQuiet()
			w.o.Session.Spec.Paused = true
			w.listed, w.listLoaded, w.o.Session.Status = map[string]Listed{}, false, v1alpha1.CoderSessionStatus{}
			deny(w, "no access rule")
			w.passUntilQuiet()
			w.requireAcceptedTokens()
		}},
		"B32 access withdrawn while the server is down": {[]option{withMint("bot")}, func(w *sessionModel) {
			w.passUntilQuiet()
			w.down = true
			w.listTokens()
			deny(w, "no access rule")
			w.passUntilQuiet()
			w.requirePublished("")
			w.requireAcceptedTokens("id-1")
			w.advanceTime(20 * time.Minute)
			w.down = false
			w.advanceTime(6 * time.Minute)
			w.requireAcceptedTokens()
		}},
		"B23 a foreign Secret appears and goes": {[]option{withMint("bot")}, func(w *sessionModel) {
			w.passUntilQuiet()
			w.secret, w.foreign = nil, true
			w.passUntilQuiet()
			w.requireReady("False SecretConflict")
			w.requireAcceptedTokens()
			w.foreign = false
			w.passUntilQuiet()
			w.requireReady("True Active")
			w.requireAcceptedTokens("id-2")
		}},
		"B47 the user is suspended for two days, and returns": {[]option{withMint("bot")}, func(w *sessionModel) {
			w.passUntilQuiet()
			w.mayBreak = true
			w.suspended["id-bot"] = true
			w.advanceTime(6 * time.Minute)
			w.requireReady("False Suspended")
			w.advanceTime(48 * time.Hour)
			w.requireReady("False Suspended")
			if w.minted != 1 {
				w.t.Errorf("%d tokens were minted for a suspended user", w.minted)
			}
			w.suspended["id-bot"] = false
			w.advanceTime(6 * time.Minute)
			w.requireReady("True Active")
			w.requirePublished("id-2")
		}},
		"mint, then token, then certificate, then mint": {[]option{withMint("bot")}, func(w *sessionModel) {
			w.passUntilQuiet()
			w.accepts[value] = true
			withToken()(&w.o)
			w.passUntilQuiet()
			w.requirePublished("supplied")
			w.requireAcceptedTokens("id-1")
			w.advanceTime(6 * time.Minute)
			w.requireAcceptedTokens()
			w.o.Session.Spec.Auth = v1alpha1.Auth{Certificate: &v1alpha1.CertificateAuth{}}
			w.o.Deployment.ByConnection = true
			w.passUntilQuiet()
			w.requirePublished("")
			w.requireReady("True Active")
			withMint("bot")(&w.o)
			w.passUntilQuiet()
			w.requirePublished("id-2")
			w.requireReady("True Active")
		}},
		"B43 mint, certificate and mint within the overlap": {[]option{withMint("bot")}, func(w *sessionModel) {
			w.passUntilQuiet()
			w.o.Session.Spec.Auth = v1alpha1.Auth{Certificate: &v1alpha1.CertificateAuth{}}
			w.o.Deployment.ByConnection = true
			w.passUntilQuiet()
			withMint("bot")(&w.o)
			w.passUntilQuiet()
			w.requireAcceptedTokens("id-1", "id-2")
			w.advanceTime(6 * time.Minute)
			w.requireAcceptedTokens("id-2")
		}},
		"B49 the maximum is below renewBefore": {[]option{withMint("bot"), withRotation("8h", "5m")}, func(w *sessionModel) {
			w.maximum = 8*time.Hour + time.Second
			w.passUntilQuiet()
			w.advanceTime(24 * time.Hour)
			if w.minted > 6 {
				w.t.Errorf("%d tokens in a day", w.minted)
			}
		}},
		"a token that ends at once does not mint without end": {[]option{withMint("bot")}, func(w *sessionModel) {
			w.mayBreak = true
			w.o.Skew = 48 * time.Hour // the clock of the server is not what it seems
			w.runPass()
			w.advanceTime(10 * time.Minute)
			if w.minted > 20 {
				w.t.Errorf("%d tokens in ten minutes", w.minted)
			}
		}},
		"B46 unreachable until the token ends, and back": {[]option{withMint("bot")}, func(w *sessionModel) {
			w.passUntilQuiet()
			w.mayBreak, w.down = true, true
			w.advanceTime(20 * time.Hour)
			w.requireReady("True Active")
			w.advanceTime(5 * time.Hour)
			w.requireReady("False AwaitingDeployment")
			w.down = false
			w.advanceTime(6 * time.Minute)
			w.requireReady("True Active")
			w.requirePublished("id-2")
		}},
		"B09 a refused token recovers with the next write": {[]option{withToken()}, func(w *sessionModel) {
			w.passUntilQuiet()
			w.requireReady("False Suspended")
			w.accepts["next"] = true
			w.o.SuppliedToken.Fingerprint = "next"
			w.passUntilQuiet()
			w.requireReady("True Active")
		}},
		"B09 a refused token recovers with the settings": {[]option{withToken()}, func(w *sessionModel) {
			w.passUntilQuiet()
			w.accepts[value] = true
			w.o.Deployment.Fingerprint = "hmac-sha256:other"
			w.passUntilQuiet()
			w.requireReady("True Active")
		}},
		"B09 a refused token recovers by the probe": {[]option{withToken()}, func(w *sessionModel) {
			w.passUntilQuiet()
			w.accepts[value] = true
			w.advanceTime(interval + time.Second)
			w.requireReady("True Active")
		}},
		"B15 paused and resumed": {[]option{withMint("bot")}, func(w *sessionModel) {
			w.passUntilQuiet()
			w.mayBreak = true
			w.o.Session.Spec.Paused = true
			w.advanceTime(30 * time.Hour)
			w.runPass()
			w.requireReady("False Paused")
			w.requireAcceptedTokens("id-1")
			w.o.Session.Spec.Paused = false
			w.passUntilQuiet()
			w.requireReady("True Active")
			w.requirePublished("id-2")
		}},
		"deleted": {[]option{withMint("bot")}, func(w *sessionModel) {
			w.passUntilQuiet()
			w.advanceTime(17 * time.Hour)
			w.deleteSession()
			w.passUntilQuiet()
			w.requireAcceptedTokens()
			if !w.gone || len(w.abandoned) > 0 {
				w.t.Errorf("gone = %t, left %v", w.gone, w.abandoned)
			}
		}},
		"deleted while the server is down, for longer than the timeout": {[]option{withMint("bot")}, func(w *sessionModel) {
			w.passUntilQuiet()
			w.down = true
			w.deleteSession()
			w.runPass()
			w.requireReady("False AwaitingDeployment")
			w.advanceTime(9 * time.Minute)
			if w.gone {
				w.t.Fatal("gave up before the timeout")
			}
			w.advanceTime(2 * time.Minute)
			if !w.gone || len(w.abandoned) != 1 || w.abandoned[0] != "id-1" {
				w.t.Errorf("gone = %t, left %v", w.gone, w.abandoned)
			}
		}},
		"deleted while the server is down for a moment": {[]option{withMint("bot")}, func(w *sessionModel) {
			w.passUntilQuiet()
			w.down = true
			w.deleteSession()
			w.runPass()
			w.advanceTime(3 * time.Minute)
			w.down = false
			w.advanceTime(6 * time.Minute)
			w.requireAcceptedTokens()
			if !w.gone {
				w.t.Error("the session does not go")
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.run(newSessionModel(t, tc.options...))
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
			w := newSessionModel(t, withMint("bot"))
			w.crashAfter = point
			w.runPass()
			w.passUntilQuiet()
			w.listTokens()
			w.passUntilQuiet()
			if len(w.tokens) != 1 || w.tokens[w.secret.token.ID] == nil {
				t.Errorf("live tokens: %d, published %s", len(w.tokens), w.secret.token.ID)
			}
			w.requireReady("True Active")
		})
		t.Run("rotation, after "+point, func(t *testing.T) {
			t.Parallel()
			w := newSessionModel(t, withMint("bot"))
			w.passUntilQuiet()
			w.crashAfter = point
			w.advanceTime(16*time.Hour + time.Minute)
			w.listTokens()
			w.passUntilQuiet()
			w.advanceTime(11 * time.Minute)
			if len(w.tokens) != 1 || w.tokens[w.secret.token.ID] == nil {
				t.Errorf("live tokens: %d, published %s", len(w.tokens), w.secret.token.ID)
			}
			w.requireReady("True Active")
		})
		t.Run("deleted right after "+point+", never listed again", func(t *testing.T) {
			t.Parallel()
			w := newSessionModel(t, withMint("bot"))
			w.crashAfter = point
			w.runPass()
			w.crashAfter = ""
			w.deleteSession()
			w.passUntilQuiet()
			w.requireAcceptedTokens()
			if !w.gone {
				t.Error("the session does not go")
			}
		})
	}
}
