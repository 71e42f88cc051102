// SPDX-License-Identifier: Apache-2.0

package crash_test

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// scenario is something that happens to the session ci. What it needs to remember
// is the world's or its own: a new one is made for every case.
type scenario struct {
	// prepare brings the world to the moment before, with an operator running.
	prepare func()
	// trigger is what happens.
	trigger func()
	// done says how it ends.
	done check
	// finally, where it is set, is how it ends once a late operator has gone on.
	finally check
	// gapless: the Secret holds an accepted token all the time (B42).
	gapless bool
	// verifies: the verification of the deployment is part of it.
	verifies bool
}

const shortly = v1alpha1.Duration("1s")

// bystanding makes a deployment and a session that nothing is going to happen to.
func (w *world) bystanding() {
	w.t.Helper()
	w.create(w.deployment(), w.minted("other", "ada", "1h"))
	w.eventually(w.oneToken("other"))
	w.bystander = w.nowSecret("other")
}

// standing makes the session ci besides, which has its token.
func (w *world) standing(overlap v1alpha1.Duration) {
	w.t.Helper()
	w.create(w.deployment(), w.minted("other", "ada", "1h"), w.minted("ci", "ci-bot", overlap))
	w.eventually(w.oneToken("other"), w.oneToken("ci"))
	w.bystander = w.nowSecret("other")
}

// rotate makes ci due for rotation, and lets its operator notice.
func (w *world) rotate() {
	w.t.Helper()
	w.clock.Shift(45 * time.Minute)
	change(w, w.nowSecret("ci"), func(s *corev1.Secret) { s.Annotations["example.com/noticed"] = "now" })
}

func changeScopes(s *v1alpha1.CoderSession) {
	s.Spec.Auth.Mint.Scopes = []v1alpha1.Scope{"workspace:read"}
}

func firstMint(w *world) scenario {
	return scenario{
		prepare: w.bystanding,
		trigger: func() { w.create(w.minted("ci", "ci-bot", shortly)) },
		done:    w.oneToken("ci"),
	}
}

func firstMintWithItsDeployment(w *world) scenario {
	return scenario{
		prepare:  func() {},
		trigger:  func() { w.create(w.deployment(), w.minted("ci", "ci-bot", shortly)) },
		done:     w.oneToken("ci"),
		verifies: true,
	}
}

func rotation(w *world) scenario {
	return scenario{
		prepare: func() {
			w.create(w.deployment(), w.minted("ci", "ci-bot", shortly))
			w.eventually(w.oneToken("ci"))
		},
		trigger: w.rotate,
		done:    all(w.serial("ci", 2), w.oneToken("ci")),
		gapless: true,
	}
}

func revocationOfARetiringToken(w *world) scenario {
	return scenario{
		prepare: func() {
			w.standing("2s")
			change(w, w.nowSession("ci"), changeScopes)
			w.eventually(w.serial("ci", 2))
		},
		trigger: func() {},
		done:    all(w.serial("ci", 2), w.oneToken("ci")),
		gapless: true,
	}
}

// deletion of a session that has a retiring token besides.
func deletion(w *world) scenario {
	session := &v1alpha1.CoderSession{}
	return scenario{
		prepare: func() {
			w.standing("1h")
			change(w, w.nowSession("ci"), changeScopes)
			w.eventually(w.serial("ci", 2), w.readyIs("ci", "True", v1alpha1.ReasonActive))
			*session = *w.nowSession("ci")
		},
		trigger: func() { w.delete(w.nowSession("ci")) },
		done:    func(ctx context.Context) error { return w.gone(session)(ctx) },
	}
}

// deletionRightAfterCreation meets the session anywhere in its first mint.
func deletionRightAfterCreation(w *world) scenario {
	session := &v1alpha1.CoderSession{}
	return scenario{
		prepare: w.bystanding,
		trigger: func() {
			w.create(w.minted("ci", "ci-bot", shortly))
			*session = *w.nowSession("ci")
			w.eventually(func(ctx context.Context) error {
				if w.mints() < 2 && len(w.live(names.SessionPrefix(string(session.UID)))) == 0 && !w.operators[0].met() {
					return fmt.Errorf("nothing was minted yet")
				}
				return nil
			})
			w.delete(session)
		},
		done: func(ctx context.Context) error { return w.gone(session)(ctx) },
	}
}

