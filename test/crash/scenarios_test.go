// SPDX-License-Identifier: Apache-2.0

package crash_test

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// scenario is something that happens to the session ci. What it needs to remember
// is the case's or its own: a new one is made for every case.
type scenario struct {
	// prepare brings the case to the moment before, with an operator running.
	prepare func()
	// trigger is what happens.
	trigger func()
	// done says how it ends.
	done wait.Check
	// finally, where it is set, is how it ends once a late operator has gone on.
	finally wait.Check
	// gapless: the Secret holds an accepted token all the time (B42).
	gapless bool
	// secret is that of gapless; empty: ci.
	secret string
	// verifies: the verification of the deployment is part of it.
	verifies bool
	// restarts: the operator is another process from the trigger on, which remembers nothing.
	restarts bool
}

// begin prepares the case, and returns the operator that runs at the moment before.
func (w *crashEnv) begin(s scenario) *operator {
	w.T.Helper()
	o := w.startOperator()
	s.prepare()
	if s.restarts {
		o.stop()
		o = w.startOperator()
	}
	return o
}

const shortly = v1alpha1.Duration("1s")

// createBystander makes a deployment and a session that nothing is going to happen to.
func (w *crashEnv) createBystander() {
	w.T.Helper()
	w.Create(w.newDeployment(), w.newMintedSession("other", "ada", "1h"))
	w.Eventually(w.oneToken("other"))
	w.bystander = w.CurrentSecret("other")
}

// createWithToken makes the session ci besides, which has its token.
func (w *crashEnv) createWithToken(overlap v1alpha1.Duration) {
	w.T.Helper()
	w.Create(w.newDeployment(), w.newMintedSession("other", "ada", "1h"), w.newMintedSession("ci", "ci-bot", overlap))
	w.Eventually(w.oneToken("other"), w.oneToken("ci"))
	w.bystander = w.CurrentSecret("other")
}

// makeRotationDue makes ci due for rotation, and lets its operator notice.
func (w *crashEnv) makeRotationDue() {
	w.T.Helper()
	w.clock.Shift(45 * time.Minute)
	editObject(w, w.CurrentSecret("ci"), func(s *corev1.Secret) { s.Annotations["example.com/noticed"] = "now" })
}

func changeScopes(s *v1alpha1.CoderSession) {
	s.Spec.Auth.Mint.Scopes = []v1alpha1.Scope{"workspace:read"}
}

func firstMint(w *crashEnv) scenario {
	return scenario{
		prepare: w.createBystander,
		trigger: func() { w.Create(w.newMintedSession("ci", "ci-bot", shortly)) },
		done:    w.oneToken("ci"),
	}
}

func firstMintWithItsDeployment(w *crashEnv) scenario {
	return scenario{
		prepare:  func() {},
		trigger:  func() { w.Create(w.newDeployment(), w.newMintedSession("ci", "ci-bot", shortly)) },
		done:     w.oneToken("ci"),
		verifies: true,
	}
}

func rotateToken(w *crashEnv) scenario {
	return scenario{
		prepare: func() {
			w.Create(w.newDeployment(), w.newMintedSession("ci", "ci-bot", shortly))
			w.Eventually(w.oneToken("ci"))
		},
		trigger: w.makeRotationDue,
		done:    wait.InOrder(w.hasSerial("ci", 2), w.oneToken("ci")),
		gapless: true,
	}
}

func revocationOfARetiringToken(w *crashEnv) scenario {
	return scenario{
		prepare: func() {
			w.createWithToken("2s")
			editObject(w, w.CurrentSession("ci"), changeScopes)
			w.Eventually(w.hasSerial("ci", 2))
		},
		trigger: func() {},
		done:    wait.InOrder(w.hasSerial("ci", 2), w.oneToken("ci")),
		gapless: true,
	}
}

// deleteSession of a session that has a retiring token besides.
func deleteSession(w *crashEnv) scenario {
	session := &v1alpha1.CoderSession{}
	return scenario{
		prepare: func() {
			w.createWithToken("1h")
			editObject(w, w.CurrentSession("ci"), changeScopes)
			w.Eventually(w.hasSerial("ci", 2), w.readyIs("ci", "True", v1alpha1.ReasonActive))
			*session = *w.CurrentSession("ci")
		},
		trigger: func() { w.Delete(w.CurrentSession("ci")) },
		done:    func(ctx context.Context) error { return w.isGone(session)(ctx) },
	}
}

// deleteAfterRestart is the same by a process that does not know whether a token was lost.
func deleteAfterRestart(w *crashEnv) scenario {
	s := deleteSession(w)
	s.restarts = true
	return s
}

// deletionRightAfterCreation meets the session anywhere in its first mint.
func deletionRightAfterCreation(w *crashEnv) scenario {
	session := &v1alpha1.CoderSession{}
	return scenario{
		prepare: w.createBystander,
		trigger: func() {
			w.Create(w.newMintedSession("ci", "ci-bot", shortly))
			*session = *w.CurrentSession("ci")
			w.Eventually(func(ctx context.Context) error {
				if w.CountMints() < 2 && len(w.LiveTokens(names.SessionPrefix(string(session.UID)))) == 0 &&
					!w.operators[0].hasMetFate() {
					return fmt.Errorf("nothing was minted yet")
				}
				return nil
			})
			w.Delete(session)
		},
		done: func(ctx context.Context) error { return w.isGone(session)(ctx) },
	}
}

