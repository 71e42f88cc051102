// SPDX-License-Identifier: Apache-2.0

package status

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// The limits of what is written to a status. Names and ids come from servers, which can answer with
// any length. Together the limits keep a status below 160 KiB in JSON, whatever its characters are;
// the API server stores objects of up to 1.5 MiB.
const (
	maxIdentity   = 256  // names, ids, reasons and digests, in bytes of JSON
	maxObjectName = 253  // names of workloads, in bytes of JSON; the CRD allows no more
	maxURL        = 4096 // in bytes of JSON
	maxRequest    = 64   // characters of a handled request; the CRD allows no more
	maxRoles      = 64
	maxForeign    = 100 // the CRD allows no more
	maxScopes     = 64
	maxRevoking   = 64 // the CRD allows no more
	maxRestarts   = 16 // the CRD allows no more
)

// Ready's message says with these what the status does not show.
const (
	leftOutPrefix = "(status leaves out "
	leftOutSuffix = ": too long)"
	refusedNote   = "(the API server refused the rest of the status: see the operator's log)"
)

// limiter leaves out of a status what is too large. It never cuts a name or an id: a part of one
// would name something else.
type limiter struct {
	leftOut []string // paths of fields
}

// allows reports whether none of the values is longer than limit, in bytes of JSON. Otherwise it
// records that the status leaves out the field.
func (l *limiter) allows(field string, limit int, values ...string) bool {
	if slices.ContainsFunc(values, func(value string) bool { return encodedLength(value) > limit }) {
		l.record(field)
		return false
	}
	return true
}

// clearLong empties a value that is longer than an identity may be.
func (l *limiter) clearLong(field string, value *string) {
	if !l.allows(field, maxIdentity, *value) {
		*value = ""
	}
}

// limitRequest leaves out a handled request that is longer than the CRD allows.
func (l *limiter) limitRequest(field string, request *string) {
	if utf8.RuneCountInString(*request) > maxRequest {
		l.record(field)
		*request = ""
	}
}

// limitNames returns nil if there are too many names, or one of them is too long: a part of the
// list would read like all of it.
func (l *limiter) limitNames(field string, limit int, names []string) []string {
	if len(names) > limit {
		l.record(field)
		return nil
	}
	if !l.allows(field, maxIdentity, names...) {
		return nil
	}
	return names
}

func (l *limiter) record(field string) {
	if !slices.Contains(l.leftOut, field) {
		l.leftOut = append(l.leftOut, field)
	}
}

// limitEntries returns the entries that are allowed, the first ones up to limit. It changes entries.
func limitEntries[T any](l *limiter, field string, limit int, entries []T, allowed func(*T) bool) []T {
	kept := entries[:0]
	for i := range entries {
		if allowed(&entries[i]) {
			kept = append(kept, entries[i])
		}
	}
	if len(kept) > limit {
		l.record(field)
		kept = kept[:limit]
	}
	return kept
}

// encodedLength returns the length of a string in JSON, without its quotation marks.
func encodedLength(value string) int {
	if len(value) > maxURL {
		return len(value) // never shorter in JSON
	}
	encoded, err := json.Marshal(value)
	if err != nil { // no string fails
		return len(value)
	}
	return len(encoded) - len(`""`)
}

// limitSession redacts the status of a session and leaves out of it what is too large.
func limitSession(status *v1alpha1.CoderSessionStatus) {
	l := &limiter{}
	status.Conditions = l.limitConditions(status.Conditions, v1alpha1.SessionConditionTypes())
	status.User = l.limitSessionUser(status.User)
	status.Token = l.limitToken(status.Token)
	status.PendingRevocations = limitEntries(l, "pendingRevocations", maxRevoking, status.PendingRevocations,
		func(t *v1alpha1.PendingRevocation) bool {
			l.clearLong("pendingRevocations.name", &t.Name)
			return l.allows("pendingRevocations", maxIdentity, t.ID)
		})
	status.Secret = l.limitSecret(status.Secret)
	status.Restarts = limitEntries(l, "restarts", maxRestarts, status.Restarts,
		func(r *v1alpha1.RestartStatus) bool {
			return l.allows("restarts", maxObjectName, string(r.Name)) &&
				l.allows("restarts", maxIdentity, r.Kind, r.Credential)
		})
	status.Suspension = l.limitSuspension(status.Suspension)
	if a := status.Authorization; a != nil && !l.allows("authorization", maxURL, a.URL) {
		status.Authorization = nil
	}
	status.Retirement = l.limitRetirement(status.Retirement)
	l.limitRequest("lastHandledRenewAt", &status.LastHandledRenewAt)
	l.limitRequest("observedRenewAt", &status.ObservedRenewAt)
	noteLeftOut(status.Conditions, l.leftOut)
}

