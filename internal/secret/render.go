// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/fingerprint"
)

// Keys of the generated Secret, besides those of templates.
const (
	// KeyURL and KeySession are the files of the Coder CLI's config directory
	// (contract E). KeySession has no trailing newline.
	KeyURL     = "url"
	KeySession = "session"
	// KeyEnvURL and KeyEnvToken are for envFrom.
	KeyEnvURL   = "CODER_URL"
	KeyEnvToken = "CODER_SESSION_TOKEN"
	// KeyHeaders has name=value lines, as the CLI's header command prints them.
	KeyHeaders = "headers"
	// KeyCertificate, KeyPrivateKey and KeyCA are PEM files.
	KeyCertificate = corev1.TLSCertKey
	KeyPrivateKey  = corev1.TLSPrivateKeyKey
	KeyCA          = "ca.crt"
)

// reserved keys cannot be templates.
var reserved = []string{
	KeyURL, KeySession, KeyEnvURL, KeyEnvToken, KeyHeaders, KeyCertificate, KeyPrivateKey, KeyCA,
}

// Render makes the Secret that the input calls for, as it is created: complete, without
// resourceVersion. A template that cannot be rendered is a *[TemplateError]; other
// errors are of inputs that would make a broken Secret. No error has a value in it.
func Render(key fingerprint.Key, in Input) (*corev1.Secret, error) {
	if in.Token.ID != "" && in.Token.Value.Reveal() == "" {
		// Written so, the Secret would name a token that it does not hold.
		return nil, fmt.Errorf("render the Secret of session %s: the value of token %s is missing",
			in.Session.Name, in.Token.ID)
	}
	data, err := layOut(in)
	if err != nil {
		return nil, fmt.Errorf("render the Secret of session %s: %w", in.Session.Name, err)
	}
	if err := renderTemplates(data, in); err != nil {
		return nil, err
	}
	return &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metadata(key, in),
		Type:       corev1.SecretTypeOpaque,
		Data:       data,
	}, nil
}

// layOut makes the keys that are the same for all sessions.
func layOut(in Input) (map[string][]byte, error) {
	url := []byte(address(in.URL))
	data := map[string][]byte{KeyURL: url, KeyEnvURL: url}
	if token := in.Token.Value.Reveal(); token != "" {
		data[KeySession], data[KeyEnvToken] = []byte(token), []byte(token)
	}
	if len(in.Headers) > 0 {
		lines, err := headerLines(in.Headers)
		if err != nil {
			return nil, err
		}
		data[KeyHeaders] = lines
	}
	for key, value := range map[string][]byte{
		KeyCertificate: in.Certificate,
		KeyPrivateKey:  []byte(in.CertificateKey.Reveal()),
		KeyCA:          in.CA,
	} {
		if len(value) > 0 {
			data[key] = value
		}
	}
	return data, nil
}

// headerLines writes what the CLI takes: it splits at the first equals sign and
// refuses blank lines (contract E).
func headerLines(headers []Header) ([]byte, error) {
	var lines strings.Builder
	for _, header := range headers {
		if header.Name == "" || strings.ContainsAny(header.Name, "=\r\n") {
			return nil, errors.New("a header's name is empty or has an equals sign or a line break in it")
		}
		if strings.ContainsAny(header.Value.Reveal(), "\r\n") {
			return nil, fmt.Errorf("the value of header %s has a line break in it", header.Name)
		}
		lines.WriteString(header.Name + "=" + header.Value.Reveal() + "\n")
	}
	return []byte(lines.String()), nil
}

// metadata makes everything about the Secret that is not its contents.
func metadata(key fingerprint.Key, in Input) metav1.ObjectMeta {
	session := in.Session
	labels, annotations := map[string]string{}, map[string]string{}
	if spec := session.Spec.Secret; spec != nil {
		for name, value := range spec.Labels {
			labels[name] = string(value)
		}
		maps.Copy(annotations, spec.Annotations)
	}
	record := managed{Labels: slices.Sorted(maps.Keys(labels)), Annotations: slices.Sorted(maps.Keys(annotations))}
	if text := record.encode(); text != "" {
		annotations[v1alpha1.AnnotationManaged] = text
	}

	// After the spec's: what the operator says wins.
	labels[v1alpha1.LabelSession] = session.Name
	annotations[v1alpha1.AnnotationFingerprint] = Fingerprint(key, in)
	if in.Token.Value.Reveal() != "" {
		describe(key, in.Token).encode(annotations)
	}
	return metav1.ObjectMeta{
		Namespace:   session.Namespace,
		Name:        session.SecretName(),
		Labels:      labels,
		Annotations: annotations,
		OwnerReferences: []metav1.OwnerReference{
			*metav1.NewControllerRef(session, v1alpha1.GroupVersion.WithKind("CoderSession")),
		},
	}
}

func describe(key fingerprint.Key, token Token) TokenMeta {
	return TokenMeta{
		ID: token.ID, Serial: token.Serial, ExpiresAt: token.ExpiresAt, Request: token.Request,
		Fingerprint: TokenFingerprint(key, token.Value),
	}
}
