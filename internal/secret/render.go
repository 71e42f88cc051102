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
	// KeyURL and KeySession are the files of the Coder CLI's config directory (contract E). KeySession
	// has no trailing newline.
	KeyURL     = "url"
	KeySession = "session"
	// KeyEnvURL and KeyEnvToken are for envFrom.
	KeyEnvURL   = "CODER_URL"
	KeyEnvToken = "CODER_SESSION_TOKEN"
	// KeyHeaders has name=value lines, as the CLI expects from its header command.
	KeyHeaders = "headers"
	// KeyCertificate, KeyPrivateKey and KeyCA are PEM files.
	KeyCertificate = corev1.TLSCertKey
	KeyPrivateKey  = corev1.TLSPrivateKeyKey
	KeyCA          = "ca.crt"
)

// reserved keys cannot be used by templates.
var reserved = []string{
	KeyURL, KeySession, KeyEnvURL, KeyEnvToken, KeyHeaders, KeyCertificate, KeyPrivateKey, KeyCA,
}

// RenderError is about inputs that would result in an invalid Secret. Its text contains no value.
type RenderError struct {
	// Session is the name of the session.
	Session string
	// Err says what is wrong.
	Err error
}

// Error names the session.
func (e *RenderError) Error() string {
	return fmt.Sprintf("render the Secret of session %s: %v", e.Session, e.Err)
}

// Unwrap returns Err.
func (e *RenderError) Unwrap() error { return e.Err }

// Render creates the Secret for the input: complete, without resourceVersion. If a template cannot
// be rendered with made-up values, the error is a *[TemplateError], otherwise a *[RenderError]. Neither
// whether a template fails nor how depends on a value.
func Render(key fingerprint.Key, in Input) (*corev1.Secret, error) {
	if in.Token.ID != "" && in.Token.Value.Reveal() == "" {
		// Otherwise the Secret would name a token that it does not contain.
		return nil, &RenderError{in.Session.Name, fmt.Errorf("the value of token %s is missing", in.Token.ID)}
	}
	data, err := layOut(in)
	if err != nil {
		return nil, &RenderError{in.Session.Name, err}
	}
	if err := renderTemplates(data, in); err != nil {
		return nil, err
	}
	return &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: newMetadata(key, in),
		Type:       corev1.SecretTypeOpaque,
		Data:       data,
	}, nil
}

// layOut returns the keys that all sessions have.
func layOut(in Input) (map[string][]byte, error) {
	url := []byte(clientURL(in.URL))
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

// headerLines returns what the CLI reads: it splits at the first equals sign and refuses blank
// lines (contract E).
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

// newMetadata returns everything in the Secret but its contents.
func newMetadata(key fingerprint.Key, in Input) metav1.ObjectMeta {
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

	// After the labels of the spec, so that the operator's own take precedence.
	labels[v1alpha1.LabelSession] = session.Name
	annotations[v1alpha1.AnnotationFingerprint] = Fingerprint(key, in)
	annotations[v1alpha1.AnnotationCredential] = Credential(key, in)
	if in.Token.Value.Reveal() != "" {
		describeToken(key, in).writeAnnotations(annotations)
	}
	return metav1.ObjectMeta{
		Namespace:   session.Namespace,
		Name:        session.SecretName(),
		Labels:      labels,
		Annotations: annotations,
		OwnerReferences: []metav1.OwnerReference{
			*metav1.NewControllerRef(session, v1alpha1.GroupVersion.WithKind(v1alpha1.KindCoderSession)),
		},
	}
}

func describeToken(key fingerprint.Key, in Input) TokenMeta {
	token := in.Token
	meta := TokenMeta{ID: token.ID, Serial: token.Serial, ExpiresAt: token.ExpiresAt, Request: token.Request}
	if meta.Fingerprint = TokenFingerprint(key, token.Value); token.Request != "" {
		meta.Fingerprint = MintedFingerprint(key, in.Session.UID, token.Value)
	}
	return meta
}