// limitDeployment redacts the status of a deployment and leaves out of it what is too large.
func limitDeployment(status *v1alpha1.CoderDeploymentStatus) {
	l := &limiter{}
	status.Conditions = l.limitConditions(status.Conditions, v1alpha1.DeploymentConditionTypes())
	l.clearLong("deploymentID", &status.DeploymentID)
	l.clearLong("version", &status.Version)
	if u := status.User; u != nil {
		if l.allows("user", maxIdentity, u.ID, u.Username) {
			u.Roles = l.limitNames("user.roles", maxRoles, u.Roles)
		} else {
			status.User = nil
		}
	}
	l.clearLong("authFingerprint", &status.AuthFingerprint)
	status.ForeignTokens = l.limitNames("foreignTokens", maxForeign, status.ForeignTokens)
	l.limitRequest("lastHandledVerifyAt", &status.LastHandledVerifyAt)
	noteLeftOut(status.Conditions, l.leftOut)
}

// limitConditions keeps one condition of each type that the operator knows.
func (l *limiter) limitConditions(conditions []metav1.Condition, known []string) []metav1.Condition {
	return limitEntries(l, "conditions", len(known), conditions, func(c *metav1.Condition) bool {
		i := slices.Index(known, c.Type)
		if i < 0 || !l.allows("conditions", maxIdentity, string(c.Status), c.Reason) {
			return false
		}
		known = slices.Delete(known, i, i+1)
		c.Message = cleanMessage(c.Message, maxMessage)
		return true
	})
}

func (l *limiter) limitSessionUser(user *v1alpha1.SessionUser) *v1alpha1.SessionUser {
	if user == nil || !l.allows("user", maxIdentity, user.ID, user.Username) {
		return nil
	}
	l.clearLong("user.deploymentID", &user.DeploymentID)
	return user
}

func (l *limiter) limitToken(token *v1alpha1.TokenStatus) *v1alpha1.TokenStatus {
	if token == nil || !l.allows("token", maxIdentity, token.ID) {
		return nil
	}
	l.clearLong("token.name", &token.Name)
	token.Scopes = l.limitNames("token.scopes", maxScopes, token.Scopes)
	return token
}

func (l *limiter) limitSecret(secret *v1alpha1.SecretStatus) *v1alpha1.SecretStatus {
	if secret == nil || !l.allows("secret", maxIdentity, secret.Name) {
		return nil
	}
	l.clearLong("secret.resourceVersion", &secret.ResourceVersion)
	l.clearLong("secret.fingerprint", &secret.Fingerprint)
	return secret
}

func (l *limiter) limitSuspension(suspension *v1alpha1.Suspension) *v1alpha1.Suspension {
	if suspension == nil || !l.allows("suspension", maxIdentity, suspension.Reason) {
		return nil
	}
	suspension.Message = cleanMessage(suspension.Message, maxMessage)
	return suspension
}

func (l *limiter) limitRetirement(retirement *v1alpha1.Retirement) *v1alpha1.Retirement {
	if retirement == nil || !l.allows("retirement", maxIdentity, retirement.Reason) {
		return nil
	}
	retirement.Message = cleanMessage(retirement.Message, maxMessage)
	return retirement
}

// noteLeftOut makes the message of Ready end with the fields that the status leaves out. A message
// that was kept from an earlier status can end with such a note, or with that of a refused status.
func noteLeftOut(conditions []metav1.Condition, fields []string) {
	for i := range conditions {
		if c := &conditions[i]; c.Type == v1alpha1.ConditionReady {
			c.Message = strings.TrimRight(strings.TrimSuffix(c.Message, refusedNote), " ")
			if len(fields) > 0 {
				note := leftOutPrefix + strings.Join(fields, ", ") + leftOutSuffix
				c.Message = addNote(withoutLeftOut(c.Message), note, maxMessage)
			}
		}
	}
}

// withoutLeftOut returns a message without the note of noteLeftOut.
func withoutLeftOut(message string) string {
	if at := strings.LastIndex(message, leftOutPrefix); at >= 0 && strings.HasSuffix(message, leftOutSuffix) {
		return strings.TrimRight(message[:at], " ")
	}
	return message
}

// shortenConditions returns the conditions with messages of at most 256 bytes. That of Ready says
// that the rest of the status is not written.
func shortenConditions(conditions []metav1.Condition) []metav1.Condition {
	short := slices.Clone(conditions)
	for i := range short {
		c := &short[i]
		if c.Type == v1alpha1.ConditionReady {
			c.Message = addNote(withoutLeftOut(c.Message), refusedNote, maxShortMessage)
		} else {
			c.Message = cleanMessage(c.Message, maxShortMessage)
		}
	}
	return short
}

// addNote appends a note and cuts the message for it, if both are longer than limit bytes.
func addNote(message, note string, limit int) string {
	if message = cleanMessage(message, limit-len(note)-len(" ")); message == "" {
		return note
	}
	return message + " " + note
}
