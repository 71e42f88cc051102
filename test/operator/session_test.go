// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"context"
	"errors"
	"testing"
)

func TestASessionGetsItsToken(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	w.Create(w.newDeployment("prod"), w.NewMintedSession("ci", "ci-bot"))
	w.Eventually(w.IsVerified("prod"), w.IsReady("ci"), w.hasLiveTokens(1))

	secret := w.CurrentSecret("ci")
	for key, want := range map[string]string{
		"url": w.listener.URL(), "CODER_URL": w.listener.URL(), "session": string(secret.Data["CODER_SESSION_TOKEN"]),
	} {
		if got := string(secret.Data[key]); got != want || got == "" {
			t.Errorf("key %s is %q, want %q", key, got, want)
		}
	}
	w.Delete(w.CurrentSession("ci"))
	w.Eventually(w.hasLiveTokens(0), func(ctx context.Context) error {
		_, err := w.GetSession(ctx, "ci")
		if err == nil {
			return errors.New("the session is still there")
		}
		return nil
	})
}
