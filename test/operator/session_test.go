// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"context"
	"errors"
	"testing"
)

func TestASessionGetsItsToken(t *testing.T) {
	w := newWorld(t, mTLS)
	w.startOperator()
	w.create(w.deployment("prod"), w.mint("ci", "ci-bot"))
	w.eventually(w.verified("prod"), w.ready("ci"), w.liveTokens(1))

	secret := w.nowSecret("ci")
	for key, want := range map[string]string{
		"url": w.listener.URL(), "CODER_URL": w.listener.URL(), "session": string(secret.Data["CODER_SESSION_TOKEN"]),
	} {
		if got := string(secret.Data[key]); got != want || got == "" {
			t.Errorf("key %s is %q, want %q", key, got, want)
		}
	}
	w.delete(w.nowSession("ci"))
	w.eventually(w.liveTokens(0), func(ctx context.Context) error {
		_, err := w.getSession(ctx, "ci")
		if err == nil {
			return errors.New("the session is still there")
		}
		return nil
	})
}
