// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// Names of what NewDeployment refers to, and of the deployment that sessions refer to.
const (
	DeploymentName    = "prod"
	TokenSecret       = "token"
	CertificateSecret = "mtls"
	CAConfigMap       = "ca"
)

// SessionChange changes a session before it is created.
type SessionChange = func(*v1alpha1.CoderSessionSpec)

// DeploymentChange changes a deployment before it is created.
type DeploymentChange = func(*v1alpha1.CoderDeploymentSpec)

// NewDeployment is a deployment whose token, client certificate and CA bundle are in the objects of
// the names above, and whose rate limit is out of the way.
func (e *Env) NewDeployment(name, url string, changes ...DeploymentChange) *v1alpha1.CoderDeployment {
	d := &v1alpha1.CoderDeployment{
		ObjectMeta: e.Meta(name),
		Spec: v1alpha1.CoderDeploymentSpec{
			URL: url,
			TLS: &v1alpha1.TLSConfig{
				ClientCertificateSecretName: CertificateSecret,
				CABundle:                    &v1alpha1.CABundleRef{Kind: "ConfigMap", Name: CAConfigMap},
			},
			Token:     &v1alpha1.OperatorToken{SecretRef: v1alpha1.TokenSecretRef{Name: TokenSecret}},
			RateLimit: v1alpha1.RateLimit{RequestsPerMinute: 1000000},
		},
	}
	for _, change := range changes {
		change(&d.Spec)
	}
	return d
}

// NewSession is a session of the deployment "prod".
func (e *Env) NewSession(name string, auth v1alpha1.Auth, changes ...SessionChange) *v1alpha1.CoderSession {
	s := &v1alpha1.CoderSession{
		ObjectMeta: e.Meta(name),
		Spec:       v1alpha1.CoderSessionSpec{DeploymentRef: v1alpha1.DeploymentRef{Name: DeploymentName}, Auth: auth},
	}
	for _, change := range changes {
		change(&s.Spec)
	}
	return s
}

// NewMintedSession is a session that mints tokens for a user.
func (e *Env) NewMintedSession(name, user string, changes ...SessionChange) *v1alpha1.CoderSession {
	return e.NewSession(name, v1alpha1.Auth{Mint: &v1alpha1.MintAuth{User: user}}, changes...)
}

// NewSuppliedSession is a session whose token is in a Secret.
func (e *Env) NewSuppliedSession(name, secretName string, changes ...SessionChange) *v1alpha1.CoderSession {
	ref := v1alpha1.TokenSecretRef{Name: v1alpha1.ObjectName(secretName)}
	return e.NewSession(name, v1alpha1.Auth{Token: &v1alpha1.SuppliedTokenAuth{SecretRef: ref}}, changes...)
}

// NewCertificateSession is a session that has a client certificate and no token.
func (e *Env) NewCertificateSession(name string, changes ...SessionChange) *v1alpha1.CoderSession {
	return e.NewSession(name, v1alpha1.Auth{Certificate: &v1alpha1.CertificateAuth{}}, changes...)
}
