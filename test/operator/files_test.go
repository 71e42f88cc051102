// SPDX-License-Identifier: Apache-2.0

package operator_test

import (
	"context"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/test/testenv"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

const byteOrderMark = "\uFEFF"

// withClientCertificate passes certificate, key and CA on to the generated Secret.
func withClientCertificate(spec *v1alpha1.CoderSessionSpec) {
	spec.Secret = &v1alpha1.GeneratedSecret{IncludeClientCertificate: true}
}

// Certificates and keys are read in the forms in which people have them, and pods get them in a form
// that every program reads.
func TestFilesAreReadAsPeopleHaveThem(t *testing.T) {
	w := newEnv(t, withMTLS)
	plain := w.CurrentSecret(testenv.CertificateSecret).Data
	w.WriteSecret(testenv.CertificateSecret, map[string]string{
		"tls.crt": byteOrderMark + strings.ReplaceAll(string(plain["tls.crt"]), "\n", "\r\n  "),
		"tls.key": "Bag Attributes\n" + strings.ReplaceAll(string(plain["tls.key"]), "\n-----END", "-----END"),
	})
	authority := string(w.Servers.PEM())
	joined := strings.TrimSuffix(authority, "\n") + authority
	w.WriteConfigMap(testenv.CAConfigMap, map[string]string{"ca.crt": "# old: -----BEGIN CERTIFICATE-----\n" + joined})
	w.startOperator()
	w.Create(w.newDeployment("prod"), w.NewMintedSession("ci", "ci-bot", withClientCertificate))
	w.Eventually(w.IsVerified("prod"), w.IsReady("ci"))
	made := w.CurrentSecret("ci").Data
	for key, want := range map[string]string{
		"tls.crt": string(plain["tls.crt"]), "tls.key": string(plain["tls.key"]), "ca.crt": authority + authority,
	} {
		if got := string(made[key]); got != want {
			t.Errorf("%s of the generated Secret is\n%s\nwant\n%s", key, got, want)
		}
	}
}

// A root that cannot be read is named by a condition and one Warning. The others are trusted.
func TestARootThatCannotBeReadIsNamed(t *testing.T) {
	w := newEnv(t, withMTLS)
	good := string(w.Servers.PEM())
	odd := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("an old root")}))
	w.WriteConfigMap(testenv.CAConfigMap, map[string]string{"ca.crt": odd + good})
	w.startOperator()
	w.Create(w.newDeployment("prod"))
	w.Eventually(w.IsVerified("prod"), w.hasWarnings(1),
		w.DeploymentIs("prod", v1alpha1.ConditionCABundleComplete, metav1.ConditionFalse,
			v1alpha1.ReasonCertificatesSkipped, "replace or remove certificate 1 (line 1)"))
	w.WriteConfigMap(testenv.CAConfigMap, map[string]string{"ca.crt": good})
	w.Eventually(w.IsVerified("prod"), w.hasWarnings(1),
		w.DeploymentIs("prod", v1alpha1.ConditionCABundleComplete, metav1.ConditionTrue, v1alpha1.ReasonAllTrusted, ""))
}

// B14: a bundle that is there and empty is waited for, as issuers and OpenShift fill it later.
func TestAnEmptyBundleIsWaitedFor(t *testing.T) {
	w := newEnv(t, withMTLS)
	w.WriteConfigMap(testenv.CAConfigMap, map[string]string{"ca.crt": ""})
	w.startOperator()
	w.Create(w.newDeployment("prod"))
	w.Eventually(w.DeploymentIs("prod", v1alpha1.ConditionConfigResolved, metav1.ConditionFalse,
		v1alpha1.ReasonReferenceMissing, "is empty"))
	w.WriteConfigMap(testenv.CAConfigMap, map[string]string{"ca.crt": string(w.Servers.PEM())})
	w.Eventually(w.IsVerified("prod"))
}

// mistakenTokens are values as people write them where a token belongs, with a part of the message.
func mistakenTokens(token string) map[string]string {
	return map[string]string{
		byteOrderMark + token:       "begins with a byte order mark",
		`"` + token + `"`:           "is in quotation marks",
		"Bearer " + token:           "begins with the scheme",
		token[:20]:                  "is cut off after 20 of 33 characters",
		token[:20] + "\n" + token:   "holds more than one line",
		"\xff\xfe" + token:          "is UTF-16",
		"CODER_TOKEN=" + token:      "begins with a name",
		"coder_" + token[:10] + "_": "is no Coder token",
		base64.StdEncoding.EncodeToString([]byte(token + "\n")): "is base64 of a token",
	}
}

