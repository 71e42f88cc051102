// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/controllers"
)

// maxStatus is the most bytes of JSON that the status of a session with auth.mint may have while nothing is
// wrong, and maxManagedFields those of what the API server notes about who wrote which field of it. What a write
// of the status costs the API server grows with both.
const (
	maxStatus        = 600
	maxManagedFields = 950
)

// B160: the status of a session whose token was minted and read back is small.
func TestTheStatusOfAnActiveSessionIsSmall(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.startOperator()
	const name = "build-runner"
	w.Create(w.newDeployment("prod"), w.NewMintedSession(name, "ci-bot"))
	w.Eventually(w.IsReady(name), func(ctx context.Context) error {
		s, err := w.GetSession(ctx, name)
		if token := s.Status.Token; err == nil && (token == nil || token.IssueTime == nil || len(token.Scopes) == 0) {
			err = errors.New("the server's list does not show the token yet")
		}
		return err
	})
	s := w.CurrentSession(name)
	encode := func(value any) []byte {
		encoded, err := json.Marshal(value)
		w.Must(err)
		return encoded
	}
	status := encode(s.Status)
	if len(status) > maxStatus {
		t.Errorf("the status has %d bytes, want at most %d:\n%s", len(status), maxStatus, status)
	}
	var own []metav1.ManagedFieldsEntry
	for _, entry := range s.ManagedFields {
		if entry.Manager == controllers.FieldOwner {
			own = append(own, entry)
		}
	}
	// One manager writes all of it. The API server keeps an entry for each subresource.
	if len(own) != 2 || len(s.ManagedFields) != 3 {
		t.Errorf("%d of %d entries are the operator's: %s", len(own), len(s.ManagedFields), encode(s.ManagedFields))
	}
	if managed := encode(own); len(managed) > maxManagedFields {
		t.Errorf("the operator's managedFields have %d bytes, want at most %d:\n%s",
			len(managed), maxManagedFields, managed)
	}
	if t.Failed() {
		return
	}
	t.Logf("%d bytes of status: %s", len(status), status)
}