func recoveryOfASuppliedToken(w *crashEnv) scenario {
	good := ""
	return scenario{
		prepare: func() {
			w.WriteSecret("mine", map[string]string{"token": w.CreateToken("ada", "first")})
			w.createBystander()
			w.Create(w.NewSuppliedSession("ci", "mine"))
			w.Eventually(w.readyIs("ci", "True", v1alpha1.ReasonActive))
			dead := w.CreateToken("ada", "dead")
			w.Must(w.Coder.RevokeKey(dead[:10]))
			w.WriteSecret("mine", map[string]string{"token": dead})
			w.Eventually(w.readyIs("ci", "False", v1alpha1.ReasonSuspended))
			good = w.CreateToken("ada", "good")
		},
		trigger: func() { w.WriteSecret("mine", map[string]string{"token": good}) },
		done:    w.holdsValue("ci", func() string { return good }),
		gapless: true,
	}
}

// recoveryOfACertificate: the deployment's own token stays good, the caller that
// its certificate names does not.
func recoveryOfACertificate(w *crashEnv) scenario {
	return scenario{
		prepare: func() {
			w.createBystander()
			w.Create(w.NewCertificateSession("ci"))
			w.Eventually(w.readyIs("ci", "True", v1alpha1.ReasonActive))
			w.writeCertificate(w.keys.stranger)
			w.Eventually(w.readyIs("ci", "False", v1alpha1.ReasonSuspended))
		},
		trigger:  func() { w.writeCertificate(w.keys.operator) },
		done:     w.holdsValue("ci", func() string { return "" }),
		verifies: true,
	}
}

// recoveryOfAUser: B47.
func recoveryOfAUser(w *crashEnv) scenario {
	return scenario{
		prepare: func() {
			w.createWithToken(shortly)
			w.Must(w.Coder.Suspend("ci-bot"))
			w.Eventually(w.readyIs("ci", "False", v1alpha1.ReasonSuspended))
		},
		trigger: func() { w.Must(w.Coder.Activate("ci-bot")) },
		done:    w.oneToken("ci"),
	}
}

func specChange(w *crashEnv) scenario {
	return scenario{
		prepare: func() { w.createWithToken(shortly) },
		trigger: func() { editObject(w, w.CurrentSession("ci"), changeScopes) },
		done:    wait.InOrder(w.hasSerial("ci", 2), w.oneToken("ci")),
		gapless: true,
	}
}

// changeToASuppliedToken ends a minted session's token.
func changeToASuppliedToken(w *crashEnv) scenario {
	mine := ""
	return scenario{
		prepare: func() {
			w.createWithToken(shortly)
			mine = w.CreateToken("ada", "mine")
			w.WriteSecret("mine", map[string]string{"token": mine})
		},
		trigger: func() {
			editObject(w, w.CurrentSession("ci"), func(s *v1alpha1.CoderSession) {
				s.Spec.Auth = w.NewSuppliedSession("ci", "mine").Spec.Auth
			})
		},
		done:    w.holdsValue("ci", func() string { return mine }),
		gapless: true,
	}
}

// editedSecret: one copy of the token is left, so none is minted (B24).
func editedSecret(w *crashEnv) scenario {
	return scenario{
		prepare: func() { w.createWithToken(shortly) },
		trigger: func() {
			editObject(w, w.CurrentSecret("ci"), func(s *corev1.Secret) {
				s.Data["session"], s.Data["url"] = []byte("garbage"), []byte("https://evil.example")
			})
		},
		done: w.oneToken("ci"),
	}
}

// emptiedSecret: the token's value is gone, so a new one is minted.
func emptiedSecret(w *crashEnv) scenario {
	return scenario{
		prepare: func() { w.createWithToken(shortly) },
		trigger: func() { editObject(w, w.CurrentSecret("ci"), func(s *corev1.Secret) { s.Data = nil }) },
		done:    wait.InOrder(w.hasSerial("ci", 2), w.oneToken("ci")),
	}
}

func deletedSecret(w *crashEnv) scenario {
	return scenario{
		prepare: func() { w.createWithToken(shortly) },
		trigger: func() { w.Delete(w.CurrentSecret("ci")) },
		done:    wait.InOrder(w.hasSerial("ci", 2), w.oneToken("ci")),
	}
}

// revokedToken: B44.
func revokedToken(w *crashEnv) scenario {
	return scenario{
		prepare: func() { w.createWithToken(shortly) },
		trigger: func() { w.Must(w.Coder.RevokeKey(w.CurrentSession("ci").Status.Token.ID)) },
		done:    wait.InOrder(w.hasSerial("ci", 2), w.oneToken("ci")),
	}
}
