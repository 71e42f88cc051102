// SPDX-License-Identifier: Apache-2.0

package coderd

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
)

// edgeJSON is a change of the edge. A nil field is left as it is. All parts change in one step.
type edgeJSON struct {
	// ClientCA is PEM; "" stops asking for client certificates.
	ClientCA *string `json:"client_ca"`
	// Certificate and Key are the server certificate as PEM; they change together.
	Certificate               *string            `json:"certificate"`
	Key                       *string            `json:"key"`
	ClientCertificateOptional *bool              `json:"client_certificate_optional"`
	RefuseCertificatesByPage  *bool              `json:"refuse_certificates_by_page"`
	IdentifyByCertificate     *bool              `json:"identify_by_certificate"`
	RequiredHeaders           *map[string]string `json:"required_headers"`
	RefusalStatus             *int               `json:"refusal_status"`
	RefusalLocation           *string            `json:"refusal_location"`
	IdentityHeader            *string            `json:"identity_header"`
}

var (
	errNoEdge        = errors.New("no listener to change")
	errNoCertificate = errors.New("no certificate in the PEM text")
)

// parseChange checks the whole change and returns the function that applies it, so that an invalid
// change has no effect.
func (in edgeJSON) parseChange() (func(*Edge), error) {
	var pool *x509.CertPool
	if in.ClientCA != nil && *in.ClientCA != "" {
		pool = x509.NewCertPool()
		if !pool.AppendCertsFromPEM([]byte(*in.ClientCA)) {
			return nil, fmt.Errorf("client_ca: %w", errNoCertificate)
		}
	}
	var pair *tls.Certificate
	if in.Certificate != nil || in.Key != nil {
		if in.Certificate == nil || in.Key == nil {
			return nil, fmt.Errorf("certificate and key change together: %w", ErrInvalid)
		}
		loaded, err := tls.X509KeyPair([]byte(*in.Certificate), []byte(*in.Key))
		if err != nil {
			return nil, fmt.Errorf("server certificate: %w", err)
		}
		pair = &loaded
	}
	return func(e *Edge) {
		if in.ClientCA != nil {
			e.ClientCAs = pool
		}
		if pair != nil {
			e.Certificate = pair
		}
		setIfPresent(&e.ClientCertificateOptional, in.ClientCertificateOptional)
		setIfPresent(&e.RefuseCertificatesByPage, in.RefuseCertificatesByPage)
		setIfPresent(&e.IdentifyByCertificate, in.IdentifyByCertificate)
		setIfPresent(&e.RequiredHeaders, in.RequiredHeaders)
		setIfPresent(&e.RefusalStatus, in.RefusalStatus)
		setIfPresent(&e.RefusalLocation, in.RefusalLocation)
		setIfPresent(&e.IdentityHeader, in.IdentityHeader)
	}, nil
}

func setIfPresent[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

func (a *admin) setEdge(r *http.Request) (any, error) {
	in, err := readJSON[edgeJSON](r)
	if err != nil {
		return nil, err
	}
	if a.listener == nil {
		return nil, errNoEdge
	}
	change, err := in.parseChange()
	if err != nil {
		return nil, err
	}
	a.listener.UpdateEdge(change)
	return nil, nil
}

func (a *admin) setOutage(r *http.Request) (any, error) {
	in, err := readJSON[struct{ Down bool }](r)
	if err != nil {
		return nil, err
	}
	if a.listener == nil {
		return nil, errNoEdge
	}
	if in.Down {
		a.listener.Stop()
		return nil, nil
	}
	return nil, a.listener.Restart()
}

// optionsJSON holds the options that can be changed while the server runs. A nil field is left as
// it is.
type optionsJSON struct {
	Profile               *Profile      `json:"profile"`
	Version               *string       `json:"version"`
	AccessURL             *string       `json:"access_url"`
	DefaultTokenLifetime  *jsonDuration `json:"default_token_lifetime"`
	MaxTokenLifetime      *jsonDuration `json:"max_token_lifetime"`
	MaxAdminTokenLifetime *jsonDuration `json:"max_admin_token_lifetime"`
	SessionDuration       *jsonDuration `json:"session_duration"`
	RefreshLifetime       *jsonDuration `json:"refresh_lifetime"`
	KeyRetention          *jsonDuration `json:"key_retention"`
	DisableExpiryRefresh  *bool         `json:"disable_expiry_refresh"`
	APIRateLimit          *int          `json:"api_rate_limit"`
	DisableRateLimits     *bool         `json:"disable_rate_limits"`
}

func (a *admin) setOptions(r *http.Request) (any, error) {
	in, err := readJSON[optionsJSON](r)
	if err != nil {
		return nil, err
	}
	if in.Profile != nil && !in.Profile.IsKnown() {
		return nil, fmt.Errorf("profile %q: %w", *in.Profile, ErrInvalid)
	}
	a.server.Reconfigure(func(o *Options) {
		setIfPresent(&o.Profile, in.Profile)
		setIfPresent(&o.Version, in.Version)
		setIfPresent(&o.AccessURL, in.AccessURL)
		setIfPresent((*jsonDuration)(&o.DefaultTokenLifetime), in.DefaultTokenLifetime)
		setIfPresent((*jsonDuration)(&o.MaxTokenLifetime), in.MaxTokenLifetime)
		setIfPresent((*jsonDuration)(&o.MaxAdminTokenLifetime), in.MaxAdminTokenLifetime)
		setIfPresent((*jsonDuration)(&o.SessionDuration), in.SessionDuration)
		setIfPresent((*jsonDuration)(&o.RefreshLifetime), in.RefreshLifetime)
		setIfPresent((*jsonDuration)(&o.KeyRetention), in.KeyRetention)
		setIfPresent(&o.DisableExpiryRefresh, in.DisableExpiryRefresh)
		setIfPresent(&o.APIRateLimit, in.APIRateLimit)
		setIfPresent(&o.DisableRateLimits, in.DisableRateLimits)
	})
	return nil, nil
}
