package operator_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// B90: no credential stands in a status, an event, a ConfigMap, a log line or a
// Secret that is not made for it; also not after every kind of failure.
func TestNoCredentialLeaves(t *testing.T) {
	w := newWorld(t, mTLS)
	w.writeSecret("mine", map[string]string{"token": w.userToken("ada")})
	w.startOperator()
	w.create(w.deployment("prod", every("500ms")),
		w.mint("ci", "ci-bot", func(spec *v1alpha1.CoderSessionSpec) {
			spec.Secret = &v1alpha1.GeneratedSecret{IncludeClientCertificate: true, Template: map[string]string{"t": "{{ .Token }}"}}
		}),
		w.mint("broken", "ci-bot", func(spec *v1alpha1.CoderSessionSpec) {
			spec.Secret = &v1alpha1.GeneratedSecret{Template: map[string]string{"t": "{{ .Token | nothing }}"}}
		}),
		w.supplied("own", "mine"))
	w.eventually(w.ready("ci"), w.ready("own"), w.notReady("broken", v1alpha1.ReasonConfigInvalid, ""))
	w.sentinels = append(w.sentinels, string(w.nowSecret("ci").Data["session"]), string(w.nowSecret("mtls").Data["tls.key"]))

	// A token that is no token, one that is refused, a server that quotes what it
	// was sent, settings in halves.
	w.writeSecret("mine", map[string]string{"token": w.sentinel("not-a-token")})
	w.eventually(w.notReady("own", v1alpha1.ReasonConfigInvalid, "mine"))
	remove := w.coder.Inject(coderd.Fault{Kind: coderd.FaultUnauthorized, Message: "refused " + w.sentinels[0], Detail: "Coder-Session-Token: " + w.sentinels[0]})
	w.eventually(w.deploymentIs("prod", v1alpha1.ConditionReady, "False", v1alpha1.ReasonUnauthorized, ""))
	remove()
	w.writeSecret("edge-headers", map[string]string{"id": w.sentinel("header") + "\nX: y"})
	w.eventually(w.deploymentIs("prod", v1alpha1.ConditionReady, "False", v1alpha1.ReasonConfigInvalid, "edge-headers"))

	w.searchForSentinels()
}

// searchForSentinels looks for secret values wherever they may not be.
func (w *world) searchForSentinels() {
	w.t.Helper()
	ctx := w.t.Context()
	places := map[string]string{"log": logs.String()}
	for _, list := range []client.ObjectList{&v1alpha1.CoderDeploymentList{}, &v1alpha1.CoderSessionList{}, &corev1.ConfigMapList{}} {
		w.must(w.client.List(ctx, list, client.InNamespace(w.namespace)))
		places[fmt.Sprintf("%T", list)] = text(w, list)
	}
	places["events"] = text(w, w.events(ctx))
	var secrets corev1.SecretList
	w.must(w.client.List(ctx, &secrets, client.InNamespace(w.namespace)))
	for i := range secrets.Items {
		secrets.Items[i].Data = nil
	}
	places["metadata of Secrets"] = text(w, secrets.Items)
	for place, content := range places {
		for _, value := range w.sentinels {
			if strings.Contains(content, value) || strings.Contains(content, strings.ReplaceAll(value, "\n", `\n`)) {
				w.t.Errorf("a credential stands in: %s", place)
			}
		}
	}
}

func text(w *world, object any) string {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	w.must(encoder.Encode(object))
	return out.String()
}

// B94: a refusal that lasts is one event, not one in every pass.
func TestAWarningIsGivenOnce(t *testing.T) {
	w := newWorld(t, mTLS)
	w.startOperator()
	w.create(w.deployment("prod", every("200ms")))
	w.eventually(w.verified("prod"))
	w.must(w.coder.RevokeKey(string(w.nowSecret("token").Data["token"])[:10]))
	w.eventually(w.event(corev1.EventTypeWarning, v1alpha1.ReasonUnauthorized, ""))
	verified := w.verifications()
	w.eventually(func(context.Context) error {
		if w.verifications() < verified+5 {
			return fmt.Errorf("not asked often enough yet")
		}
		return nil
	})
	warnings := 0
	for _, e := range w.events(t.Context()) {
		if e.Reason == v1alpha1.ReasonUnauthorized {
			warnings++
			if e.Series != nil {
				warnings += int(e.Series.Count)
			}
		}
	}
	if warnings != 1 {
		t.Errorf("%d warnings for one refusal", warnings)
	}
}

// B92: what this version cannot do is said, and nothing is minted for it.
func TestWhatCannotBeHadIsSaid(t *testing.T) {
	w := newWorld(t, mTLS)
	w.startOperator()
	w.create(w.deployment("prod", func(spec *v1alpha1.CoderDeploymentSpec) {
		most := int32(5)
		spec.Retention = &v1alpha1.Retention{MaxSessions: &most}
	}),
		w.session("oauth", v1alpha1.Auth{OAuth: &v1alpha1.OAuthAuth{}}),
		w.mint("bound", "ci-bot", func(spec *v1alpha1.CoderSessionSpec) {
			spec.Workspace = &v1alpha1.WorkspaceRef{Owner: "ada", Name: "dev"}
		}))
	w.eventually(
		w.notReady("oauth", v1alpha1.ReasonConfigInvalid, "auth.oauth"),
		w.notReady("bound", v1alpha1.ReasonConfigInvalid, "workspace"),
		w.deploymentIs("prod", v1alpha1.ConditionConfigResolved, "True", v1alpha1.ReasonResolved, "retention"),
		w.liveTokens(0),
	)
}

// B93: a server that never answers holds nothing up for longer than the timeout.
func TestAServerThatNeverAnswersTimesOut(t *testing.T) {
	w := newWorld(t, mTLS)
	w.startOperator()
	gate := coderd.NewGate()
	defer gate.Release()
	w.coder.Inject(coderd.Fault{Kind: coderd.FaultGate, Gate: gate})
	w.create(w.deployment("prod", func(spec *v1alpha1.CoderDeploymentSpec) { spec.Verify.Timeout = "300ms" }))
	w.eventually(w.deploymentIs("prod", v1alpha1.ConditionReady, "False", v1alpha1.ReasonUnreachable, ""))
}