func recoveryOfASuppliedToken(w *world) scenario {
	good := ""
	return scenario{
		prepare: func() {
			w.writeSecret("mine", map[string]string{"token": w.userToken("ada", "first")})
			w.bystanding()
			w.create(w.supplied("ci", "mine"))
			w.eventually(w.readyIs("ci", "True", v1alpha1.ReasonActive))
			dead := w.userToken("ada", "dead")
			w.must(w.coder.RevokeKey(dead[:10]))
			w.writeSecret("mine", map[string]string{"token": dead})
			w.eventually(w.readyIs("ci", "False", v1alpha1.ReasonSuspended))
			good = w.userToken("ada", "good")
		},
		trigger: func() { w.writeSecret("mine", map[string]string{"token": good}) },
		done:    w.holds("ci", func() string { return good }),
		gapless: true,
	}
}

// recoveryOfACertificate: the deployment's own token stays good, the caller that
// its certificate names does not.
func recoveryOfACertificate(w *world) scenario {
	return scenario{
		prepare: func() {
			w.bystanding()
			w.create(w.certificate("ci"))
			w.eventually(w.readyIs("ci", "True", v1alpha1.ReasonActive))
			w.writeCertificate(w.keys.stranger)
			w.eventually(w.readyIs("ci", "False", v1alpha1.ReasonSuspended))
		},
		trigger:  func() { w.writeCertificate(w.keys.operator) },
		done:     w.holds("ci", func() string { return "" }),
		verifies: true,
	}
}

// recoveryOfAUser: B47.
func recoveryOfAUser(w *world) scenario {
	return scenario{
		prepare: func() {
			w.standing(shortly)
			w.must(w.coder.Suspend("ci-bot"))
			w.eventually(w.readyIs("ci", "False", v1alpha1.ReasonSuspended))
		},
		trigger: func() { w.must(w.coder.Activate("ci-bot")) },
		done:    w.oneToken("ci"),
	}
}

func specChange(w *world) scenario {
	return scenario{
		prepare: func() { w.standing(shortly) },
		trigger: func() { change(w, w.nowSession("ci"), changeScopes) },
		done:    all(w.serial("ci", 2), w.oneToken("ci")),
		gapless: true,
	}
}

// changeToASuppliedToken ends a minted session's token.
func changeToASuppliedToken(w *world) scenario {
	mine := ""
	return scenario{
		prepare: func() {
			w.standing(shortly)
			mine = w.userToken("ada", "mine")
			w.writeSecret("mine", map[string]string{"token": mine})
		},
		trigger: func() {
			change(w, w.nowSession("ci"), func(s *v1alpha1.CoderSession) {
				s.Spec.Auth = w.supplied("ci", "mine").Spec.Auth
			})
		},
		done:    w.holds("ci", func() string { return mine }),
		gapless: true,
	}
}

// editedSecret: one copy of the token is left, so none is minted (B24).
func editedSecret(w *world) scenario {
	return scenario{
		prepare: func() { w.standing(shortly) },
		trigger: func() {
			change(w, w.nowSecret("ci"), func(s *corev1.Secret) {
				s.Data["session"], s.Data["url"] = []byte("garbage"), []byte("https://evil.example")
			})
		},
		done: w.oneToken("ci"),
	}
}

// emptiedSecret: the token's value is gone, so a new one is minted.
func emptiedSecret(w *world) scenario {
	return scenario{
		prepare: func() { w.standing(shortly) },
		trigger: func() { change(w, w.nowSecret("ci"), func(s *corev1.Secret) { s.Data = nil }) },
		done:    all(w.serial("ci", 2), w.oneToken("ci")),
	}
}

func deletedSecret(w *world) scenario {
	return scenario{
		prepare: func() { w.standing(shortly) },
		trigger: func() { w.delete(w.nowSecret("ci")) },
		done:    all(w.serial("ci", 2), w.oneToken("ci")),
	}
}

// revokedToken: B44.
func revokedToken(w *world) scenario {
	return scenario{
		prepare: func() { w.standing(shortly) },
		trigger: func() { w.must(w.coder.RevokeKey(w.nowSession("ci").Status.Token.ID)) },
		done:    all(w.serial("ci", 2), w.oneToken("ci")),
	}
}

func (w *world) mints() int { return w.coder.Count("POST", "/api/v2/users/{user}/keys/tokens") }