// B12: what is no token is not sent. The message names Secret and key, and what is wrong.
func TestWhatIsNoTokenIsNotSent(t *testing.T) {
	w := newEnv(t, withMTLS)
	token, mine := w.userToken(testenv.OperatorUser), w.userToken(testenv.PersonUser)
	w.WriteSecret(testenv.TokenSecret, map[string]string{"token": "x"})
	w.startOperator()
	w.Create(w.newDeployment("prod"))
	for value, says := range mistakenTokens(token) {
		w.WriteSecret(testenv.TokenSecret, map[string]string{"token": value})
		w.Eventually(w.DeploymentIs("prod", v1alpha1.ConditionConfigResolved, metav1.ConditionFalse,
			v1alpha1.ReasonReferenceInvalid, testenv.TokenSecret+`: key "token": `+says))
	}
	if sent := len(w.Coder.Requests()); sent != 0 {
		t.Errorf("%d requests were sent", sent)
	}
	w.WriteSecret(testenv.TokenSecret, map[string]string{"token": token + "\r\n"})
	w.Eventually(w.IsVerified("prod"))

	w.WriteSecret("mine", map[string]string{"token": "x"})
	before := w.Coder.Count("GET", "/api/v2/users/{user}")
	w.Create(w.NewSuppliedSession("supplied", "mine"))
	for value, says := range mistakenTokens(mine) {
		w.WriteSecret("mine", map[string]string{"token": value})
		w.Eventually(w.IsNotReady("supplied", v1alpha1.ReasonConfigInvalid, `Secret "mine", key "token": `+says))
	}
	if sent := w.Coder.Count("GET", "/api/v2/users/{user}") - before; sent != 0 {
		t.Errorf("%d requests were sent for the session", sent)
	}
	w.WriteSecret("mine", map[string]string{"token": mine + "\n"})
	w.Eventually(w.IsReady("supplied"))
}

// B110: a Secret that would be too large is found before a token is minted for it.
func TestASecretThatIsTooLargeIsFoundBeforeAMint(t *testing.T) {
	w := newEnv(t, withMTLS)
	authority := string(w.Servers.PEM())
	const size = 1_047_800 // with certificate, key and token it is above 1 MiB
	large := authority + strings.Repeat("#", size-len(authority))
	w.WriteConfigMap(testenv.CAConfigMap, map[string]string{"ca.crt": large})
	w.startOperator()
	w.Create(w.newDeployment("prod"), w.NewMintedSession("ci", "ci-bot", withClientCertificate))
	w.Eventually(w.IsVerified("prod"),
		w.IsNotReady("ci", v1alpha1.ReasonConfigInvalid, "the API server accepts 1048576: shorten the CA bundle"),
		w.SessionIs("ci", v1alpha1.ConditionSecretSynced, metav1.ConditionFalse, v1alpha1.ReasonSecretTooLarge,
			"the Secret would have 10"))
	if mints := w.CountMints(); mints != 0 {
		t.Errorf("%d tokens were minted", mints)
	}
	w.WriteConfigMap(testenv.CAConfigMap, map[string]string{"ca.crt": authority})
	w.Eventually(w.IsReady("ci"), w.hasLiveTokens(1))
}

// B92: headers Authorization and Cookie are sent beside the token, for an edge that asks for them, and
// given to pods. A cookie that would take the place of the token is refused.
func TestHeadersOfAnEdgeAreSentBesideTheToken(t *testing.T) {
	const basic, cookie = "Basic c2VudGluZWw6ZWRnZQ==", "_oauth2_proxy=sentinel-cookie"
	w := newEnv(t, func(o *envOptions) {
		o.edge.RequiredHeaders = map[string]string{"Authorization": basic, "Cookie": cookie}
	})
	w.WriteSecret("edge", map[string]string{"basic": basic + "\n", "cookie": cookie})
	w.startOperator()
	w.Create(w.newDeployment("prod", func(spec *v1alpha1.CoderDeploymentSpec) {
		for name, key := range map[string]v1alpha1.DataKey{"authorization": "basic", "Cookie": "cookie"} {
			from := &v1alpha1.HeaderSource{SecretKeyRef: &v1alpha1.SecretKeyRef{Name: "edge", Key: key}}
			spec.Headers = append(spec.Headers, v1alpha1.Header{Name: name, ValueFrom: from})
		}
	}), w.NewMintedSession("ci", "ci-bot"))
	w.Eventually(w.IsVerified("prod"), w.IsReady("ci"), w.operatorIsKnown("prod"))
	lines := "\n" + string(w.CurrentSecret("ci").Data["headers"])
	for _, want := range []string{"\nauthorization=" + basic + "\n", "\nCookie=" + cookie + "\n"} {
		if !strings.Contains(lines, want) {
			t.Errorf("the Secret's headers are %q, want %q in it", lines, want)
		}
	}
	w.WriteSecret("edge", map[string]string{"basic": basic, "cookie": cookie + "; coder_session_token=x"})
	w.Eventually(w.DeploymentIs("prod", v1alpha1.ConditionConfigResolved, metav1.ConditionFalse,
		v1alpha1.ReasonReferenceInvalid, `key "cookie": has the cookie coder_session_token`))
	w.WriteSecret("edge", map[string]string{"basic": basic, "cookie": cookie})
	w.Eventually(w.IsVerified("prod"))
}

// operatorIsKnown: the server took the caller from the token, and not from the edge's header.
func (w *operatorEnv) operatorIsKnown(name string) wait.Check {
	return func(ctx context.Context) error {
		d, err := w.GetDeployment(ctx, name)
		if err != nil {
			return err
		}
		if d.Status.User == nil || d.Status.User.Username != testenv.OperatorUser ||
			!meta.IsStatusConditionTrue(d.Status.Conditions, v1alpha1.ConditionReady) {
			return fmt.Errorf("the operator's user is %v", d.Status.User)
		}
		return nil
	}
}
